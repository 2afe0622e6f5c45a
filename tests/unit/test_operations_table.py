# SPDX-License-Identifier: Apache-2.0
"""docs/operations.md is what its generator makes of the registry and the specs of today."""

import runpy
from pathlib import Path

from keyquorum import api
from keyquorum.ops import registry
from keyquorum.specs import SPECS

GENERATOR = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "operations_table.py"))


def test_the_checked_in_page_is_current() -> None:
    assert GENERATOR["TARGET"].read_text(encoding="utf-8") == GENERATOR["generate"](), "run: make docs"


def test_every_operation_and_every_spec_is_on_the_page() -> None:
    text: str = GENERATOR["generate"]()
    rows = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")}
    assert set(registry.KMS) - set(GENERATOR["WITHOUT_KEY"]) <= rows
    assert set(SPECS) <= rows
    assert all(operation in text for operation in api.OPERATIONS)


def test_key_pairs_of_every_spec_that_is_offered_are_on_the_page() -> None:
    assert GENERATOR["PAIR_SPECS"]
    assert not any(spec.startswith(("HMAC_", "ML_DSA_", "SYMMETRIC_")) for spec in GENERATOR["PAIR_SPECS"])
