# SPDX-License-Identifier: Apache-2.0
"""docs/operate/: installation, configuration and TLS work as shown, and the table of options is that of the program."""

import runpy
from pathlib import Path

import console
import pytest
from servers import environment

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "operate"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["install", "configuration", "tls", "console"])
def test_the_commands_do_what_the_page_shows(name: str, tmp_path: Path) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    console.hold(page, tmp_path, environment())


def test_the_table_of_options_is_current() -> None:
    generator = runpy.run_path(str(ROOT / "scripts" / "options_table.py"))
    assert generator["PAGE"].read_text(encoding="utf-8") == generator["page"](), "run: make docs"
