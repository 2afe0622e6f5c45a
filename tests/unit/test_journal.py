# SPDX-License-Identifier: Apache-2.0
"""A change and its audit record are one: the record is written once, whatever fails or dies in between."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from audit_lines import event_ids, made
from stored import MAC, database

from keyquorum.audit.log import AuditLog
from keyquorum.errors import DependencyTimeoutException
from keyquorum.journal import Entry, Journal
from keyquorum.store.engine import Database
from keyquorum.store.outbox import Outbox

OUTBOX = Outbox(MAC)


class Kept(NamedTuple):
    directory: Path
    database: Database
    log: AuditLog
    journal: Journal

    def enter(self, name: str) -> Entry:
        """A change that commits with its record."""
        with self.database.write() as txn:
            return self.journal.enter(txn, name, made(name))

    def change(self, *names: str) -> None:
        for name in names:
            self.journal.publish(self.enter(name))

    def written(self, writer: int = 0) -> list[str]:
        return event_ids(self.directory, f"{writer}.jsonl")

    def waiting(self, writer: int = 0) -> list[str]:
        with self.database.read() as connection:
            return [w.event_id for w in OUTBOX.waiting(connection, writer)]

    def recovered(self) -> "Kept":
        """As the next process finds it."""
        self.log.close()
        log = AuditLog.open(self.directory, sync=False)
        journal = Journal(self.database, OUTBOX, log)
        journal.recover()
        return Kept(self.directory, self.database, log, journal)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with database(tmp_path) as opened:
        log = AuditLog.open(tmp_path / "audit", sync=False)
        yield Kept(tmp_path / "audit", opened, log, Journal(opened, OUTBOX, log))


def test_records_are_written_in_the_order_of_the_changes_and_leave_the_outbox(kept: Kept) -> None:
    kept.change("a", "b", "c")
    kept.journal.write([made("read")])
    assert kept.written() == ["a", "b", "c", "read"]
    assert kept.waiting() == ["c"]  # the last leaves with the next change
    kept.change("d")
    assert kept.waiting() == ["d"]


def test_the_record_of_a_change_that_was_rolled_back_is_never_written(kept: Kept) -> None:
    kept.change("a")
    with pytest.raises(ZeroDivisionError), kept.database.write() as txn:  # noqa: PT012 - the block is the transaction that fails
        kept.journal.enter(txn, "never", made("never"))
        raise ZeroDivisionError
    kept.change("b")
    assert kept.recovered().written() == ["a", "b"]


def test_what_a_process_had_no_time_to_write_is_written_once_when_it_comes_back(kept: Kept) -> None:
    kept.change("a")
    kept.enter("b")
    kept.enter("c")
    assert (kept.written(), kept.waiting()) == (["a"], ["b", "c"])
    again = kept.recovered()
    assert (again.written(), again.waiting()) == (["a", "b", "c"], [])
    assert again.recovered().written() == ["a", "b", "c"]


def test_what_was_written_and_not_yet_cleared_is_not_written_twice(kept: Kept) -> None:
    kept.change("a", "b")
    assert kept.waiting() == ["b"]
    again = kept.recovered()
    assert (again.written(), again.waiting()) == (["a", "b"], [])


def test_a_record_that_was_half_written_when_power_went_is_written_whole(kept: Kept) -> None:
    kept.change("a")
    kept.enter("b")
    with (kept.directory / "0.jsonl").open("ab") as file:
        file.write(b'{"eventVersion"')
    assert kept.recovered().written() == ["a", "b"]


def test_a_record_that_cannot_be_written_waits_and_goes_with_the_next(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.change("a")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    first, second = kept.enter("b"), kept.enter("c")
    resource.setrlimit(resource.RLIMIT_FSIZE, (kept.log.position, before[1]))
    try:
        kept.journal.publish(first)
        kept.journal.publish(second)
        with pytest.raises(DependencyTimeoutException):
            kept.journal.write([made("read")])  # no record, no answer
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "audit records wait in the database" in caplog.text
    assert (kept.written(), kept.waiting()) == (["a"], ["b", "c"])
    kept.change("d")
    assert (kept.written(), kept.waiting()) == (["a", "b", "c", "d"], ["d"])
    kept.change("e")
    assert (kept.written(), kept.waiting()) == (["a", "b", "c", "d", "e"], ["e"])
    assert kept.recovered().written() == ["a", "b", "c", "d", "e"]


def test_a_process_that_dies_while_records_wait(kept: Kept) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    entry = kept.enter("a")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        kept.journal.publish(entry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kept.written() == []
    assert kept.recovered().written() == ["a"]


def test_the_records_of_another_writer_that_died_are_written_to_its_file(kept: Kept) -> None:
    other = AuditLog.open(kept.directory, sync=False)
    journal = Journal(kept.database, OUTBOX, other)
    with kept.database.write() as txn:
        journal.enter(txn, "theirs", made("theirs"))
    kept.journal.recover_others(kept.directory, sync=False)
    assert kept.waiting(1) == ["theirs"]  # it lives
    other.close()
    for _ in range(2):
        kept.journal.recover_others(kept.directory, sync=False)
        assert (kept.waiting(1), kept.written(1), kept.written()) == ([], ["theirs"], [])


def test_an_audit_file_that_was_moved_away_gets_what_is_missing_only(kept: Kept) -> None:
    kept.change("a")
    kept.enter("b")
    (kept.directory / "0.jsonl").rename(kept.directory / "old.jsonl")
    again = kept.recovered()
    assert again.waiting() == []
    assert "b" in again.written()


@contextmanager
def no_room(kept: Kept) -> Iterator[None]:
    """The audit file cannot grow. (Nothing is committed meanwhile.)"""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(1, kept.log.position), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_waits_is_tried_again_without_another_change(kept: Kept) -> None:
    entries = [kept.enter(name) for name in "ab"]
    with no_room(kept):
        for entry in entries:
            kept.journal.publish(entry)
        kept.journal.retry()
    assert kept.written() == []
    kept.journal.retry()
    kept.journal.retry()
    assert kept.written() == ["a", "b"]
    assert kept.recovered().written() == ["a", "b"]


def test_no_change_commits_while_the_record_of_another_waits(kept: Kept) -> None:
    entry = kept.enter("a")
    with no_room(kept):
        kept.journal.publish(entry)
        with pytest.raises(DependencyTimeoutException, match="The audit log cannot be written"):
            kept.enter("refused")
    kept.change("next", "last")
    assert (kept.written(), kept.waiting()) == (["a", "next", "last"], ["last"])
    assert kept.recovered().written() == ["a", "next", "last"]


def test_no_change_commits_after_the_log_is_closed(kept: Kept) -> None:
    kept.log.close()
    with pytest.raises(DependencyTimeoutException):
        kept.enter("refused")
    assert kept.waiting() == []


def test_a_log_that_was_cut_since_gets_what_is_missing_only(kept: Kept) -> None:
    """A tool that rotates logs by copying and cutting: positions lie past the end of the file."""
    kept.change("a", "b")
    kept.enter("c")
    (kept.directory / "0.jsonl").write_bytes(made("b") + b"\n")
    assert kept.recovered().written() == ["b", "c"]


def test_a_record_in_a_file_that_was_put_aside_is_not_written_again(kept: Kept) -> None:
    log = AuditLog.own(kept.directory, 7, rotate_size=1)
    assert log is not None
    journal = Journal(kept.database, OUTBOX, log)
    for name in "ab":
        with kept.database.write() as txn:
            entry = journal.enter(txn, name, made(name, time.time()))
        journal.publish(entry)
    journal.write([made("read")])
    assert (kept.waiting(7), log.rotations) == (["b"], 2)
    log.close()
    kept.journal.recover_others(kept.directory, sync=False)
    assert kept.waiting(7) == []
    files = ["7.1.jsonl", "7.2.jsonl", "7.jsonl"]
    assert [event_ids(kept.directory, file) for file in files] == [["a"], ["b"], ["read"]]


def test_nothing_that_was_put_aside_stays_in_the_outbox(kept: Kept) -> None:
    log = AuditLog.own(kept.directory, 7, rotate_size=1)
    assert log is not None
    journal = Journal(kept.database, OUTBOX, log)
    with kept.database.write() as txn:
        entry = journal.enter(txn, "a", made("a"))
    journal.publish(entry)
    journal.retry()
    assert kept.waiting(7) == ["a"]
    journal.write([made("read")])
    journal.retry()
    assert kept.waiting(7) == []
    log.close()
