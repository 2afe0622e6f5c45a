# SPDX-License-Identifier: Apache-2.0
"""Whether an audit directory is whole: its chains and files against its checkpoints, and those against a copy that was
exported. Needs the public key of the checkpoints, no seal and no database. Reads each file once, in constant memory.

It finds what was changed, removed, inserted, moved or cut off up to the last checkpoint that it is shown. What comes
after that is checked for being a chain, no more. A server may run meanwhile: checkpoints are read up to where they end
at the start, and audit files after that.
"""

from collections.abc import Iterator
from pathlib import Path

from keyquorum.audit import chain, files
from keyquorum.audit.checkpoints import Checkpoint, Removed, parse
from keyquorum.audit.signing import Verifier
from keyquorum.audit.walk import Report, Walker


def verify(directory: Path, verifier: Verifier, exported: Path | None = None) -> Report:
    """``exported``: a copy of checkpoints from elsewhere, among whatever other lines. Raises OSError."""
    report = Report()
    others = _exported(exported, 0 if exported is None else exported.stat().st_size, verifier)
    own = directory / files.CHECKPOINTS
    end = own.stat().st_size if own.exists() else 0
    report.removed = [removed for line, _ in _lines(own, end) for removed in _removed(line, verifier)]
    # Before it is seen what was put aside: a file that is put aside meanwhile is then read all the same.
    opened = {writer: files.active(directory, writer).open("rb") for writer in files.appended_to(directory)}
    walkers = {writer: Walker(directory, writer, opened.get(writer), report) for writer in files.writers(directory)}
    if walkers and not end:
        report.add(files.CHECKPOINTS, 0, "there are no checkpoints")
    for checkpoint in _statements(own, end, others, verifier, report):
        for head in checkpoint.heads:
            walker = walkers.get(head.writer)
            if walker is None:
                walker = walkers[head.writer] = Walker(directory, head.writer, None, report)
            walker.reach(head, checkpoint.number)
        report.last = checkpoint
    for walker in walkers.values():
        walker.finish()
    return report


def _statements(
    own: Path, end: int, others: Iterator[tuple[Checkpoint, bytes]], verifier: Verifier, report: Report
) -> Iterator[Checkpoint]:
    """The checkpoints in their order, from both files; each is checked."""
    other = next(others, None)
    number, previous = 0, chain.ORIGIN
    for line, at in _lines(own, end):
        statement = verifier.verified(line)
        checkpoint = None if statement is None else parse(statement)
        if checkpoint is None:
            report.add(own.name, at, "the line is no checkpoint that was signed with this key")
        elif (checkpoint.number, checkpoint.previous) != (number + 1, previous):
            what = f"checkpoint {checkpoint.number} does not follow checkpoint {number}"
            report.add(own.name, at, what)
        previous = chain.hash_of(line)
        if checkpoint is None:
            number += 1
            continue
        number = checkpoint.number
        while other is not None and other[0].number <= number:
            if other[0].number < number or other[1] != line:
                report.add(own.name, at, f"checkpoint {other[0].number} is not the exported one")
                yield other[0]
            other = next(others, None)
        yield checkpoint
    while other is not None:
        what = f"checkpoint {other[0].number}, which was exported, is not there: this is an older file"
        report.add(own.name, 0, what)
        yield other[0]
        other = next(others, None)


def _exported(path: Path | None, end: int, verifier: Verifier) -> Iterator[tuple[Checkpoint, bytes]]:
    """The checkpoints in a copy, each once and in rising order."""
    number = 0
    for line, _ in () if path is None else _lines(path, end):
        statement = verifier.verified(line)
        checkpoint = None if statement is None else parse(statement)
        if checkpoint is not None and checkpoint.number > number:
            number = checkpoint.number
            yield checkpoint, line


def _removed(line: bytes, verifier: Verifier) -> list[Removed]:
    statement = verifier.verified(line) if b'"removed":' in line else None
    checkpoint = None if statement is None else parse(statement)
    return [] if checkpoint is None else checkpoint.removed


def _lines(path: Path, end: int) -> Iterator[tuple[bytes, int]]:
    """The whole lines among the first ``end`` bytes, with their numbers."""
    if not end:
        return
    with path.open("rb") as file:
        read = 0
        for number, line in enumerate(file, 1):
            read += len(line)
            if read > end or not line.endswith(b"\n"):
                return
            yield line, number
