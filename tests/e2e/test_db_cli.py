# SPDX-License-Identifier: Apache-2.0
"""``keyquorum db``, and what becomes of the audit records of a node that is lost, as an operator does it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from postgres import PASSWORD, fresh_database
from servers import Production, RefusedToStart, behind_its_back, run

pytestmark = pytest.mark.slow

Start = Callable[..., Production]


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_database() as made:
        yield made


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_is_checked_row_by_row(start: Start, url: str, kind: str) -> None:
    where = ("--database", url) if kind == "postgresql" else ()
    server = start(*where)
    kms = server.client()
    key_id = kms.create_key(Description="a\0b")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/one", TargetKeyId=key_id)
    place = ("--data", str(server.data), *where)
    assert "schema 0003" in run("db", "current", *place).stdout
    assert run("db", "upgrade", *place).stdout == "Nothing to do.\n"
    assert run("db", "check", *place).stdout == "7 rows are as they were written.\n"
    statement = "UPDATE aliases SET name = 'alias/two'"
    if kind == "postgresql":
        with psycopg.connect(url) as other:
            other.execute(statement)
    else:
        with behind_its_back(server.database) as other:
            other.execute(statement)
    with pytest.raises(Exception, match="exit status 1") as caught:
        run("db", "check", *place)
    assert "aliases: " in caught.value.stdout  # type: ignore[attr-defined]  # of CalledProcessError
    assert "alias/two is not as it was written." in caught.value.stdout  # type: ignore[attr-defined]  # the same


def test_another_node_writes_what_a_lost_one_could_not(tmp_path: Path, url: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two" / "data").mkdir(parents=True, mode=0o700)
    one = Production(tmp_path / "one", "--database", url)
    name = (one.data / "node").read_text().strip()
    one.client().create_key(Description="the last change")
    one.kill()
    shutil.copy(one.data / "seal.key", tmp_path / "two" / "data" / "seal.key")
    shutil.rmtree(one.data)
    two = Production(tmp_path / "two", "--database", url)
    place = ("--data", str(two.data), "--database", url)
    assert run("audit", "adopt", *place).stdout == f"{name}  1 records\n"
    run("audit", "adopt", "--node", name, *place)
    found = [
        json.loads(line) for path in (two.data / "audit").glob("[0-9]*.jsonl") for line in path.read_text().splitlines()
    ]
    events = [record["eventName"] for record in found]
    assert sorted(events) == ["AdoptAuditRecords", "CreateKey"]
    (adoption,) = [record for record in found if record["eventName"] == "AdoptAuditRecords"]
    assert adoption["serviceEventDetails"]["node"] == name
    with pytest.raises(Exception, match="exit status 2"):
        run("audit", "adopt", "--node", name, *place)
    two.stop()
    assert run("audit", "verify", *place).stdout.endswith("The log is whole.\n")


def test_the_password_is_shown_nowhere(tmp_path: Path, url: str) -> None:
    """Not in what a server prints, not when it cannot start, and not by what it leaves."""
    server = Production(tmp_path, "--database", url)
    server.client().create_key()
    server.stop()
    place = ("--data", str(server.data), "--database")
    wrong = url.replace(PASSWORD, "wrong-secret")
    with pytest.raises(RefusedToStart) as refused:
        Production(tmp_path, "--database", wrong)
    for arguments in (("config", "show"), ("db", "current"), ("doctor",)):
        try:
            printed = run(*arguments, *place, wrong)
            said = printed.stdout + printed.stderr
        except Exception as error:
            said = f"{error.stdout}{error.stderr}"  # type: ignore[attr-defined]  # of CalledProcessError
        assert said
        assert "wrong-secret" not in said
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (PASSWORD, "wrong-secret"):
        assert secret.encode() not in kept
        assert secret not in str(refused.value)


@pytest.mark.parametrize("wrong", ["mysql://h/x", "postgresql://u:sec/ret@h/x", "postgresql://u:s@cret@h/x", "h"])
def test_what_is_no_url_of_postgresql_is_not_repeated(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(RefusedToStart) as refused:
        Production(tmp_path, "--database", wrong)
    assert "--database" in str(refused.value)
    assert "cret" not in str(refused.value)
    assert "sec/" not in str(refused.value)
