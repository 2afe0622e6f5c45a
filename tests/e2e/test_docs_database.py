# SPDX-License-Identifier: Apache-2.0
"""docs/operate/database.md: its commands work as shown."""

from pathlib import Path

import console
import pytest
from postgres import PASSWORD, binaries, own_server
from servers import environment
from stores import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "database.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_do_what_the_page_shows(tmp_path: Path) -> None:
    with own_server(durable=False) as postgres:
        admin = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{postgres.port}"
        variables = {
            "ADMIN": f"{admin}/postgres",
            "ADMIN_OF_KMS": f"{admin}/kms",
            "HOST": f"127.0.0.1:{postgres.port}",
        }
        page = PAGE.replace("8451", free_port())
        console.hold(page, tmp_path, {**environment(), **variables}, programs=str(binaries()))
