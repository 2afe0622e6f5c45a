# SPDX-License-Identifier: Apache-2.0
"""The server's time. Key states, dates and records go by it; signatures go by the machine's own clock, always."""

import time


class Clock:
    """``offset``: seconds ahead of the machine's clock; only development moves it."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.offset
