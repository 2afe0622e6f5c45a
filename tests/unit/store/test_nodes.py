# SPDX-License-Identifier: Apache-2.0
"""Audit records of changes wait for the node that made them, and for no other, unless that one adopts them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from audit_lines import event_ids, made
from stored import MAC, of_kind

from keyquorum.audit.log import AuditLog
from keyquorum.journal import Journal
from keyquorum.layout import DataDirectory
from keyquorum.store.engine import Database
from keyquorum.store.outbox import Outbox


class Node(NamedTuple):
    """A process of a node: its data directory, and its audit log."""

    directory: DataDirectory
    database: Database
    outbox: Outbox
    log: AuditLog
    journal: Journal

    def change(self, *names: str, publish: bool = True) -> None:
        for name in names:
            with self.database.write() as txn:
                entry = self.journal.enter(txn, name, made(name))
            if publish:
                self.journal.publish(entry)

    def written(self) -> list[str]:
        return event_ids(self.directory.audit, "0.jsonl")

    def again(self) -> "Node":
        self.log.close()
        node = start(self.directory.path, self.database)
        node.journal.recover()
        node.journal.recover_others(self.directory.audit, sync=False)
        return node


def start(path: Path, database: Database, doubt: float = 30.0) -> Node:
    directory = DataDirectory(path)
    path.mkdir(exist_ok=True)
    outbox = Outbox(MAC, directory.node_id())
    log = AuditLog.open(directory.audit, sync=False)
    return Node(directory, database, outbox, log, Journal(database, outbox, log, doubt))


@pytest.fixture(params=["memory", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with of_kind(request.param, tmp_path) as made:
        yield made


def test_a_node_writes_its_own_records_and_leaves_those_of_others_alone(database: Database, tmp_path: Path) -> None:
    """Both have a writer 0."""
    one, two = start(tmp_path / "one", database), start(tmp_path / "two", database)
    one.change("a", "b", publish=False)
    two.change("c")
    two.change("d", publish=False)
    two = two.again()
    assert two.written() == ["c", "d"]
    assert one.written() == []
    assert one.again().written() == ["a", "b"]


def test_the_records_of_a_lost_node_are_adopted_once(database: Database, tmp_path: Path) -> None:
    lost, one = start(tmp_path / "lost", database), start(tmp_path / "one", database)
    lost.change("a", "b", publish=False)
    one.change("c")
    lost_name = lost.outbox.node
    assert lost_name is not None
    with database.read() as connection:
        assert sorted(one.outbox.nodes(connection)) == sorted([(lost_name, 2), (one.outbox.node, 1)])
    for expected in (2, 0):
        with database.write() as txn:
            assert one.outbox.adopt(txn, lost_name, one.log.writer) == expected
        one.journal.recover()
        assert one.written() == ["c", "a", "b"]
    assert lost.again().written() == []


def test_records_that_name_another_node_behind_our_back_are_nobodys(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = start(tmp_path / "one", database), start(tmp_path / "two", database)
    one.change("a", publish=False)
    statement = f"UPDATE audit_outbox SET node = '{two.outbox.node}'"
    database.execute_script(lambda connection: connection.exec_driver_sql(statement))
    assert two.again().written() == []
    assert "was tampered with and is not written" in caplog.text
    with database.write() as txn:
        assert one.outbox.adopt(txn, str(two.outbox.node), 0) == 0


def test_a_change_of_which_nothing_was_heard_is_written_if_it_was_made(database: Database, tmp_path: Path) -> None:
    node = start(tmp_path / "one", database, doubt=0.0)
    node.change("made", publish=False)
    with pytest.raises(ZeroDivisionError), database.write() as txn:  # noqa: PT012 - the block is the transaction that fails
        node.journal.enter(txn, "not made", made("not made"))
        raise ZeroDivisionError
    node.journal.retry()
    assert node.written() == ["made"]
    node.change("next")
    node.journal.retry()
    assert node.written() == ["made", "next"]
    assert node.again().written() == ["made", "next"]


def test_a_change_that_is_published_late_is_written_once(database: Database, tmp_path: Path) -> None:
    node = start(tmp_path / "one", database, doubt=0.0)
    with database.write() as txn:
        entry = node.journal.enter(txn, "late", made("late"))
    node.journal.retry()
    node.journal.publish(entry)
    assert node.written() == ["late"]


def test_the_processes_of_a_node_have_one_name_and_nodes_have_different_ones(tmp_path: Path) -> None:
    names = [DataDirectory(tmp_path).node_id() for _ in range(3)]
    assert len(set(names)) == 1
    (tmp_path / "other").mkdir()
    assert DataDirectory(tmp_path / "other").node_id() not in names
    DataDirectory(tmp_path).node.write_text("../../etc")
    with pytest.raises(OSError, match="does not hold the 32 hexadecimal digits"):
        DataDirectory(tmp_path).node_id()
