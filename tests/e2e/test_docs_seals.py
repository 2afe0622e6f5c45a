# SPDX-License-Identifier: Apache-2.0
"""docs/operate/seals.md: its commands work as shown."""

import os
import sys
from pathlib import Path

import console
import pytest
from seals import need_softhsm
from servers import environment

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "seals.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_do_what_the_page_shows(tmp_path: Path) -> None:
    need_softhsm()
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    ran = console.run(
        PAGE,
        tmp_path,
        {
            **environment(),
            "HOME": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SOFTHSM2_CONF": str(configuration),
            "KEYQUORUM_PORT": "0",
        },
    )
    assert "\n\n".join(problem for one in ran if (problem := one.problem)) == ""
    assert len(ran) == len(console.commands(PAGE))
