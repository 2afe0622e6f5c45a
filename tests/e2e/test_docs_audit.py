# SPDX-License-Identifier: Apache-2.0
"""docs/audit.md: its commands work as shown. What it says of verifying by hand is tested with the audit log."""

from collections.abc import Callable
from pathlib import Path

import console
import pytest
from servers import Production, environment

PAGE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_do_what_the_page_shows(start: Callable[..., Production], tmp_path: Path) -> None:
    server = start()
    kms = server.client()
    kms.create_alias(AliasName="alias/orders", TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    server.stop()  # so that the last checkpoint is of all of the log
    directory = tmp_path / "shell"
    directory.mkdir()
    variables = {**environment(("--data", str(server.data))), "KEYQUORUM_DATA": str(server.data)}
    console.hold(PAGE, directory, variables)
