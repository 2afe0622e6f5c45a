# SPDX-License-Identifier: Apache-2.0
"""Audit directories as several processes leave them, and what somebody with access to the files may do to them."""

import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from audit_lines import made

from keyquorum.audit.checkpoints import Checkpoints
from keyquorum.audit.log import AuditLog
from keyquorum.audit.signing import Signer, Verifier

SIGNER = Signer(bytes(range(32)))
VERIFIER = Verifier(SIGNER.public_key())
CHECKPOINTS = "checkpoints.jsonl"


class Copies:
    """A sink: what was exported."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def offer(self, lines: Iterable[bytes]) -> None:
        with self._path.open("ab") as file:
            file.writelines(lines)


def fill(directory: Path, records: int, *, rotate_size: int, starts: int = 4, exported: Path | None = None) -> None:
    """A log of so many records: two processes that write in turn, are started again and again, make checkpoints and put
    files aside. The last checkpoint covers all."""
    checkpoints = Checkpoints(directory, SIGNER, [] if exported is None else [Copies(exported)])
    left = iter(range(records))
    for start in range(starts):
        logs = [AuditLog.open(directory, rotate_size=rotate_size) for _ in range(2)]
        for turn in range(records // starts):
            number = next(left, None)
            if number is None:
                break
            logs[turn % 2].write([made(f"event {number}", 1_767_225_600.0 + number)])
            if turn % 500 == 250:
                checkpoints.make(logs[turn // 500 % 2], float(start))
        for log in logs:
            checkpoints.make(log, float(start))
            log.close()


Files = dict[str, list[bytes]]


class Manipulated(NamedTuple):
    """What was done, and to which files: their lines; None for one that is gone."""

    what: str
    files: dict[str, list[bytes] | None]


class Manipulator:
    """Makes manipulations of a directory, at random. ``other`` is another log, ``older`` this one as it was before."""

    def __init__(self, directory: Path, other: Path, older: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.files = _lines_of(directory)
        self.other = _lines_of(other)
        self.older = _lines_of(older)
        self.logs = [name for name in self.files if name != CHECKPOINTS]

    def one(self) -> Manipulated:
        kinds: list[Callable[[], Manipulated | None]] = [
            self.change_a_byte,
            self.remove,
            self.insert,
            self.duplicate,
            self.swap,
            self.cut_off,
            self.remove_a_chain,
            self.remove_a_file,
            self.splice,
            self.exchange_files,
            self.replay_checkpoints,
            self.roll_back_everything,
        ]
        while True:
            made = self.dice.choice(kinds)()
            if made is not None and any(self.files.get(name) != lines for name, lines in made.files.items()):
                return made

    def _pick(self) -> tuple[str, list[bytes], int]:
        name = self.dice.choice(list(self.files))
        lines = list(self.files[name])
        return name, lines, self.dice.randrange(len(lines))

    def change_a_byte(self) -> Manipulated:
        name, lines, at = self._pick()
        line = bytearray(lines[at])
        line[self.dice.randrange(len(line))] ^= 1 << self.dice.randrange(8)
        lines[at] = bytes(line)
        return Manipulated(f"a byte of {name}:{at + 1} changed", {name: lines})

    def remove(self) -> Manipulated:
        name, lines, at = self._pick()
        count = self.dice.choice([1, 1, 2, 50])
        del lines[at : at + count]
        return Manipulated(f"{count} lines from {name}:{at + 1} removed", {name: lines})

    def insert(self) -> Manipulated:
        name, lines, at = self._pick()
        lines.insert(at, made("forged") + b"\n")
        return Manipulated(f"a line put in before {name}:{at + 1}", {name: lines})

    def duplicate(self) -> Manipulated:
        name, lines, at = self._pick()
        to = self.dice.choice([at, self.dice.randrange(len(lines) + 1)])
        lines.insert(to, lines[at])
        return Manipulated(f"{name}:{at + 1} copied to {to + 1}", {name: lines})

    def swap(self) -> Manipulated:
        name, lines, at = self._pick()
        to = self.dice.randrange(len(lines))
        lines[at], lines[to] = lines[to], lines[at]
        return Manipulated(f"{name}:{at + 1} and {to + 1} swapped", {name: lines})

    def cut_off(self) -> Manipulated:
        name, lines, at = self._pick()
        torn = self.dice.choice([b"", lines[at][: self.dice.randrange(len(lines[at]))]])
        return Manipulated(f"{name} cut off at {at + 1}", {name: [*lines[:at], torn] if torn else lines[:at]})

    def remove_a_chain(self) -> Manipulated | None:
        name = self.dice.choice(self.logs)
        lines = self.files[name]
        chain = _chain_of(self.dice.choice(lines))
        return Manipulated(f"a chain removed from {name}", {name: [line for line in lines if _chain_of(line) != chain]})

    def remove_a_file(self) -> Manipulated:
        name = self.dice.choice(list(self.files))
        return Manipulated(f"{name} removed", {name: None})

    def splice(self) -> Manipulated:
        name = self.dice.choice(self.logs)
        lines, others = list(self.files[name]), self.other[self.dice.choice(list(self.other))]
        at, start = self.dice.randrange(len(lines)), self.dice.randrange(len(others))
        count = self.dice.choice([1, 5])
        lines[at : at + count] = others[start : start + count]
        return Manipulated(f"lines of another log in place of {name}:{at + 1}", {name: lines})

    def exchange_files(self) -> Manipulated:
        one, two = self.dice.sample(self.logs, 2)
        return Manipulated(f"{one} and {two} exchanged", {one: self.files[two], two: self.files[one]})

    def replay_checkpoints(self) -> Manipulated:
        lines = self.files[CHECKPOINTS]
        return Manipulated("an old checkpoint file", {CHECKPOINTS: lines[: self.dice.randrange(len(lines))]})

    def roll_back_everything(self) -> Manipulated:
        return Manipulated("the whole directory as it was before", {name: self.older.get(name) for name in self.files})


def _chain_of(line: bytes) -> bytes:
    return line.rpartition(b'"chain":"')[2][:16]


def _lines_of(directory: Path) -> Files:
    return {path.name: path.read_bytes().splitlines(keepends=True) for path in sorted(directory.glob("*.jsonl"))}


def put(directory: Path, files: dict[str, list[bytes] | None]) -> None:
    for name, lines in files.items():
        if lines is None:
            (directory / name).unlink()
        else:
            (directory / name).write_bytes(b"".join(lines))


def copy(directory: Path, to: Path) -> Path:
    shutil.copytree(directory, to)
    return to
