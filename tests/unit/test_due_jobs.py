# SPDX-License-Identifier: Apache-2.0
"""The jobs do what is due, all of it and nothing else, whatever is wrong with one key; and nothing stays in memory."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from direct import ACCOUNT, REGION, Direct, development

from keyquorum.app import Service
from keyquorum.clock import Clock
from keyquorum.config import Settings
from keyquorum.errors import DependencyTimeoutException
from keyquorum.jobs import due
from keyquorum.model import key_name
from keyquorum.store.generations import Generations

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


def test_deletions_wait_while_the_clock_is_in_doubt_and_what_can_be_undone_does_not(kms: Direct) -> None:
    """A machine whose clock was set a year ahead, and set right again or not."""
    gone, rotated = doomed(kms), kms.key()
    kms("EnableKeyRotation", KeyId=rotated, RotationPeriodInDays=90)
    service, machine = kms.service, {"wall": 0.0, "uptime": 0.0}
    clock = Clock(lambda: service.clock.now() + machine["wall"], lambda: service.clock.now() + machine["uptime"])
    service.clock.offset += 100 * DAY
    machine["uptime"] -= 100 * DAY  # it did not pass
    for _ in range(3):
        due.run(service.store, service.pipeline, clock)
    assert exists(kms, gone)
    assert len(kms("ListKeyRotations", KeyId=rotated).body["Rotations"]) == 1
    machine["wall"] += 601
    machine["uptime"] += 601  # and nobody set it back
    due.run(service.store, service.pipeline, clock)
    assert not exists(kms, gone)


@pytest.mark.slow
def test_more_keys_than_one_batch(kms: Direct) -> None:
    keys = [doomed(kms) for _ in range(due._BATCH + 3)]
    kms.advance(8 * DAY)
    assert not any(exists(kms, key_id) for key_id in keys)


def tamper(kms: Direct, *statements: str) -> None:
    """Raw SQL, and no cache that would hide what it does."""
    with kms.service.database.write() as txn:
        txn.touch_everything()
        for statement in statements:
            txn.connection.exec_driver_sql(statement)


@pytest.mark.parametrize("damage", ["mac = x'00'", "state = 'Enabled'", "description = x'ff'", "mac = 'text'"])
def test_a_key_that_was_tampered_with_does_not_keep_the_others(kms: Direct, damage: str) -> None:
    first, second = doomed(kms, 7), doomed(kms, 8)
    tamper(kms, f"UPDATE keys SET {damage} WHERE key_id = '{first}'")
    kms.advance(9 * DAY)
    assert not exists(kms, second)
    assert kms("DescribeKey", KeyId=first).code == "KMSInternalException"


@pytest.mark.slow
def test_more_keys_that_were_tampered_with_than_one_batch(kms: Direct) -> None:
    for _ in range(due._BATCH + 3):
        doomed(kms, 7)
    tamper(kms, "UPDATE keys SET mac = x'00'")
    last = doomed(kms, 8)
    kms.advance(9 * DAY)
    assert not exists(kms, last)


def rows_of(kms: Direct, key_id: str) -> list[tuple[str, tuple[Any, ...]]]:
    """All that is kept of a key, as a backup holds it: tables, and their rows."""
    own = f"SELECT wrapped_row FROM key_materials WHERE key_id = '{key_id}'"
    queries = {
        "keys": f"WHERE key_id = '{key_id}'",
        "wrapped_materials": f"WHERE row IN ({own})",
        "key_materials": f"WHERE key_id = '{key_id}'",
        "key_policies": f"WHERE key_id = '{key_id}'",
    }
    with kms.service.database.read() as connection:
        return [
            (table, tuple(row))
            for table, condition in queries.items()
            for row in connection.exec_driver_sql(f"SELECT * FROM {table} {condition}")
        ]


def test_a_deleted_key_does_not_come_back_from_its_old_rows_nor_keep_the_others(kms: Direct) -> None:
    """It is refused, not used; what else is due, then and later, is done."""
    gone, later = doomed(kms, 7), doomed(kms, 10)
    rotated = kms.key()
    kms("EnableKeyRotation", KeyId=rotated, RotationPeriodInDays=90)
    rows = rows_of(kms, gone)
    kms.advance(8 * DAY)
    assert not exists(kms, gone)
    with kms.service.database.write() as txn:
        txn.touch_everything()
        for table, row in rows:
            marks = ", ".join("?" * len(row))
            txn.connection.exec_driver_sql(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)
    requests: dict[str, dict[str, Any]] = {
        "DescribeKey": {"KeyId": gone},
        "CancelKeyDeletion": {"KeyId": gone},
        "EnableKey": {"KeyId": gone},
        "Encrypt": {"KeyId": gone, "Plaintext": b"x"},
        "ScheduleKeyDeletion": {"KeyId": gone, "PendingWindowInDays": 7},
        "CreateAlias": {"AliasName": "alias/a", "TargetKeyId": gone},
    }
    for operation, members in requests.items():
        told = kms(operation, **members)
        assert (told.code, told.message) == ("KMSInternalException", None), operation
    kms.advance(3 * DAY)
    assert not exists(kms, later)
    kms.advance(80 * DAY)
    assert len(kms("ListKeyRotations", KeyId=rotated).body["Rotations"]) == 1
    assert kms("CreateKey", Tags=[{"TagKey": "_custom_id_", "TagValue": gone}]).code == "AlreadyExistsException"


def test_a_deletion_date_that_was_brought_forward_behind_its_back_deletes_nothing(kms: Direct) -> None:
    key_id = doomed(kms)
    with kms.service.database.write() as txn:
        txn.connection.exec_driver_sql("UPDATE keys SET deletion_date = 0")
    kms.service.run_jobs()
    with kms.service.database.read() as connection:
        assert kms.service.store.keys.is_taken(connection, key_id)
        assert kms.service.store.keys.erasures.pending(connection) == []


def test_its_aliases_go_with_it_and_their_names_are_free(kms: Direct) -> None:
    key_id = kms.key()
    kms("CreateAlias", AliasName="alias/a", TargetKeyId=key_id)
    kms("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    kms.advance(8 * DAY)
    assert kms("DescribeKey", KeyId="alias/a").code == "NotFoundException"
    assert kms("CreateAlias", AliasName="alias/a", TargetKeyId=kms.key()).code is None


def opened(kms: Direct, key_id: str) -> bool:
    """Whether this process has the key's material at hand, usable or not."""
    entry = kms.service.store.key_cache._entries.get(key_name(key_id, REGION))
    return entry is not None and bool(entry[3].opened)


def test_no_cache_holds_what_was_deleted(tmp_path: Path) -> None:
    """Nor one in another process, once its jobs have run."""
    services = [Service(Settings(data=tmp_path, development=True)) for _ in range(2)]
    here, there = map(Direct, services)
    key_id = here.key()
    for kms in (here, there):
        assert kms("Encrypt", KeyId=key_id, Plaintext=b"x").code is None
        assert opened(kms, key_id)
    here("ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    here.advance(8 * DAY)
    there.service.run_jobs()
    for kms in (here, there):
        assert not opened(kms, key_id)
        assert key_name(key_id, REGION) not in kms.service.store.key_cache
    for service in services:
        service.close()


def test_an_opened_material_goes_when_its_key_falls_out_of_the_cache(kms: Direct) -> None:
    """Else nothing would tell this process to forget it when another deletes the key."""
    kms.service.store.key_cache._bound = 3
    keys = [kms.key() for _ in range(6)]
    for key_id in keys:
        kms("Encrypt", KeyId=key_id, Plaintext=b"x")
    assert [opened(kms, key_id) for key_id in keys] == [False] * 3 + [True] * 3


def test_jobs_that_cannot_be_done_do_not_keep_stale_secrets(kms: Direct) -> None:
    """The caches are swept even where the database cannot be had."""
    key_id = kms.key()
    kms("Encrypt", KeyId=key_id, Plaintext=b"x")
    service = kms.service
    service.database.generations.mark({Generations.slot(key_name(key_id, REGION))}, 1_000)
    service.database.close()
    with pytest.raises(DependencyTimeoutException):
        service.run_jobs()
    assert not opened(kms, key_id)


def test_both_steps_are_in_the_audit(tmp_path: Path) -> None:
    service = Service(Settings(data=tmp_path, development=True))
    kms = Direct(service)
    key_id = doomed(kms)
    kms.advance(8 * DAY)
    service.run_jobs()
    service.close()
    records = [json.loads(line) for line in (tmp_path / "audit" / "0.jsonl").read_text().splitlines()]
    events = [r for r in records if r["eventType"] == "AwsServiceEvent"]
    named = [(r["eventName"], r["requestParameters"], r["serviceEventDetails"]) for r in events]
    assert named == [("DeleteKey", None, {"keyId": key_id}), ("EraseKeyMaterial", None, {"keyId": key_id})]
    assert all(r["userIdentity"] == {"accountId": ACCOUNT, "invokedBy": "AWS Internal"} for r in events)
    arn = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{key_id}"
    assert events[0]["resources"] == [{"accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": arn}]
    assert not any(r["readOnly"] for r in events)
