# SPDX-License-Identifier: Apache-2.0
"""What the last verification of a node's audit log came to, kept beside the log for whoever looks at the server. It is
a note, not a proof: who can write to the data directory can write this, too."""

from pathlib import Path
from typing import Final

import msgspec

from keyquorum.audit.walk import Report
from keyquorum.layout import put_in_place

_SHOWN: Final = 10


class Verified(msgspec.Struct, frozen=True):
    """``at``: seconds since the epoch. ``uncovered``: how many records come after the last checkpoint."""

    at: float
    whole: bool
    records: int
    uncovered: int
    problems: list[str] = []


def keep(path: Path, report: Report, at: float) -> None:
    """Raises OSError."""
    problems = [str(problem) for problem in report.problems[:_SHOWN]]
    note = Verified(at, not report.found, report.records, report.uncovered, problems)
    put_in_place(path, msgspec.json.encode(note))


def last(path: Path) -> Verified | None:
    """None if there was none, or the note cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Verified)
    except (OSError, msgspec.DecodeError):
        return None
