# SPDX-License-Identifier: Apache-2.0
"""docs/operate/cluster.md: its commands work as shown."""

import re
from pathlib import Path

import console
import pytest
from postgres import fresh_database
from servers import environment
from stores import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "cluster.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_do_what_the_page_shows(tmp_path: Path) -> None:
    ports = {shown: free_port() for shown in ("8441", "8442")}
    page = re.sub("8441|8442", lambda found: ports[found[0]], PAGE)
    with fresh_database() as url:
        console.hold(page, tmp_path, {**environment(), "DATABASE": url})
