# SPDX-License-Identifier: Apache-2.0
"""What the runs of ``make bench-full`` found, a line each, so that a loss is seen. Only ratios are kept and compared:
a machine's own speed is in both sides of each."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent / "history.jsonl"
_WORSE: Final = 0.9


def line(machine: str, ratios: dict[str, float]) -> dict[str, Any]:
    """Of a run now. ``ratios``: of each, more is better."""
    kept = {name: float(f"{ratio:.4g}") for name, ratio in ratios.items()}
    return {"date": time.strftime("%Y-%m-%d", time.gmtime()), "commit": _commit(), "machine": machine, "ratios": kept}


def losses(now: dict[str, Any], file: Path = FILE) -> list[str]:
    """What is more than 10% worse than in the last run on a machine of the same type."""
    runs = [json.loads(text) for text in file.read_text().splitlines()] if file.exists() else []
    before = next((run for run in reversed(runs) if run["machine"] == now["machine"]), None)
    if before is None:
        return []
    return [
        f"{name}: {ratio:g} where it was {before['ratios'][name]:g} on {before['date']} ({before['commit']})"
        for name, ratio in now["ratios"].items()
        if name in before["ratios"] and ratio < _WORSE * before["ratios"][name]
    ]


def append(now: dict[str, Any], file: Path = FILE) -> None:
    with file.open("a") as lines:
        lines.write(json.dumps(now) + "\n")


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True, cwd=FILE.parent
    )
    return done.stdout.strip() or "unknown"
