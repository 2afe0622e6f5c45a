# SPDX-License-Identifier: Apache-2.0
import re

import pytest
from console_client import signed_in
from roles import ALICE, allow, new_user
from servers import Production


def test_the_page_tells_how_the_server_is(server: Production) -> None:
    watcher = new_user(server.client("iam"), "watcher", allow("keyquorum:GetStatus"))
    text = signed_in(server, watcher).get("/console/status").text
    assert '<span class="badge good">ready</span>' in text
    for said in ("Python", "Seal", "Schema", "Last run to the end", "Hash of the line", "keyquorum audit verify"):
        assert said in text
    assert str(server.data) not in text
    assert re.search(r'<td class="mono">[0-9a-f]{64}</td>', text)


def test_who_may_not_see_it_is_told_why(server: Production) -> None:
    page = signed_in(server, ALICE).get("/console/status")
    assert page.status == 400
    assert "keyquorum:GetStatus" in page.text
    assert "Hash of the line" not in page.text


@pytest.mark.parametrize("path", ["/console/status", "/console/audit", "/console/access", "/console/"])
def test_pages_are_in_order_for_who_cannot_see_them(server: Production, path: str) -> None:
    """One heading of the first rank, a name for each field, none twice."""
    text = signed_in(server, server.root).get(path).text
    assert text.count("<h1") == 1
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    fields = re.findall(r'<(?:input|select|textarea)(?![^>]*type="(?:hidden|checkbox)")[^>]*\sid="([^"]+)"', text)
    assert all(f'for="{field}"' in text for field in fields)
    for reference in re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', text):
        assert reference in ids
