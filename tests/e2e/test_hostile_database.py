# SPDX-License-Identifier: Apache-2.0
"""A server whose database somebody else writes to, in plain SQL: over its socket nobody gets a plaintext that is not
his, another key, or a right that nobody gave; and what nobody touched goes on as before."""

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from people import ABLE, ADMIN, CLOSED, HELPER, NOBODY, naming, write_seed
from postgres import fresh_database
from seals import Shown
from servers import Production, RefusedToStart, code_of, run

from keyquorum.admin import seals
from keyquorum.config import Settings

pytestmark = pytest.mark.slow

#: What a request on rows that were tampered with is answered by.
BROKEN: Final = "KMSInternalException"


class Hostile:
    """A server, and a way to its database behind its back. ``url``: None for SQLite's file."""

    def __init__(self, directory: Path, url: str | None) -> None:
        self.url = url
        self.where = () if url is None else ("--database", url)
        self.seed = write_seed(directory)
        self.server = Production(directory, *self.where, "--seed", str(self.seed))
        self.data = self.server.data

    def sql(self, *statements: str) -> list[Any]:
        """What the last one finds."""
        with closing(
            sqlite3.connect(self.data / "keyquorum.db") if self.url is None else psycopg.connect(self.url)
        ) as db:
            for statement in statements:
                cursor = db.execute(statement)
            found = cursor.fetchall() if cursor.description else []
            db.commit()
            return found

    def tampered(self, *statements: str) -> None:
        """While the server is down, so that it has nothing of this in memory."""
        self.server.stop()
        self.sql(*statements)
        self.server = self.server.again(*self.where, "--lock-timeout", "5")  # a seed would be refused

    def by(self, person: Any) -> Any:
        return self.server.client(access=person.access)


@pytest.fixture(params=["sqlite", "postgresql"])
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hostile]:
    def made(url: str | None) -> Iterator[Hostile]:
        found = Hostile(tmp_path, url)
        yield found
        found.server.stop()

    if request.param == "sqlite":
        yield from made(None)
        return
    with fresh_database() as url:
        yield from made(url)


def swap(table: str, columns: str, one: str, other: str) -> str:
    """Give the row of one key these columns of another's."""
    sets = [f"{column} = (SELECT {column} FROM {table} WHERE key_id = '{other}')" for column in columns.split()]
    return f"UPDATE {table} SET {', '.join(sets)} WHERE key_id = '{one}'"


def wrapped_row(key_id: str) -> str:
    return f"(SELECT wrapped_row FROM key_materials WHERE key_id = '{key_id}')"


def test_edits_by_hand_give_nobody_anything(hostile: Hostile) -> None:
    admin, nobody = hostile.by(ADMIN), hostile.by(NOBODY)

    def key(policy: str = CLOSED) -> str:
        return str(admin.create_key(Policy=policy)["KeyMetadata"]["KeyId"])

    mine = key(naming(NOBODY))
    closed, disabled, granted, aliased, bait, doomed, one, two, untouched = (key() for _ in range(9))
    sealed = {k: admin.encrypt(KeyId=k, Plaintext=k.encode())["CiphertextBlob"] for k in (closed, disabled, one, two)}
    admin.disable_key(KeyId=disabled)
    admin.create_grant(KeyId=mine, GranteePrincipal=NOBODY.arn, Operations=["Encrypt"])
    admin.create_alias(AliasName="alias/a", TargetKeyId=aliased)
    admin.schedule_key_deletion(KeyId=doomed)
    assert nobody.encrypt(KeyId=mine, Plaintext=b"x")["KeyId"].endswith(mine)
    assert code_of(hostile.by(HELPER).list_keys) == "AccessDeniedException"
    principal = "(SELECT principal_id FROM principals WHERE name = '{}')".format
    rows = [hostile.sql(f"SELECT wrapped_row FROM key_materials WHERE key_id = '{k}'")[0][0] for k in (one, two)]
    hostile.tampered(
        swap("key_policies", "document bound version mac", closed, mine),
        f"UPDATE keys SET state = 'Enabled' WHERE key_id = '{disabled}'",
        f"UPDATE keys SET deletion_date = 1 WHERE key_id = '{doomed}'",
        f"UPDATE grants SET key_id = '{granted}' WHERE key_id = '{mine}'",
        f"UPDATE aliases SET key_id = '{bait}' WHERE key_id = '{aliased}'",
        "UPDATE principals SET inline = (SELECT inline FROM principals WHERE name = 'admin') WHERE name = 'helper'",
        f"UPDATE access_keys SET principal_id = {principal('admin')} WHERE principal_id = {principal('able')}",
        f'UPDATE wrapped_materials SET "row" = -1 WHERE "row" = {rows[0]}',
        f'UPDATE wrapped_materials SET "row" = {rows[0]} WHERE "row" = {rows[1]}',
        f'UPDATE wrapped_materials SET "row" = {rows[1]} WHERE "row" = -1',
    )
    admin, nobody, server = hostile.by(ADMIN), hostile.by(NOBODY), hostile.server
    asked: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (nobody.decrypt, {"KeyId": closed, "CiphertextBlob": sealed[closed]}),
        (admin.decrypt, {"KeyId": closed, "CiphertextBlob": sealed[closed]}),
        (admin.get_key_policy, {"KeyId": closed, "PolicyName": "default"}),
        (admin.decrypt, {"KeyId": disabled, "CiphertextBlob": sealed[disabled]}),
        (admin.describe_key, {"KeyId": doomed}),
        (nobody.encrypt, {"KeyId": granted, "Plaintext": b"x"}),
        (admin.list_grants, {"KeyId": granted}),
        (admin.encrypt, {"KeyId": "alias/a", "Plaintext": b"x"}),
        (hostile.by(HELPER).list_keys, {}),
        (hostile.by(ABLE).list_keys, {}),
        *((admin.decrypt, {"KeyId": k, "CiphertextBlob": sealed[k]}) for k in (one, two)),
        *((admin.encrypt, {"KeyId": k, "Plaintext": b"x"}) for k in (one, two)),
    ]
    assert [code_of(call, **members) for call, members in asked] == [BROKEN] * len(asked)
    assert nobody.encrypt(KeyId=mine, Plaintext=b"x")["KeyId"].endswith(mine)
    blob = admin.encrypt(KeyId=untouched, Plaintext=b"x")["CiphertextBlob"]
    assert admin.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert "does not carry its MAC" in server.stderr.read_text()
    # The jobs have looked at what is "due" by now, and have left it.
    assert hostile.sql(f"SELECT count(*) FROM keys WHERE key_id = '{doomed}'") == [(1,)]


def test_root_key_and_keyring_keys_are_no_others(hostile: Hostile, tmp_path: Path) -> None:
    hostile.server.client().create_key()
    hostile.server.stop()
    (tmp_path / "other").mkdir(mode=0o700)
    shutil.copy(hostile.data / "seal.key", tmp_path / "other")
    seals.init(seals.Wanted(Settings(data=tmp_path / "other"), "file"), Shown())  # under the same seal
    with closing(sqlite3.connect(tmp_path / "other" / "keyquorum.db")) as other:
        ((root,),) = other.execute("SELECT hex(sealed) FROM root_keys").fetchall()
        ((ring,),) = other.execute("SELECT hex(wrapped) FROM keyring_keys").fetchall()
    literal = ("x'{}'" if hostile.url is None else r"'\x{}'::bytea").format
    for table, column, theirs in (("root_keys", "sealed", root), ("keyring_keys", "wrapped", ring)):
        ((mine,),) = hostile.sql(f"SELECT {column} FROM {table}")
        flipped = bytes([mine[0] ^ 1]) + mine[1:]
        for changed in (bytes.fromhex(theirs), flipped):
            hostile.sql(f"UPDATE {table} SET {column} = {literal(changed.hex())}")
            with pytest.raises(RefusedToStart, match="does not open") as caught:
                hostile.server.again()
            assert "Traceback" not in str(caught.value)
        hostile.sql(f"UPDATE {table} SET {column} = {literal(mine.hex())}")
    hostile.server = hostile.server.again()
    assert len(hostile.server.client().list_keys()["Keys"]) == 1


def test_a_row_that_was_put_back_is_served_and_found(hostile: Hostile) -> None:
    """What SECURITY.md says of it."""
    admin = hostile.by(ADMIN)
    key_id = admin.create_key(Policy=CLOSED)["KeyMetadata"]["KeyId"]
    quick = hostile.data.with_name("quick.toml")
    quick.write_text("lock-timeout = 0.1\n")  # and so requests that are more than 1.1 s apart did not overlap
    where = ("--data", str(hostile.data), *hostile.where, "--config", str(quick))
    keep = f"CREATE TABLE kept AS SELECT * FROM keys WHERE key_id = '{key_id}'"
    hostile.sql(keep)
    time.sleep(1.2)
    admin.disable_key(KeyId=key_id)
    time.sleep(1.2)
    assert "1 things are known" in run("audit", "compare", *where).stdout
    hostile.tampered(
        *(
            f"UPDATE keys SET {column} = (SELECT {column} FROM kept) WHERE key_id = '{key_id}'"
            for column in ("state", "version", "mac")
        ),
        "DROP TABLE kept",
    )
    assert code_of(hostile.by(ADMIN).encrypt, KeyId=key_id, Plaintext=b"x") == ""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("audit", "compare", *where)
    assert caught.value.returncode == 1
    assert f"State of {key_id}, us-east-1: DisableKey of " in caught.value.stdout
    assert ("another node" in caught.value.stdout) == (hostile.url is not None)
