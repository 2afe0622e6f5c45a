# SPDX-License-Identifier: Apache-2.0
"""Try it out, in a real browser: a plaintext goes in, its ciphertext is carried into Decrypt, and comes out again."""

import base64
from pathlib import Path

import pytest
from browsing import Watched, context_of
from playwright.sync_api import Browser, expect
from roles import ALICE
from servers import Production

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


def test_what_is_encrypted_is_carried_into_decrypt(chromium: Browser, server: Production, tmp_path: Path) -> None:
    with context_of(chromium, server.url) as context:
        watched = Watched(context)
        watched.sign_in(ALICE)
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


def test_a_blob_is_written_as_text_hex_or_base64(chromium: Browser, server: Production) -> None:
    with context_of(chromium, server.url) as context:
        watched = Watched(context)
        watched.sign_in(ALICE)
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


@pytest.mark.parametrize(("dark", "phone"), [(False, False), (True, True)], ids=["light desktop", "dark phone"])
def test_axe_finds_nothing_serious(chromium: Browser, server: Production, dark: bool, phone: bool) -> None:
    with context_of(chromium, server.url, dark=dark, phone=phone) as context:
        watched = Watched(context)
        watched.sign_in(ALICE)
        for path in (
            "/console/api",
            "/console/api/CreateKey",
            "/console/api/CreateGrant",
            "/console/api/GenerateRandom",
        ):
            watched.page.goto(path)
            assert watched.findings() == [], path
            assert not watched.is_wider_than_the_screen(), path
        watched.page.get_by_role("button", name="Prepare and send").click()
        expect(watched.page.locator("#answer")).to_contain_text("200")
        assert watched.findings() == []
        assert watched.errors == []
