# SPDX-License-Identifier: Apache-2.0
"""Who can write to the database writes no audit records with it, takes none away by a change, and names no files."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from audit_lines import event_ids, made
from stored import MAC, database

from keyquorum.audit.log import WRITERS, AuditLog
from keyquorum.custody.root import RootKey
from keyquorum.journal import Journal
from keyquorum.store.engine import Database
from keyquorum.store.outbox import Outbox
from keyquorum.store.rowmac import RowMAC

OUTBOX = Outbox(MAC)
FORGED = b'{"eventID":"forged"}'


class Left(NamedTuple):
    """What a process that died left: the records a, b and c of writer 0, of which none was written."""

    directory: Path
    database: Database

    def tamper(self, *statements: str, **values: Any) -> None:
        """Raw SQL, as somebody with a shell and the file would write it."""
        with sqlite3.connect(self.directory / "keyquorum.db") as connection:
            for statement in statements:
                connection.execute(statement, values)
        connection.close()

    def written_at_the_next_start(self, writer: int = 0) -> list[str]:
        log = AuditLog.open(self.directory / "audit", sync=False)
        journal = Journal(self.database, OUTBOX, log)
        journal.recover()
        journal.recover_others(self.directory / "audit", sync=False)
        log.close()
        audit, file = self.directory / "audit", f"{writer}.jsonl"
        return event_ids(audit, file) if (audit / file).exists() else []

    def files(self) -> dict[str, bytes]:
        """Every file outside the database."""
        kept = {"keyquorum.db", "keyquorum.db-wal", "keyquorum.db-shm", "generations"}
        found = [path for path in self.directory.parent.rglob("*") if path.is_file() and path.name not in kept]
        return {str(path.relative_to(self.directory.parent)): path.read_bytes() for path in found}


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Left]:
    directory = tmp_path / "data"
    (directory / "audit").mkdir(parents=True)
    with database(directory) as opened:
        with opened.write() as txn:
            for name in "abc":
                OUTBOX.add(txn, 0, 0, name, made(name))
        yield Left(directory, opened)


B = "WHERE event_id = 'b'"
CHANGES = {
    "another record": f"UPDATE audit_outbox SET record = CAST('{FORGED.decode()}' AS BLOB) {B}",
    "a line more": f"UPDATE audit_outbox SET record = record || x'0a' || CAST('{FORGED.decode()}' AS BLOB) {B}",
    "a record as text": f"UPDATE audit_outbox SET record = CAST(record AS TEXT) {B}",
    "a number for a record": f"UPDATE audit_outbox SET record = 1000000000 {B}",
    "no record": f"UPDATE audit_outbox SET record = x'' {B}",
    "another event": f"UPDATE audit_outbox SET event_id = 'a' {B}",
    "another position": f"UPDATE audit_outbox SET position = 1000 {B}",
    "a position that is none": f"UPDATE audit_outbox SET position = 'x' {B}",
    "another row's MAC": f"UPDATE audit_outbox SET mac = (SELECT mac FROM audit_outbox WHERE event_id = 'a') {B}",
    "no MAC": f"UPDATE audit_outbox SET mac = x'' {B}",
    "a MAC as text": f"UPDATE audit_outbox SET mac = 'mac' {B}",
}


def test_what_nobody_changed_is_written_once(left: Left) -> None:
    for _ in range(2):
        assert left.written_at_the_next_start() == ["a", "b", "c"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_was_changed_is_not_written_and_keeps_no_other(
    left: Left, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    left.tamper(CHANGES[change])
    for _ in range(2):
        assert left.written_at_the_next_start() == ["a", "c"]
        assert "of the audit outbox was tampered with and is not written" in caplog.text
    assert b"forged" not in b"".join(left.files().values())


def test_a_row_that_was_put_there_is_not_written(left: Left) -> None:
    columns = "writer, position, event_id, record, mac"
    left.tamper(
        f"INSERT INTO audit_outbox ({columns}) SELECT writer, position, 'forged', :record, mac FROM audit_outbox",
        f"INSERT INTO audit_outbox ({columns}) VALUES (0, 0, 'forged', :record, x'00')",
        record=FORGED,
    )
    assert left.written_at_the_next_start() == ["a", "b", "c"]


def test_a_record_under_another_root_key_is_not_written(left: Left) -> None:
    other = Outbox(RowMAC(RootKey(bytes(32)).derive("row mac")))
    with left.database.write() as txn:
        other.add(txn, 0, 0, "forged", FORGED)
    assert left.written_at_the_next_start() == ["a", "b", "c"]


def test_a_row_that_is_there_twice_is_written_once(left: Left) -> None:
    """Its number carries no meaning, and so no MAC; its event does."""
    columns = "writer, position, event_id, record, mac"
    left.tamper(f"INSERT INTO audit_outbox ({columns}) SELECT {columns} FROM audit_outbox")
    assert sorted(set(left.written_at_the_next_start())) == ["a", "b", "c"]
    assert len(left.written_at_the_next_start()) == 3


def test_a_record_is_given_to_another_writer(left: Left) -> None:
    left.tamper("UPDATE audit_outbox SET writer = 7")
    assert left.written_at_the_next_start(7) == []
    assert left.written_at_the_next_start(0) == []


WRITERS_THAT_ARE_NONE = [
    "../../outside",
    "/tmp/outside",
    "0.jsonl/../x",
    "",
    -1,
    -(2**63),
    WRITERS,
    2**63 - 1,
    0.5,
    b"0",
]


@pytest.mark.parametrize("writer", WRITERS_THAT_ARE_NONE, ids=repr)
def test_a_writer_that_is_none_becomes_no_file(left: Left, writer: object) -> None:
    """SQLite keeps any type in any column."""
    left.tamper(
        "INSERT INTO audit_outbox (writer, position, event_id, record, mac) VALUES (:writer, 0, 'x', :record, x'00')",
        writer=writer,
        record=FORGED,
    )
    assert left.written_at_the_next_start() == ["a", "b", "c"]
    assert list(left.files()) == ["data/audit/0.jsonl"]


def test_a_file_of_ones_own_choice_is_not_cut(left: Left) -> None:
    """To own an audit file is to cut off what looks unfinished."""
    victim = left.directory.parent / "victim.jsonl"
    victim.write_bytes(b"a line that has no end")
    left.tamper("UPDATE audit_outbox SET writer = '../../victim'")
    left.written_at_the_next_start()
    assert victim.read_bytes() == b"a line that has no end"
