# SPDX-License-Identifier: Apache-2.0
"""Rows that were put back to what they once were: their MACs are good, and the audit log speaks against them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sa
from inprocess import InProcess
from postgres import fresh_database
from stored import NOTHING

from keyquorum.admin.comparison import Compared, compare
from keyquorum.admin.doctor import examine
from keyquorum.app import Service
from keyquorum.backup.creating import create
from keyquorum.backup.restoring import Options, restore
from keyquorum.config import Settings
from keyquorum.store import schema

ACCOUNT: Final = "111122223333"
USER: Final = f"arn:aws:iam::{ACCOUNT}:user/u"
#: In an order in which rows can be put in.
TABLES: Final = (
    schema.principals,
    schema.access_keys,
    schema.keys,
    schema.key_policies,
    schema.aliases,
    schema.grants,
)
Rows = dict[sa.Table, list[dict[str, Any]]]


class World:
    """A server in this process that began an hour ago, and of which each request comes a minute after the last."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.service = Service(settings)
        self.service.start()
        self._inside = InProcess(self.service)
        self._now = time.time() - 3600
        root = self._inside.root(ACCOUNT)
        self._clients = {name: self._inside.client(name, **root) for name in ("kms", "iam")}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """An operation of KMS or IAM."""
        client = next(client for client in self._clients.values() if hasattr(client, name))

        def call(**members: Any) -> Any:
            self.later(60)
            return getattr(client, name)(**members)

        return call

    def later(self, seconds: float) -> None:
        self._now += seconds
        self._inside.circumstances.now = self._now

    def rows(self) -> Rows:
        with self.service.database.read() as connection:
            return {table: [dict(r) for r in connection.execute(sa.select(table)).mappings()] for table in TABLES}

    def put_back(self, rows: Rows, *tables: sa.Table) -> None:
        """As somebody who can write to the database does: all rows of these tables, as they were."""
        with self.service.database.write() as txn:
            for table in tables:
                key = list(table.primary_key.columns)
                for row in rows[table]:
                    this = sa.and_(*[column == row[column.name] for column in key])
                    there = txn.connection.execute(sa.update(table).where(this).values(row)).rowcount
                    if not there:
                        txn.connection.execute(sa.insert(table).values(row))

    def compared(self, *others: Path) -> Compared:
        self.service.audit.state()
        return compare(self.settings, others)

    def found(self) -> list[str]:
        """What the findings are about."""
        return sorted(finding.partition(" of ")[0] for finding in self.compared().findings)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "sqlite":
        yield None
        return
    with fresh_database() as url:
        yield url


@contextmanager
def world_in(data: Path, database: str | None) -> Iterator[World]:
    world = World(Settings(data=data, database=database))
    try:
        yield world
    finally:
        world.service.stop()


@pytest.fixture
def world(tmp_path: Path, database: str | None) -> Iterator[World]:
    with world_in(tmp_path / "data", database) as made:
        yield made


def lived(world: World) -> Rows:
    """One thing of each kind, on which rights were taken away since: the rows as they were before that."""
    disabled, dying, closed = (world.create_key()["KeyMetadata"]["KeyId"] for _ in range(3))
    world.create_alias(AliasName="alias/moved", TargetKeyId=disabled)
    world.create_alias(AliasName="alias/gone", TargetKeyId=disabled)
    world.create_user(UserName="u")
    key_ids = [world.create_access_key(UserName="u")["AccessKey"]["AccessKeyId"] for _ in range(2)]
    grant = world.create_grant(KeyId=disabled, GranteePrincipal=USER, Operations=["Encrypt"])["GrantId"]
    denial = world.create_policy(PolicyName="p", PolicyDocument=NOTHING)["Policy"]["Arn"]
    world.create_group(GroupName="g")
    world.add_user_to_group(GroupName="g", UserName="u")
    before = world.rows()
    world.disable_key(KeyId=disabled)
    world.schedule_key_deletion(KeyId=dying)
    policy = world.get_key_policy(KeyId=closed, PolicyName="default")["Policy"]
    world.put_key_policy(KeyId=closed, PolicyName="default", Policy=policy + " ")
    world.revoke_grant(KeyId=disabled, GrantId=grant)
    world.update_alias(AliasName="alias/moved", TargetKeyId=closed)
    world.delete_alias(AliasName="alias/gone")
    world.update_access_key(UserName="u", AccessKeyId=key_ids[0], Status="Inactive")
    world.delete_access_key(UserName="u", AccessKeyId=key_ids[1])
    world.attach_user_policy(UserName="u", PolicyArn=denial)
    world.put_user_policy(UserName="u", PolicyName="i", PolicyDocument=NOTHING)
    world.remove_user_from_group(GroupName="g", UserName="u")
    return before


FOUND: Final[dict[sa.Table, list[str]]] = {
    schema.principals: ["Attached policy", "Inline policy", "Membership"],
    schema.access_keys: ["Access key", "Access key"],
    schema.keys: ["Deletion date", "State", "State"],
    schema.key_policies: ["Key policy"],
    schema.aliases: ["Alias", "Alias"],
    schema.grants: ["Grant"],
}


def test_rows_that_were_put_back_are_found_and_named(world: World) -> None:
    before = lived(world)
    now = world.rows()
    assert world.found() == []
    for table, expected in FOUND.items():
        world.put_back(before, table)
        assert world.found() == expected
        if table is schema.aliases or table is schema.grants or table is schema.access_keys:
            _remove_what_was_added(world, table, now)
        world.put_back(now, table)
        assert world.found() == []
    world.put_back(before, schema.keys)
    [gone, *_] = [text for text in world.compared().findings if "DisableKey" in text]
    key_id = next(row["key_id"] for row in now[schema.keys] if row["state"] == "Disabled")
    assert gone.startswith(f"State of {key_id}, us-east-1: DisableKey of ")
    if world.settings.database is None:
        assert gone in examine(world.settings)


def _remove_what_was_added(world: World, table: sa.Table, now: Rows) -> None:
    [key] = [column for column in table.primary_key.columns if column.name not in ("account", "region")]
    with world.service.database.write() as txn:
        kept = [row[key.name] for row in now[table]]
        txn.connection.execute(sa.delete(table).where(key.not_in(kept)))


def test_an_older_copy_of_the_whole_database_is_found(tmp_path: Path) -> None:
    """With SQLite that is its file."""
    with world_in(tmp_path / "data", None) as world:
        key_id = world.create_key()["KeyMetadata"]["KeyId"]
    file = tmp_path / "data" / "keyquorum.db"
    older = file.read_bytes()
    with world_in(tmp_path / "data", None) as world:
        world.later(600)
        world.disable_key(KeyId=key_id)
        assert world.found() == []
    file.write_bytes(older)
    assert [text.partition(" of ")[0] for text in compare(Settings(data=tmp_path / "data")).findings] == ["State"]


def test_what_is_as_it_was_recorded_is_not_found(world: World) -> None:
    """To and fro, in all the ways that leave a state which depends on more."""
    kms = world
    one, two = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    for key_id in (one, two):
        kms.disable_key(KeyId=key_id)
        kms.enable_key(KeyId=key_id)
        kms.schedule_key_deletion(KeyId=key_id)
        kms.cancel_key_deletion(KeyId=key_id)
    kms.enable_key(KeyId=one)
    kms.create_key(Origin="EXTERNAL")
    shared = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    kms.replicate_key(KeyId=shared, ReplicaRegion="eu-west-1")
    kms.schedule_key_deletion(KeyId=shared)
    waiting = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=waiting)
    kms.cancel_key_deletion(KeyId=waiting)
    kms.create_user(UserName="u")
    kms.put_user_policy(UserName="u", PolicyName="i", PolicyDocument=NOTHING)
    kms.update_user(UserName="u", NewUserName="v")
    kms.create_user(UserName="u")
    kms.put_user_policy(UserName="v", PolicyName="i", PolicyDocument=NOTHING.replace("*", "kms:*", 1))
    found = world.compared()
    assert (found.findings, found.subjects > 8) == ([], True)


def test_changes_that_overlapped_may_be_in_either_order(world: World) -> None:
    key_id = world.create_key()["KeyMetadata"]["KeyId"]
    before = world.rows()
    world.disable_key(KeyId=key_id)
    world.later(-58)
    world.enable_key(KeyId=key_id)
    world.put_back(before, schema.keys)
    assert world.found() == []
    world.later(10)
    world.disable_key(KeyId=key_id)
    world.put_back(before, schema.keys)
    assert world.found() == ["State"]


@pytest.mark.slow
def test_of_another_node_the_log_has_to_be_given(tmp_path: Path) -> None:
    with fresh_database() as url, world_in(tmp_path / "one", url) as one:
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "seal.key").write_bytes((tmp_path / "one" / "seal.key").read_bytes())
        (tmp_path / "two" / "seal.key").chmod(0o600)
        key_id = one.create_key()["KeyMetadata"]["KeyId"]
        one.disable_key(KeyId=key_id)
        with world_in(tmp_path / "two", url) as two:
            two.later(1200)
            two.enable_key(KeyId=key_id)
            assert one.compared().findings == []  # the record is in the database still
            two.create_key()
            two.service.audit.state()
            alone = one.compared()
            assert (len(alone.findings), alone.shared) == (1, True)
            assert one.compared(tmp_path / "two" / "audit").findings == []
            assert two.compared(tmp_path / "one" / "audit").findings == []


@pytest.mark.slow
def test_a_backup_that_was_restored_is_no_finding(tmp_path: Path) -> None:
    """Rights that came back with it are told by its own record."""
    settings = Settings(data=tmp_path / "data")
    with world_in(tmp_path / "data", None) as world:
        keys = [world.create_key()["KeyMetadata"]["KeyId"] for _ in range(2)]
        world.disable_key(KeyId=keys[0])
        create(settings, tmp_path / "backup", with_audit=True)
    other = Settings(data=tmp_path / "other")
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "other" / "seal.key").write_bytes((tmp_path / "data" / "seal.key").read_bytes())
    (tmp_path / "other" / "seal.key").chmod(0o600)
    restore(other, tmp_path / "backup", Options())
    found = compare(other)
    assert (found.findings, found.subjects) == ([], 1)
    # Its log may know of more than the backup does.
    with world_in(tmp_path / "data", None) as world:
        world.later(3600)
        world.disable_key(KeyId=keys[1])
    (tmp_path / "more").mkdir()
    for file in (tmp_path / "data" / "audit").iterdir():
        (tmp_path / "more" / file.name).write_bytes(file.read_bytes())
    found = compare(other, [tmp_path / "more"])
    assert found.findings == []


def test_a_log_that_is_not_whole_is_said(world: World) -> None:
    world.create_key()
    world.service.audit.state()
    path = world.settings.data
    assert path is not None
    file = path / "audit" / "0.jsonl"
    file.write_bytes(file.read_bytes().replace(b"CreateKey", b"CreateKez"))
    assert "is not whole" in world.compared().findings[0]
