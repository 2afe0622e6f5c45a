# SPDX-License-Identifier: Apache-2.0
"""docs/iam.md: its commands work as shown, and what it lists is what there is."""

import re
from collections.abc import Callable
from pathlib import Path

import console
import pytest
from servers import Production, environment

from keyquorum.ops import registry
from keyquorum.quotas import Quotas

PAGE = (Path(__file__).parents[2] / "docs" / "iam.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_do_what_the_page_shows(start: Callable[..., Production], tmp_path: Path) -> None:
    server = start()
    directory = tmp_path / "shell"
    directory.mkdir()
    variables = {**environment(("--data", str(server.data))), "KEYQUORUM_DATA": str(server.data)}
    console.hold(PAGE, directory, variables)


def test_the_page_lists_every_operation() -> None:
    table = PAGE.partition("### Operations\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| [^|]+ \| ([A-Z].*) \|$", table, re.MULTILINE)
    assert sorted(name for row in rows for name in row.split(", ")) == sorted([*registry.IAM, *registry.STS])


def test_the_page_lists_every_quota_of_identities() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|$", PAGE, re.MULTILINE))
    fields = Quotas.__struct_fields__
    own = fields[fields.index("users_per_account") :]
    assert listed == {name: str(getattr(Quotas(), name)) for name in own}
