# SPDX-License-Identifier: Apache-2.0
"""A bound on what a decision may cost: counted, not timed, so that every machine decides the same.

A unit is about a nanosecond of a processor. Estimates may be wrong by some factor; that the count grows with what is
compared, as the time does, is what matters.
"""

import math
from typing import Final

from msgspec import Struct


class TooMuchWork(Exception):
    """More would have to be compared than this request may cost. Nothing was decided."""


class Work(Struct, gc=False):
    """``left`` is what a decision may still cost."""

    left: float

    def spend(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise TooMuchWork


UNBOUNDED: Final = Work(math.inf)
"""For whom nobody else has to wait."""
