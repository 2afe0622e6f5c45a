# SPDX-License-Identifier: Apache-2.0
"""docs/operate/cluster.md: its commands work as shown."""

import os
import re
import socket
import sys
from pathlib import Path

import console
import pytest
from postgres import fresh_database
from servers import environment

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "cluster.md").read_text(encoding="utf-8")


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


@pytest.mark.slow
def test_the_commands_do_what_the_page_shows(tmp_path: Path) -> None:
    ports = {shown: free_port() for shown in ("8441", "8442")}
    page = re.sub("8441|8442", lambda found: ports[found[0]], PAGE)
    with fresh_database() as url:
        ran = console.run(
            page,
            tmp_path,
            {
                **environment(),
                "HOME": str(tmp_path),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "DATABASE": url,
            },
        )
    assert "\n\n".join(problem for one in ran if (problem := one.problem)) == ""
    assert len(ran) == len(console.commands(page))
