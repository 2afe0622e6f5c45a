# SPDX-License-Identifier: Apache-2.0
"""docs/operate/monitoring.md and limits.md: their commands work as shown, and their tables are those of the program."""

import os
import re
import shutil
from pathlib import Path

import console
import pytest
from servers import environment

from keyquorum.server.front import Limits
from keyquorum.throttling import DEFAULTS, FAMILIES

DOCS = Path(__file__).parents[2] / "docs" / "operate"


def _need_curl() -> None:
    if shutil.which("curl") is None:
        assert "CI" not in os.environ, "curl is not here"
        pytest.skip("curl is not here")


@pytest.mark.slow
@pytest.mark.xdist_group("port 9464")
@pytest.mark.parametrize("name", ["monitoring", "limits"])
def test_the_commands_do_what_the_page_shows(name: str, tmp_path: Path) -> None:
    _need_curl()
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    console.hold(page, tmp_path, {**environment(), "KEYQUORUM_PORT": "0"})


def test_the_page_lists_the_quotas() -> None:
    page = (DOCS / "limits.md").read_text(encoding="utf-8")
    table = page.partition("\n## Connections")[0]
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| ([\d,]+) \| .* \|$", table, re.MULTILINE))
    assert {name: float(rate.replace(",", "")) for name, rate in rows.items()} == dict(DEFAULTS)
    assert rows.keys() == FAMILIES.keys()


def test_the_page_lists_the_limits() -> None:
    page = (DOCS / "limits.md").read_text(encoding="utf-8")
    table = page.partition("\n## Connections")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) ?(?:s|KiB|MiB|) \| .* \|$", table, re.MULTILINE))
    units = {"header_bytes": 1024, "body_bytes": 1024, "held_bytes": 1024 * 1024}
    limits = Limits()
    fields = [name for name in Limits.__dataclass_fields__ if name != "graceful_seconds"]
    assert {name: float(rows[name]) * units.get(name, 1) for name in fields} == {
        name: float(getattr(limits, name)) for name in fields
    }
