# SPDX-License-Identifier: Apache-2.0
"""Try it out, in a real browser: a plaintext goes in, its ciphertext is carried into Decrypt, and comes out again."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Watched, context_of
from playwright.sync_api import Browser, Page, expect
from roles import ALICE
from servers import Production

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture
def watched(chromium: Browser, server: Production) -> Iterator[Watched]:
    """A page on which Alice has signed in."""
    with context_of(chromium, server.url) as context:
        page = Watched(context)
        page.sign_in(ALICE)
        yield page


def test_what_is_encrypted_is_carried_into_decrypt(watched: Watched, tmp_path: Path) -> None:
    page = watched.page
    page.goto("/console/api/Encrypt")
    page.get_by_role("button", name="Prepare the example").click()
    expect(page.get_by_role("heading", name="Made for the example")).to_be_visible()

    # Bytes that are no text, from a file, and another pair of the context than the example's.
    document = tmp_path / "letter.bin"
    document.write_bytes(bytes(range(256)))
    page.locator("input[type=file]").first.set_input_files(document)
    field = page.locator("textarea").first
    expect(field).to_have_value(base64.b64encode(bytes(range(256))).decode())
    page.get_by_role("button", name="Send", exact=True).click()
    answer = page.locator("#answer")
    expect(answer).to_contain_text("200")
    expect(answer).to_contain_text("x-amz-target: TrentService.Encrypt")
    expect(answer).to_contain_text("AWS4-HMAC-SHA256")

    page.get_by_role("button", name="Use CiphertextBlob in Decrypt").click()
    expect(page.get_by_role("heading", name="Decrypt", level=1)).to_be_visible()
    # The context went along: without it the ciphertext is nothing.
    page.get_by_role("button", name="Send", exact=True).click()
    expect(answer).to_contain_text(base64.b64encode(bytes(range(256))).decode())
    page.get_by_label("value 1").fill("4712")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(answer).to_contain_text("InvalidCiphertextException")
    assert watched.errors == []


def test_a_blob_is_written_as_text_hex_or_base64(watched: Watched) -> None:
    page = watched.page
    page.goto("/console/api/GenerateMac")
    field = page.locator("textarea").first
    way = page.locator("[data-blob]").first
    way.select_option("text")
    field.fill("né")
    way.select_option("hex")
    expect(field).to_have_value("6ec3a9")
    way.select_option("base64")
    expect(field).to_have_value("bsOp")
    assert watched.errors == []


def test_rows_are_added_without_a_request_and_empty_ones_are_left_out(watched: Watched) -> None:
    page = watched.page
    page.goto("/console/api/Encrypt")
    page.get_by_role("button", name="Prepare the example").click()
    rows = page.locator("fieldset[data-rows]").filter(has_text="EncryptionContext").locator(":scope > .row")
    there = rows.count()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for number in (there + 1, there + 2):
        page.get_by_role("button", name="More rows of EncryptionContext").click()
        expect(rows).to_have_count(number)
        expect(page.get_by_label(f"key {number}", exact=True)).to_be_focused()
    assert asked == []
    names = page.locator("#request [name]").evaluate_all("each => each.map((one) => one.name)")
    assert len(names) == len(set(names))
    assert watched.findings() == []

    # The example's own rows are emptied, one row between is left empty, and the last one counts.
    for number in range(1, there + 1):
        for part in ("key", "value"):
            page.get_by_label(f"{part} {number}", exact=True).fill("")
    page.get_by_label(f"key {there + 2}", exact=True).fill("last")
    page.get_by_label(f"value {there + 2}", exact=True).fill("row")
    page.get_by_role("button", name="Send", exact=True).click()
    request = page.get_by_label("The request as it was sent")
    expect(request).to_contain_text('"EncryptionContext":{"last":"row"}')
    expect(page.locator("#answer")).to_contain_text("200")
    assert watched.errors == []


def test_rows_are_added_without_scripts_too(chromium: Browser, server: Production) -> None:
    with context_of(chromium, server.url) as context:
        watched = Watched(context)
        watched.sign_in(ALICE)
        kept = context.cookies()
    with chromium.new_context(base_url=server.url, java_script_enabled=False) as without:
        without.add_cookies(kept)  # type: ignore[arg-type]  # as the other browser had them
        page = without.new_page()
        page.goto("/console/api/Encrypt")
        expect(page.get_by_role("button", name="Copy the boto3 call")).to_be_hidden()
        page.get_by_label("key 1", exact=True).fill("kept")
        rows = page.locator("fieldset").filter(has_text="EncryptionContext").locator(".row")
        there = rows.count()
        page.get_by_role("button", name="More rows of EncryptionContext").click()
        assert rows.count() > there
        assert page.get_by_label("key 1", exact=True).input_value() == "kept"


def test_what_is_shown_is_copied(chromium: Browser, server: Production) -> None:
    with context_of(chromium, server.url) as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        watched = Watched(context)
        watched.sign_in(ALICE)
        page = watched.page
        page.goto("/console/api/GenerateDataKey")
        page.get_by_role("button", name="Prepare and send").click()

        def copied(name: str) -> str:
            page.get_by_role("button", name=name, exact=True).click()
            expect(page.get_by_role("status").filter(has_text="Copied.")).to_be_visible()
            text: str = page.evaluate("navigator.clipboard.readText()")
            return text

        for way, begins in (("boto3", "import boto3"), ("AWS CLI", "aws kms generate-data-key"), ("curl", "curl ")):
            text = copied(f"Copy the {way} call")
            assert begins in text
            assert text == page.get_by_label(way, exact=True).text_content()
        blob = base64.b64decode(copied("Copy CiphertextBlob"), validate=True)
        plaintext = base64.b64decode(copied("Copy Plaintext"), validate=True)
        assert server.client(access=ALICE).decrypt(CiphertextBlob=blob, **_context(page))["Plaintext"] == plaintext
        assert watched.errors == []


def _context(page: Page) -> dict[str, Any]:
    """The encryption context that was sent."""
    body = (page.get_by_label("The request as it was sent").text_content() or "").partition("\n\n")[2]
    members: dict[str, Any] = json.loads(body)
    return {"EncryptionContext": members["EncryptionContext"]} if "EncryptionContext" in members else {}


def test_a_key_is_carried_on_and_bytes_that_are_no_text_stay_as_they_are(watched: Watched) -> None:
    page = watched.page
    page.goto("/console/api/CreateKey")
    page.get_by_role("button", name="Prepare and send").click()
    page.get_by_label("Use the key in").select_option("Encrypt")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Encrypt", level=1)).to_be_visible()
    expect(page.get_by_label("KeyId").first).to_have_value(re.compile("arn:aws:kms:.*:key/"))
    field, way = page.locator("textarea").first, page.locator("[data-blob]").first
    for bytes_, written in ((b"\xff\xfe", "//4="), (b"a\r\nb", "YQ0KYg==")):  # a form would change the line end
        way.select_option("hex")
        field.fill(bytes_.hex())
        way.select_option("text")
        expect(way).to_have_value("hex")
        way.select_option("base64")
        expect(field).to_have_value(written)
    assert watched.errors == []
