# SPDX-License-Identifier: Apache-2.0
"""Where the published test vectors are."""

import os
from pathlib import Path

import pytest

_BESIDE_THE_REPOSITORY = Path(__file__).parents[3] / "shared" / "vectors"


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """The directory that holds ``sigv4/`` and ``wycheproof/``. Skips where it is absent, except in CI."""
    path = Path(os.environ.get("KEYQUORUM_VECTORS", _BESIDE_THE_REPOSITORY))
    if path.is_dir():
        return path
    reason = f"no test vectors at {path}: set KEYQUORUM_VECTORS"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
