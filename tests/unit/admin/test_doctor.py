# SPDX-License-Identifier: Apache-2.0
"""``keyquorum doctor``: each thing that it finds, and nothing on a data directory that is well."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from keyquorum.admin.doctor import examine
from keyquorum.app import Service
from keyquorum.cli import main
from keyquorum.config import Settings
from keyquorum.layout import DataDirectory
from keyquorum.model import ROOT, USER, AccessKey, Principal
from keyquorum.store.access_keys import LastUse

ACCOUNT = "111122223333"
DAY = 86_400.0
KEY_POLICY = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/alice"}, "Action": "kms:*"}
TRUST = {**KEY_POLICY, "Action": "sts:AssumeRole"}
SEED = f"""
[[user]]
name = "alice"
access_key_id = "AKIAALICE00000000000"
secret_access_key = "alice-secret-alice-secret-alice-secret-a"

[[role]]
name = "worker"
trust = '{json.dumps({"Version": "2012-10-17", "Statement": TRUST})}'

[[key]]
id = "hers"
policy = '{json.dumps({"Version": "2012-10-17", "Statement": {**KEY_POLICY, "Resource": "*"}})}'

[[key]]
id = "default"
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """It runs meanwhile, as a server may."""
    (tmp_path / "seed.toml").write_text(SEED)
    made = Service(Settings(data=tmp_path / "data", seed=tmp_path / "seed.toml"))
    yield made
    made.close()


@pytest.fixture
def data(service: Service) -> Path:
    assert service.settings.data is not None
    return service.settings.data


def principals(service: Service) -> dict[str, tuple[Principal, list[AccessKey]]]:
    with service.database.read() as connection:
        everyone = service.store.identities.everyone(connection)
        return {p.name: (p, service.store.access_keys.of(connection, p.principal_id)) for p in everyone}


def used(service: Service, name: str, when: float) -> None:
    [key] = principals(service)[name][1]
    with service.database.write() as txn:
        service.store.access_keys.record(txn, [LastUse(key.access_key_id, when, "kms", "us-east-1")])


def test_a_data_directory_that_is_well(data: Path) -> None:
    assert examine(Settings(data=data)) == []
    result = CliRunner().invoke(main, ("doctor", "--data", str(data)))
    assert (result.exit_code, result.stdout) == (0, "Nothing is wrong.\n")


def test_what_is_open_to_others(data: Path) -> None:
    data.chmod(0o750)
    DataDirectory(data).audit.chmod(0o701)
    DataDirectory(data).seal_key.chmod(0o640)
    directory, audit, seal = examine(Settings(data=data))
    assert directory == f"The directory {data} is open to others; its mode should be 0700."
    assert f"{data}/audit is open to others" in audit
    assert "the seal key file" in seal
    result = CliRunner().invoke(main, ("doctor", "--data", str(data)))
    assert (result.exit_code, result.stdout.count("\n- ")) == (1, 2)


def test_no_data_directory(tmp_path: Path) -> None:
    [finding] = examine(Settings(data=tmp_path / "absent"))
    assert "there is no database in" in finding
    assert not (tmp_path / "absent").exists()


def test_the_roots_access_key_in_use(service: Service, data: Path) -> None:
    now = time.time()
    used(service, ROOT, now + 10 * DAY)
    [finding] = examine(Settings(data=data), now + 10 * DAY + 7200)
    assert "was last used 2 hours ago. It is for set-up: make a user" in finding
    assert examine(Settings(data=data), now + 12 * DAY) == []  # not in the last day
    used(service, ROOT, now + 3600)


def test_the_roots_access_key_on_the_first_day(service: Service, data: Path) -> None:
    now = time.time()
    used(service, ROOT, now)
    assert examine(Settings(data=data), now + 3600) == []


def test_access_keys_that_nobody_uses(service: Service, data: Path) -> None:
    now = time.time()
    [finding] = examine(Settings(data=data), now + 91 * DAY)
    assert f"AKIAALICE00000000000 of arn:aws:iam::{ACCOUNT}:user/alice was never used" in finding
    used(service, "alice", now + 50 * DAY)
    assert examine(Settings(data=data), now + 91 * DAY) == []
    [finding] = examine(Settings(data=data), now + 141 * DAY)
    assert "was last used 91 days ago" in finding


def test_old_access_keys(service: Service, data: Path) -> None:
    now = time.time() + 366 * DAY
    used(service, "alice", now)
    findings = examine(Settings(data=data), now)
    assert [f"is {366} days old: replace it." in finding for finding in findings] == [True, True]
    alice, [key] = principals(service)["alice"]
    with service.database.write() as txn:
        service.store.access_keys.set_status(txn, key, alice, "Inactive")
    [finding] = examine(Settings(data=data), now)
    assert "alice" not in finding


def test_policies_that_name_who_is_gone(service: Service, data: Path) -> None:
    alice, [key] = principals(service)["alice"]
    with service.database.write() as txn:
        service.store.access_keys.delete(txn, key, alice)
        service.store.identities.delete(txn, alice)
        again = Principal("AIDAAGAIN", ACCOUNT, USER, "alice", created_at=time.time())
        service.store.identities.insert(txn, again)
    findings = examine(Settings(data=data))
    key_policy = f"The key policy of key hers (us-east-1, account {ACCOUNT})"
    trust_policy = f"The trust policy of role arn:aws:iam::{ACCOUNT}:role/worker"
    assert [finding.partition(alice.arn)[0] for finding in findings] == [
        f"{key_policy} names ",
        f"{key_policy} lets nobody in.",
        f"{trust_policy} names ",
        f"{trust_policy} lets nobody in.",
    ]


def test_rows_and_records_that_somebody_else_wrote(service: Service, data: Path) -> None:
    file = DataDirectory(data).audit / "0.jsonl"
    file.write_bytes(file.read_bytes() + b'{"eventName":"Forged"}\n')
    with service.database.write() as txn:
        txn.connection.exec_driver_sql("UPDATE key_policies SET document = '{}'")
    findings = examine(Settings(data=data))
    assert any("The database is not what keyquorum wrote: a row of key_policies" in finding for finding in findings)
    assert any("The audit log is not as it was written: 0.jsonl:1" in finding for finding in findings)
