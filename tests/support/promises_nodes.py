# SPDX-License-Identifier: Apache-2.0
"""Nodes that are killed and started again at the same address, as something that watches over them does; and the end of
each row of the fault table: everything that was promised is asked for, at each node, and the audit log verified."""

import random
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

from cluster import Link
from postgres import fresh_database
from processes import kill_all
from promises import Ledger
from promises_load import Load, clients
from servers import Production, Program, run
from stores import free_port

#: Seconds within which a change is answered again after what was broken is whole: what the table promises.
WITHIN: Final = 15.0
SQLITE, POSTGRESQL = "sqlite", "postgresql"


class Standing:
    """A node at one port for good."""

    def __init__(self, directory: Path, *options: str, first: "Standing | None" = None) -> None:
        self.directory, self.data = directory, directory / "data"
        self.database = [part for pair in pairwise(options) if pair[0] == "--database" for part in pair]
        self._options = (*options, "--port", free_port())
        directory.mkdir(parents=True, exist_ok=True)
        if first is not None:
            self.data.mkdir(mode=0o700)
            shutil.copy(first.data / "seal.key", self.data)
        made = Production(directory, *self._options)
        self.root, self.url = made.root, made.url
        self._program: Program = made

    def kill(self) -> None:
        kill_all(self._program)

    def stop(self) -> None:
        self._program.stop()

    def start(self) -> float:
        """The moment at which it listened; monotonic."""
        self._program = Program(self.directory, "--data", str(self.data), *self._options)
        assert self._program.url == self.url
        return time.monotonic()

    def stderr(self) -> str:
        return self._program.stderr.read_text()


class AtCommit(Link):
    """Cuts a connection on which a change is committed, before the COMMIT arrives or when its answer comes. ``chance``:
    how often, while it is ``armed``; ``once``: only once, and then every connection there is, until it is healed."""

    def __init__(self, target: tuple[str, int], *, arrives: bool, chance: float = 1.0, once: bool = False) -> None:
        self._arrives, self._chance, self._once = arrives, chance, once
        self._deaf: set[socket.socket] = set()
        self._writers: set[socket.socket] = set()
        self._dice = random.Random(7)
        self.armed, self.cuts = False, 0
        super().__init__(target)

    def _serve(self, end: socket.socket) -> None:
        if end in self._deaf:
            self._deaf.discard(end)
            self._drop(end)
            return
        said = end.recv(65536, socket.MSG_PEEK) if end in self._pairs else b""
        if b"pg_advisory_xact_lock" in said:
            self._writers.add(end)
        chosen = self.armed and end in self._writers and b"COMMIT\0" in said and self._dice.random() < self._chance
        if chosen:
            self.cuts += 1
            if not self._arrives:
                self._drop(end)
            else:
                self._deaf.add(self._pairs[end])
        if not chosen or self._arrives:
            super()._serve(end)
        if chosen and self._once:
            self.armed, self._state = False, "cut"
            for each in list(self._pairs):
                self._drop(each)


@contextmanager
def standing(directory: Path, options: Sequence[str] = (), count: int = 1) -> Iterator[list[Standing]]:
    nodes: list[Standing] = []
    try:
        for number in range(count):
            nodes.append(Standing(directory / f"node{number}", *options, first=nodes[0] if nodes else None))
        yield nodes
    finally:
        for node in nodes:
            node.kill()


@contextmanager
def on(store: str, directory: Path) -> Iterator[list[Standing]]:
    """One server on SQLite, or two nodes on PostgreSQL."""
    if store == SQLITE:
        with standing(directory) as nodes:
            yield nodes
        return
    with fresh_database() as url, standing(directory, ("--database", url), 2) as nodes:
        yield nodes


def load(ledger: Ledger, nodes: Sequence[Standing], **options: int | float) -> Load:
    return Load(ledger, [node.url for node in nodes], nodes[0].root, **options)  # type: ignore[arg-type]  # by name


def kept(row: str, ledger: Ledger, nodes: Sequence[Standing], told: Load, seconds: Sequence[float]) -> dict[str, int]:
    """Everything that was promised holds; what was counted, which is printed for docs/operate/faults.md (-s)."""
    assert told.failures == [], told.failures
    if told.unanswered:
        # What became of a change that the database was lost with is looked for half a minute later, and at a start.
        for node in nodes:
            node.stop()
            node.start()
    time.sleep(1 if nodes[1:] else 0)  # what a node knows of another's changes may be a second old
    first, *others = (clients(node.url, nodes[0].root) for node in nodes)
    counted = ledger.check(first, [node.data for node in nodes], others)
    assert counted["in doubt"] == told.unanswered
    for node in nodes:
        node.stop()
        run("audit", "verify", "--data", str(node.data), *node.database)
        assert "Traceback" not in node.stderr(), node.stderr()[-5000:]
    shown = ", ".join(f"{number} {what}" for what, number in counted.items())
    print(f"\n{row}: {len(seconds)} times, again within {max(seconds):.2f} s at the latest; {shown}")
    return counted
