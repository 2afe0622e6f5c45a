# SPDX-License-Identifier: Apache-2.0
"""Signing in with an access key, in a real browser: the secret stays in the page."""

import base64
from urllib.parse import quote

import pytest
from browsing import Relay, Watched, context_of, storage_of
from playwright.sync_api import Browser
from roles import ALICE
from servers import Production

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


def test_the_secret_is_in_no_request_and_is_kept_nowhere(chromium: Browser, server: Production) -> None:
    relay = Relay(server.port)
    try:
        with context_of(chromium, relay.origin) as context:
            watched = Watched(context)
            watched.sign_in(ALICE)
            kept = storage_of(watched.page)
            assert watched.errors == []
            secret = ALICE.secret
            assert ALICE.key_id.encode() in relay.sent
            encoded = {secret, quote(secret), secret.encode().hex(), base64.b64encode(secret.encode()).decode()[:-4]}
            for form in encoded:
                assert form.encode() not in relay.sent
                assert form not in kept
            assert watched.page.evaluate("document.cookie") == ""
    finally:
        relay.close()


def test_a_wrong_secret_is_said_on_the_page(chromium: Browser, server: Production) -> None:
    with context_of(chromium, server.url) as context:
        watched = Watched(context)
        watched.page.goto("/console/sign-in")
        watched.page.get_by_label("Access key ID").fill(ALICE.key_id)
        watched.page.get_by_label("Secret access key").fill("wrong")
        watched.page.get_by_role("button", name="Sign in").click()
        watched.page.get_by_role("alert").filter(has_text="Not signed in: The request signature").wait_for()
        assert watched.errors == []


def test_without_scripts_the_page_says_how_else(chromium: Browser, server: Production) -> None:
    with chromium.new_context(base_url=server.url, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto("/console/sign-in")
        page.get_by_text("keyquorum console login").wait_for()
        assert not page.get_by_label("Secret access key").is_visible()


def test_the_page_is_shown_in_nobodys_frame(chromium: Browser, server: Production) -> None:
    """Clickjacking."""
    with context_of(chromium, server.url) as context:
        page = context.new_page()
        page.goto("about:blank")
        page.set_content(f'<iframe src="{server.url}/console/sign-in"></iframe>')
        page.wait_for_timeout(500)
        frame = page.frames[1]
        assert "Secret access key" not in (frame.content() if frame.url.startswith("http") else "")
