# SPDX-License-Identifier: Apache-2.0
"""``make bench`` runs, every answer of it is right, and it prints its table. What the figures are is not tested."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "bench" / "run.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it pins processes to cores and reads /proc")
def test_the_benchmark_runs_and_prints_its_table() -> None:
    done = subprocess.run(
        [sys.executable, RUN, "--quick", "--skip-moto", "--markdown"], capture_output=True, text=True, timeout=100
    )

    assert done.returncode == 0, done.stderr
    for operation in ("Encrypt", "Decrypt", "GenerateDataKey"):
        assert f"| **keyquorum, {operation}** |" in done.stdout
    assert done.stdout.startswith("| |")
    assert "constant ASGI app" in done.stdout
    assert "first answered Encrypt" in done.stdout
    assert "| **authorization and audit** |" in done.stdout
