# SPDX-License-Identifier: Apache-2.0
"""``python bench/sampled.py FILE serve ...``: keyquorum as the command line starts it, with its event loop's stack
sampled between SIGUSR1 and SIGUSR2; then FILE has a line ``frame;frame;frame count`` for each stack that was seen.

Time in libuv (waiting for sockets, reading from them) comes out as the first frame that it calls.
"""

import signal
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import CodeType, FrameType

from keyquorum.cli import main

_EVERY = 0.0005


@cache
def _named(code: CodeType) -> str:
    """``file:function``, the file as an import would find it."""
    path = code.co_filename
    for start in ("/src/", "/site-packages/", f"/python3.{sys.version_info.minor}/"):
        _, found, after = path.rpartition(start)
        if found:
            path = after
            break
    return f"{path}:{code.co_qualname}".replace(";", ",").replace(" ", "")


def _sampler(out: Path) -> None:
    stacks: Counter[str] = Counter()

    def sample(_signal: int, frame: FrameType | None) -> None:
        names = []
        while frame is not None:
            names.append(_named(frame.f_code))
            frame = frame.f_back
        stacks[";".join(reversed(names))] += 1

    def begin(_signal: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, _EVERY, _EVERY)

    def end(_signal: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        written = out.with_suffix(".part")
        written.write_text("".join(f"{stack} {count}\n" for stack, count in stacks.most_common()))
        written.replace(out)

    signal.signal(signal.SIGALRM, sample)
    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)


if __name__ == "__main__":
    _sampler(Path(sys.argv[1]))
    sys.argv = ["keyquorum", *sys.argv[2:]]
    main()
