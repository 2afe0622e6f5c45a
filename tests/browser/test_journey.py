# SPDX-License-Identifier: Apache-2.0
"""A day of a platform engineer in the console: a key is made, used, nearly deleted, and shut by a policy whose refusal
is then explained. With KEYQUORUM_SCREENSHOTS=1 the pages on the way become the pictures of docs/images."""

import json
import os
from pathlib import Path
from typing import Final

import pytest
from browsing import Watched, context_of
from playwright.sync_api import Browser, Page, expect
from roles import ALICE, allow, document
from servers import ACCOUNT, Production

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
#: What docs/operate/console.md shows.
SHOWN: Final = {
    *[f"{title}-desktop-light" for title in ("pending", "key", "encrypt", "policy", "why", "audit")],
    *[f"{title}-phone-dark" for title in ("pending", "why")],
}
ROOT: Final = f"arn:aws:iam::{ACCOUNT}:root"
USER: Final = f"arn:aws:iam::{ACCOUNT}:user/Alice"


class Journey:
    """Each page on the way is looked at by axe, and must fit on the screen."""

    def __init__(self, watched: Watched, name: str) -> None:
        self.watched, self.page, self._name = watched, watched.page, name

    def look(self, title: str) -> Page:
        assert self.watched.findings() == [], title
        assert not self.watched.is_wider_than_the_screen(), title
        picture = f"{title}-{self._name}"
        if os.environ.get("KEYQUORUM_SCREENSHOTS") and picture in SHOWN:
            self.page.screenshot(path=IMAGES / f"{picture}.png")
        return self.page

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).click()


@pytest.mark.parametrize(
    ("dark", "phone"),
    [
        pytest.param(False, False, id="light desktop"),
        pytest.param(True, True, id="dark phone"),
        pytest.param(True, False, id="dark desktop", marks=pytest.mark.long),
        pytest.param(False, True, id="light phone", marks=pytest.mark.long),
    ],
)
def test_a_key_from_the_wizard_to_a_refusal_that_is_explained(
    chromium: Browser, server: Production, dark: bool, phone: bool
) -> None:
    name = f"{'phone' if phone else 'desktop'}-{'dark' if dark else 'light'}"
    alias = f"alias/{name}"
    with context_of(chromium, server.url, dark=dark, phone=phone) as context:
        watched = Watched(context)
        journey = Journey(watched, name)
        page = watched.page
        page.goto("/console/sign-in")
        journey.look("sign-in")
        watched.sign_in(ALICE)
        journey.look("front")

        # a key is made
        page.goto("/console/keys/create")
        journey.look("create")
        journey.press("Next")
        journey.look("create-form")
        page.get_by_label("Alias").fill(alias)
        page.get_by_label("Description").fill("Orders, of the shop; ask the shop's team before it goes")
        journey.press("Create the key")
        expect(page.get_by_role("heading", level=1)).to_contain_text(alias)
        key_id = page.url.partition("?")[0].rpartition("/")[2]

        # it encrypts, and decrypts what it encrypted
        page.goto("/console/api/Encrypt")
        page.get_by_label("KeyId").first.fill(alias)
        page.locator("[data-blob]").first.select_option("text")
        page.locator("textarea").first.fill("attack at dawn")
        journey.press("Send")
        expect(page.locator("#answer")).to_contain_text("CiphertextBlob")
        journey.look("encrypt")
        journey.press("Use CiphertextBlob in Decrypt")
        journey.press("Send")
        expect(page.locator("#answer")).to_contain_text("YXR0YWNrIGF0IGRhd24=")

        # its deletion is scheduled, which takes its name, and cancelled from the front page
        page.goto(f"/console/keys/{key_id}")
        journey.look("key")
        journey.follow("Delete…")
        expect(page.get_by_text("It was used within the last 30 days.")).to_be_visible()
        page.get_by_label("To confirm").fill("alias/another")
        journey.press("Schedule the deletion")
        expect(page.locator("#problem")).to_be_visible()
        journey.look("deletion")
        page.get_by_label("To confirm").fill(alias)
        journey.press("Schedule the deletion")
        page.goto("/console/")
        row = page.get_by_role("row").filter(has_text=alias)
        expect(row).to_contain_text("30")
        journey.look("pending")
        row.get_by_role("button", name="Cancel the deletion").click()
        page.goto(f"/console/keys/{key_id}")
        journey.press("Enable")
        expect(page.get_by_text("Enabled", exact=True).first).to_be_visible()

        # its policy is edited, and shuts its editor out of the key's use
        denied = {**allow("kms:Encrypt", effect="Deny", Principal={"AWS": USER}), "Sid": "NobodyBeforeTheAudit"}
        policy = json.dumps(json.loads(document(allow("kms:*", Principal={"AWS": ROOT}), denied)), indent=2)
        journey.follow("Edit the policy")
        page.get_by_label("Policy", exact=True).fill(policy)
        journey.press("Check, and see the difference")
        expect(page.get_by_label("Difference")).to_contain_text("NobodyBeforeTheAudit")
        journey.look("policy")
        journey.press("Save the policy")

        page.goto("/console/api/Encrypt")
        page.get_by_label("KeyId").first.fill(alias)
        page.locator("textarea").first.fill("eA==")
        journey.press("Send")
        expect(page.locator("#answer")).to_contain_text("AccessDeniedException")
        journey.look("refused")

        # the reason is found, in the very statement
        page.get_by_role("link", name="Why was this refused?").click()
        expect(page.locator("mark").first).to_contain_text("NobodyBeforeTheAudit")
        journey.look("why")

        # and all of it is in the audit
        page.goto("/console/audit?outcome=refused&name=Encrypt")
        expect(page.get_by_role("cell", name="AccessDeniedException").first).to_be_visible()
        journey.look("audit")
        page.goto("/console/status")
        journey.look("status")
        assert watched.errors == []
