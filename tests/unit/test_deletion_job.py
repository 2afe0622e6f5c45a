# SPDX-License-Identifier: Apache-2.0
"""The deletion job deletes what is due, all of it and nothing else, and keeps nothing in memory."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from direct import ACCOUNT, Direct, development

from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.jobs import deletion

DAY = 86_400.0


@pytest.fixture
def kms() -> Iterator[Direct]:
    with development() as direct:
        yield direct


def doomed(kms: Direct, days: int = 7) -> str:
    key_id = kms.key()
    assert kms("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=days).code is None
    return key_id


def exists(kms: Direct, key_id: str) -> bool:
    return kms("DescribeKey", KeyId=key_id).code != "NotFoundException"


def test_what_is_due_is_deleted_and_no_other(kms: Direct) -> None:
    keys = {days: doomed(kms, days) for days in (7, 8, 30)}
    kept = kms.key()
    cancelled = doomed(kms)
    kms("CancelKeyDeletion", KeyId=cancelled)
    kms.advance(7 * DAY - 5)
    assert all(exists(kms, key_id) for key_id in keys.values())
    kms.advance(10)
    assert [days for days, key_id in keys.items() if exists(kms, key_id)] == [8, 30]
    assert exists(kms, kept)
    assert exists(kms, cancelled)


def test_more_keys_than_one_batch(kms: Direct) -> None:
    keys = [doomed(kms) for _ in range(deletion._BATCH + 3)]
    kms.advance(8 * DAY)
    assert not any(exists(kms, key_id) for key_id in keys)


@pytest.mark.parametrize("damage", ["mac = x'00'", "state = 'Enabled'", "description = x'ff'", "mac = 'text'"])
def test_a_key_that_was_tampered_with_does_not_keep_the_others(kms: Direct, damage: str) -> None:
    first, second = doomed(kms, 7), doomed(kms, 8)
    with kms.service.database.write() as txn:
        txn.touch(first)
        txn.connection.exec_driver_sql(f"UPDATE keys SET {damage} WHERE key_id = '{first}'")
    kms.advance(9 * DAY)
    assert not exists(kms, second)
    assert kms("DescribeKey", KeyId=first).code == "KMSInternalException"


def test_a_deletion_date_that_was_brought_forward_behind_its_back_deletes_nothing(kms: Direct) -> None:
    key_id = doomed(kms)
    with kms.service.database.write() as txn:
        txn.connection.exec_driver_sql("UPDATE keys SET deletion_date = 0")
    kms.service.run_jobs()
    with kms.service.database.read() as connection:
        assert kms.service.store.keys.is_taken(connection, key_id)
        assert kms.service.store.keys.unerased(connection) == []


def test_its_aliases_go_with_it_and_their_names_are_free(kms: Direct) -> None:
    key_id = kms.key()
    kms("CreateAlias", AliasName="alias/a", TargetKeyId=key_id)
    kms("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    kms.advance(8 * DAY)
    assert kms("DescribeKey", KeyId="alias/a").code == "NotFoundException"
    assert kms("CreateAlias", AliasName="alias/a", TargetKeyId=kms.key()).code is None


def test_no_cache_holds_what_was_deleted(tmp_path: Path) -> None:
    """Nor one in another process, once its jobs have run."""
    services = [Service(Settings(data=tmp_path, development=True)) for _ in range(2)]
    here, there = map(Direct, services)
    key_id = here.key()
    for kms in (here, there):
        assert kms("Encrypt", KeyId=key_id, Plaintext=b"x").code is None
        assert key_id in kms.service.keyring._opened
    here("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    here.advance(8 * DAY)
    there.service.run_jobs()
    for kms in (here, there):
        assert key_id not in kms.service.keyring._opened
        assert kms.service.store.key_cache.get(key_id) is None
        assert key_id not in kms.service.store.key_cache
    for service in services:
        service.close()


def test_an_opened_material_goes_when_its_key_falls_out_of_the_cache(kms: Direct) -> None:
    """Else nothing would tell this process to forget it when another deletes the key."""
    service = kms.service
    service.store.key_cache._bound = 3
    keys = [kms.key() for _ in range(6)]
    for key_id in keys:
        kms("Encrypt", KeyId=key_id, Plaintext=b"x")
    service.run_jobs()
    assert 0 < len(service.keyring._opened) <= 3
    assert all(key_id in service.store.key_cache for key_id in service.keyring._opened)


def test_both_steps_are_in_the_audit(tmp_path: Path) -> None:
    service = Service(Settings(data=tmp_path, development=True))
    kms = Direct(service)
    key_id = doomed(kms)
    kms.advance(8 * DAY)
    service.run_jobs()
    service.close()
    records = [json.loads(line) for line in (tmp_path / "audit" / "0.jsonl").read_text().splitlines()]
    named = [(r["eventName"], r["requestParameters"].get("keyId")) for r in records]
    assert named[-2:] == [("DeleteKey", key_id), ("EraseKeyMaterial", key_id)]
    assert records[-1]["userIdentity"]["type"] == "AWSService"
    assert records[-2]["resources"] == [{"ARN": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{key_id}", "accountId": ACCOUNT}]
