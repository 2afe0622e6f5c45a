# SPDX-License-Identifier: Apache-2.0
"""The behaviour suite of one server, with two nodes on one PostgreSQL in its place and a client that asks them in turn.

Left out is what is about one node: its files, its audit log, its processes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from postgres import binaries

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

_E2E: Final = Path(__file__).parents[1] / "e2e"
_MODULES: Final = (
    "access_attacks",
    "access_findings",
    "access_table",
    "auth_e2e",
    "boundaries",
    "encryption_sdk",
    "exchange",
    "grant_attacks",
    "grants_e2e",
    "iam_access_keys",
    "iam_authorization",
    "iam_entities",
    "iam_policies",
    "iam_simulate",
    "imports_e2e",
    "imports_several_e2e",
    "matrix_crypto",
    "matrix_data_keys",
    "matrix_keys",
    "moto_findings",
    "operations_crypto",
    "operations_keys",
    "operations_names",
    "replicas_e2e",
    "rotation_e2e",
    "sts_assume_role",
    "sts_profiles",
    "sts_sessions",
    "sts_sigv4a",
    "sts_web_identity",
)


@pytest.mark.parametrize("module", _MODULES)
def test_two_nodes_behave_as_one_server(module: str) -> None:
    binaries()
    chosen = {**os.environ, "KEYQUORUM_TEST_DATABASE": "postgresql", "KEYQUORUM_TEST_NODES": "2"}
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "not long",
            str(_E2E / f"test_{module}.py"),
        ],
        env=chosen,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-10_000:]
