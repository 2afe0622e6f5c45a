# SPDX-License-Identifier: Apache-2.0
"""The behaviour suite with PostgreSQL as the store. Left out are modules that bring databases or clusters of their own,
those about what a process does whatever its store, and the few tests that are about SQLite's files."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from postgres import binaries

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

_E2E: Final = Path(__file__).parents[1] / "e2e"
_OWN: Final = ("backup", "cluster", "db_cli", "docs_", "seals", "full_disk", "hostile_database")
_WHATEVER: Final = ("deploy", "hardening", "tls", "tracing", "shutdown_load")
_MODULES: Final = sorted(
    path.stem.removeprefix("test_")
    for path in _E2E.glob("test_*.py")
    if not path.stem.removeprefix("test_").startswith((*_OWN, *_WHATEVER))
)
#: Module -> how many of its tests are about SQLite's files.
_SQLITE: Final = {"deletion_e2e": 1, "readiness": 1, "secrets_e2e": 1}


@pytest.mark.parametrize("module", _MODULES)
def test_postgresql_behaves_as_sqlite(module: str) -> None:
    binaries()
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "no:cacheprovider",
            "-m",
            "not long",
            str(_E2E / f"test_{module}.py"),
        ],
        env={**os.environ, "KEYQUORUM_TEST_DATABASE": "postgresql"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-10_000:]
    left_out = re.findall(r"^SKIPPED \[(\d+)\].*about the files of SQLite$", ran.stdout, re.MULTILINE)
    assert sum(map(int, left_out)) == _SQLITE.get(module, 0)
