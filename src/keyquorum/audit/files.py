# SPDX-License-Identifier: Apache-2.0
"""The files of an audit directory: ``N.jsonl`` is what writer N appends to, ``N.1.jsonl``, ``N.2.jsonl`` and so on are
what it was rotated into, and ``checkpoints.jsonl`` holds the checkpoints."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CHECKPOINTS: Final = "checkpoints.jsonl"

_NAME: Final = re.compile(r"(0|[1-9][0-9]{0,3})(?:\.([1-9][0-9]{0,8}))?\.jsonl")
_BLOCK: Final = 1 << 16


def is_name(name: str) -> bool:
    """Whether a file of an audit directory has this name."""
    return name == CHECKPOINTS or _NAME.fullmatch(name) is not None


def active(directory: Path, writer: int) -> Path:
    return directory / f"{writer}.jsonl"


def rotated(directory: Path, writer: int) -> list[tuple[int, Path]]:
    """The writer's rotated files with their numbers, in the order in which they were written."""
    return sorted((number, path) for found, number, path in _files(directory) if found == writer and number)


def aside(path: Path, writer: int) -> Path:
    """The name under which the writer's file is put aside next."""
    before = rotated(path.parent, writer)
    return path.with_name(f"{writer}.{before[-1][0] + 1 if before else 1}.jsonl")


def writers(directory: Path) -> list[int]:
    """The numbers of the writers that have left a file."""
    return sorted({writer for writer, _, _ in _files(directory)})


def appended_to(directory: Path) -> list[int]:
    """Those whose current file is there."""
    return sorted(writer for writer, number, _ in _files(directory) if not number)


def _files(directory: Path) -> Iterator[tuple[int, int, Path]]:
    """Writer and number of each file; 0 for the one that is appended to."""
    for entry in os.scandir(directory):
        found = _NAME.fullmatch(entry.name)
        if found is not None:
            yield int(found[1]), int(found[2] or 0), directory / entry.name


def last_line(fd: int, size: int) -> bytes:
    """The last whole line of the file's first ``size`` bytes, newline included; empty if there is none."""
    end = whole_lines(fd, size)
    start = whole_lines(fd, end - 1)
    return os.pread(fd, end - start, start)


def whole_lines(fd: int, size: int) -> int:
    """How many of the file's first ``size`` bytes are whole lines."""
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
