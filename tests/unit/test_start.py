# SPDX-License-Identifier: Apache-2.0
"""What a start makes, what it leaves alone, and what it gives to nobody."""

import sqlite3
from pathlib import Path

import msgspec
import pytest
from direct import ACCOUNT, Direct

from keyquorum.admin import environment
from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.custody.seal import SealError
from keyquorum.layout import DataDirectory, Endpoint


def started(data: Path, account: str = ACCOUNT, *, keys: int = 1) -> Service:
    """What a server that was stopped leaves."""
    service = Service(Settings(data=data, account=account))
    direct = Direct(Service(Settings(data=data, account=account, development=True)))
    for _ in range(keys):
        direct.key()
    direct.service.close()
    service.close()
    endpoint = Endpoint("http://127.0.0.1:8085", account, "us-east-1")
    DataDirectory(data).endpoint.write_bytes(msgspec.json.encode(endpoint))
    return service


def tamper(data: Path, *statements: str) -> None:
    connection = sqlite3.connect(DataDirectory(data).database)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def files(data: Path) -> dict[str, bytes]:
    return {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}


def access_keys(data: Path) -> int:
    connection = sqlite3.connect(DataDirectory(data).database)
    (count,) = connection.execute("SELECT count(*) FROM access_keys").fetchone()
    connection.close()
    return int(count)


def test_the_first_start_makes_a_root_access_key_and_no_other_does(tmp_path: Path) -> None:
    assert started(tmp_path).new_access_key is not None
    assert started(tmp_path).new_access_key is None
    assert started(tmp_path, "444455556666").new_access_key is not None
    assert access_keys(tmp_path) == 2


@pytest.mark.parametrize(
    "statements",
    [
        ["DELETE FROM access_keys"],
        ["DELETE FROM access_keys", "DELETE FROM principals"],
        ["DELETE FROM access_keys", "UPDATE principals SET account = '444455556666'"],
        ["DELETE FROM access_keys", "UPDATE principals SET kind = 'IAMUser'"],
    ],
    ids=["access key", "root", "another account's", "no root"],
)
def test_whoever_removes_the_roots_rows_is_not_told_new_credentials(tmp_path: Path, statements: list[str]) -> None:
    started(tmp_path)
    tamper(tmp_path, *statements)
    assert started(tmp_path, keys=0).new_access_key is None
    assert access_keys(tmp_path) == 0
    with pytest.raises(environment.NoServerError, match="has no access key"):
        environment.read(Settings(data=tmp_path))


def test_a_wrong_seal_leaves_every_file_as_it_was(tmp_path: Path) -> None:
    """The seal is opened before anything is written, or migrated."""
    started(tmp_path)
    directory = DataDirectory(tmp_path)
    directory.seal_key.write_bytes(bytes(32))
    tamper(tmp_path, "UPDATE alembic_version SET version_num = '0000'")  # as an older program would have left it
    before = files(tmp_path)
    for _ in range(2):
        with pytest.raises(SealError, match="does not open the root key"):
            Service(Settings(data=tmp_path))
        assert files(tmp_path)["keyquorum.db"] == before["keyquorum.db"]
        assert set(files(tmp_path)) <= {*before, "keyquorum.db-wal", "keyquorum.db-shm"}
    directory.seal_key.unlink()
    with pytest.raises(SealError, match="cannot be read"):
        Service(Settings(data=tmp_path))
    assert not directory.seal_key.exists()
    assert files(tmp_path)["keyquorum.db"] == before["keyquorum.db"]


@pytest.mark.parametrize(
    "statements",
    [
        [],
        ["UPDATE alembic_version SET version_num = '9999'", "UPDATE schema_compatibility SET oldest = '9999'"],
        ["DELETE FROM access_keys"],
        ["DROP TABLE alembic_version"],
    ],
    ids=["ready", "newer", "no access key", "foreign"],
)
def test_env_makes_nothing_and_changes_nothing(tmp_path: Path, statements: list[str]) -> None:
    started(tmp_path)
    tamper(tmp_path, *statements)
    before = files(tmp_path)
    try:
        environment.read(Settings(data=tmp_path))
    except environment.NoServerError:
        assert statements
    else:
        assert not statements
    assert {name: files(tmp_path).get(name) for name in before} == before
    assert set(files(tmp_path)) <= {*before, "keyquorum.db-wal", "keyquorum.db-shm"}


def test_env_makes_no_database_where_there_is_none(tmp_path: Path) -> None:
    endpoint = Endpoint("http://127.0.0.1:8085", ACCOUNT, "us-east-1")
    DataDirectory(tmp_path).endpoint.write_bytes(msgspec.json.encode(endpoint))
    with pytest.raises(environment.NoServerError, match="there is no database"):
        environment.read(Settings(data=tmp_path))
    assert list(files(tmp_path)) == ["endpoint.json"]


def test_an_interrupted_first_start_is_taken_up_by_the_next(tmp_path: Path) -> None:
    """A schema without a root key, and the seal key: what is missing is made."""
    started(tmp_path, keys=0)
    tamper(tmp_path, *(f"DELETE FROM {name}" for name in ("access_keys", "principals", "keyring_keys", "root_keys")))
    assert started(tmp_path).new_access_key is not None
