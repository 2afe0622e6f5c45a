# SPDX-License-Identifier: Apache-2.0
"""docs/operate/seals.md: its commands work as shown."""

import re
from pathlib import Path

import console
import pytest
from seals import need_softhsm
from servers import environment

from keyquorum.config.sources import read

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "seals.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_do_what_the_page_shows(tmp_path: Path) -> None:
    need_softhsm()
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    variables = {"SOFTHSM2_CONF": str(configuration), "KEYQUORUM_PORT": "0"}
    console.hold(PAGE, tmp_path, {**environment(), **variables})


def test_the_configurations_are_ones(tmp_path: Path) -> None:
    shown = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown
    for text in shown:
        file = tmp_path / "keyquorum.toml"
        file.write_text(text)
        file.chmod(0o600)
        assert read({}, {}, file).given.keys() == {line.split()[0] for line in text.splitlines()}
