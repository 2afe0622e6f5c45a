# SPDX-License-Identifier: Apache-2.0
import re
from pathlib import Path

from console_client import signed_in
from roles import ALICE, allow, new_user
from servers import Access, Production, Program, code_of


def test_who_has_no_key_yet_is_told_how_to_begin(tmp_path: Path) -> None:
    server = Program(tmp_path, "--dev")
    try:
        text = signed_in(server, Access("test", "test")).get("/console/").text
        assert "First steps" in text
        assert f"AWS_ENDPOINT_URL={server.url}" in text
    finally:
        server.stop()


def test_keys_and_refusals_are_there(server: Production) -> None:
    kms = server.client()
    for _ in range(2):
        kms.disable_key(KeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    code_of(server.client(access=ALICE).describe_key, KeyId="alias/nowhere")
    text = signed_in(server, server.root).get("/console/").text
    assert "First steps" not in text
    assert re.search(r">Disabled</a>: 2<", text)
    assert "NotFoundException" in text
    assert '<span class="badge good">ready</span>' in text


def test_a_page_of_another_region_tells_of_that(server: Production) -> None:
    text = signed_in(server, server.root).get("/console/", region="eu-west-1").text
    assert "Keys in eu-west-1" in text
    assert '<p class="figure">0</p>' in text


def test_who_may_see_nothing_sees_a_page_without_it(server: Production) -> None:
    nobody = new_user(server.client("iam"), "nobody", allow("kms:Encrypt"))
    page = signed_in(server, nobody).get("/console/")
    assert page.status == 200
    assert "is not yours to see" in page.text
    assert "Refused in the last day" not in page.text
    assert '<span class="badge good">ready</span>' not in page.text


def test_a_deletion_is_cancelled_by_one_button(server: Production) -> None:
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    browser = signed_in(server, server.root)
    page = browser.get("/console/")
    form = re.search(rf'<form method="post" action="(/console/keys/{key}[^"]*)">', page.text)
    assert form is not None
    assert "<strong>7</strong>" in page.text
    browser.post(form[1], {"csrf": page.csrf})
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    assert key not in browser.get("/console/").text
