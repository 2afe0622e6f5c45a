# SPDX-License-Identifier: Apache-2.0
"""``make bench-full`` runs, every answer of it is right, and it prints each of its tables. What the figures are is not
tested; that a loss is seen in the history is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="it pins processes to cores and reads /proc")
def test_the_full_benchmark_runs_and_prints_its_tables() -> None:
    done = subprocess.run(
        [sys.executable, BENCH / "full.py", "--quick", "--skip-moto", "--wrk", ""],
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert done.returncode == 0, done.stderr
    for heading in ("Targets", "Beside others", "keyquorum by operation", "Start and memory", "What each server does"):
        assert f"### {heading}\n" in done.stdout
    for operation in ("Encrypt", "Sign, ML-DSA-65", "Verify, P-256", "GenerateMac", "mix"):
        assert f"| {operation} | 32 |" in done.stdout
    assert "| two workers |" in done.stdout
    assert "| keyquorum | yes | yes | yes | yes | yes |" in done.stdout


def test_a_ratio_that_fell_by_more_than_a_tenth_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH)
    import history

    file = tmp_path / "history.jsonl"
    history.append({**history.line("a machine", {"nginx": 0.3, "start": 2.0}), "commit": "abc"}, file)
    history.append(history.line("another machine", {"nginx": 0.9}), file)

    assert history.losses(history.line("a machine", {"nginx": 0.28, "start": 2.0, "new": 1.0}), file) == []
    (loss,) = history.losses(history.line("a machine", {"nginx": 0.26, "start": 2.0}), file)
    assert loss.startswith("nginx: 0.26 where it was 0.3")
    assert "abc" in loss
    assert history.losses(history.line("a third", {"nginx": 0.1}), file) == []
    assert [json.loads(line)["machine"] for line in file.read_text().splitlines()] == ["a machine", "another machine"]
