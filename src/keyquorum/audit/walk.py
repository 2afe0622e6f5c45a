# SPDX-License-Identifier: Apache-2.0
"""One pass over what a writer wrote: each line must follow the one before, and be what checkpoints state of it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from keyquorum.audit import chain, files
from keyquorum.audit.checkpoints import Checkpoint, Removed, WriterHead

_SHOWN: Final = 100


class Problem(NamedTuple):
    """Something that is not as it was written. ``line`` is 0 for a file as a whole."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}" if self.line else f"{self.file}: {self.what}"


@dataclass(slots=True)
class Report:
    """``problems`` are the first, ``found`` is how many there are. ``uncovered``: how many records come after the last
    checkpoint. ``unfinished``: files that end amid a line, as those of a process do that is writing or has died."""

    problems: list[Problem] = field(default_factory=list)
    found: int = 0
    records: int = 0
    uncovered: int = 0
    unfinished: list[str] = field(default_factory=list)
    last: Checkpoint | None = None
    removed: list[Removed] = field(default_factory=list)

    def add(self, file: str, line: int, what: str) -> None:
        self.found += 1
        if self.found <= _SHOWN:
            self.problems.append(Problem(file, line, what))


class Walker:
    """One writer's lines, in their order, through all its files."""

    def __init__(self, directory: Path, writer: int, active: BinaryIO | None, report: Report) -> None:
        self._report = report
        mine = [removed for removed in report.removed if removed.writer == writer]
        self._starts = {chain.ORIGIN, *(removed.hash for removed in mine)}
        self._removed = {name: number for removed in mine for name, number in removed.chains.items()}
        self._name = files.active(directory, writer).name
        self._read = self._through(directory, writer, active)
        self._file, self._number = self._name, 0
        self._chain, self._sequence, self._hash = "", 0, ""
        self._ended = False
        self._covered = 0
        self._lines = 0

    def _through(self, directory: Path, writer: int, active: BinaryIO | None) -> Iterator[bytes]:
        inode = None if active is None else _inode(active)
        for _, path in files.rotated(directory, writer):
            with path.open("rb") as file:
                if _inode(file) != inode:  # else it was put aside since, and comes last
                    self._file, self._number = path.name, 0
                    yield from file
        if active is not None:
            with active:
                self._file, self._number = self._name, 0
                yield from active

    def _step(self) -> bool:
        line = next(self._read, None)
        if line is None:
            self._ended = True
            return False
        self._number += 1
        if not line.endswith(b"\n"):
            if self._file == self._name:
                self._report.unfinished.append(self._file)
            else:
                self._problem("the line is not finished")
            return self._step()
        self._lines += 1
        link = chain.link_of(line)
        if link is None:
            self._problem("the line is no record of this log")
        else:
            self._check(link)
            self._chain, self._sequence = link.chain, link.sequence
        self._hash = chain.hash_of(line)
        return True

    def _check(self, link: chain.Link) -> None:
        follows = link.sequence == (self._sequence + 1 if link.chain == self._chain else 1)
        if not self._hash:
            if link.previous not in self._starts:
                self._problem(f"record {link.sequence} of chain {link.chain} does not begin the log: more came before")
        elif link.previous == self._hash and follows:
            return
        elif link.chain == self._chain and not follows:
            self._problem(f"record {link.sequence} of chain {link.chain} comes after its record {self._sequence}")
        else:
            self._problem(
                f"record {link.sequence} of chain {link.chain} does not follow the line before it: one of the two was"
                " changed, or lines were removed, inserted or moved"
            )

    def reach(self, head: WriterHead, checkpoint: int) -> None:
        """Go on to the line that a checkpoint states, and see whether it is the same."""
        if self._ended or head.sequence <= self._removed.get(head.chain, 0):
            return
        stated = f"record {head.sequence} of chain {head.chain}, which checkpoint {checkpoint} states,"
        while (self._chain, self._sequence) != (head.chain, head.sequence):
            if not self._step():
                self._problem(f"{stated} is not there: the log was cut off, or a file is missing")
                return
        if self._hash != head.hash:
            self._problem(f"{stated} is another one")
        self._covered = self._lines

    def finish(self) -> None:
        while not self._ended:
            self._step()
        self._report.records += self._lines
        self._report.uncovered += self._lines - self._covered

    def _problem(self, what: str) -> None:
        self._report.add(self._file, self._number, what)


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino
