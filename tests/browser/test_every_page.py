# SPDX-License-Identifier: Apache-2.0
"""axe on every page of the console, with all that unfolds in it unfolded: on a desktop and on a phone, light and dark,
empty and full, and where something was refused or is wrong. The journey looks at the main ones each time; those that
take long are looked at by the long tests."""

from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from browsing import DESKTOP, PHONE, Watched, context_of
from playwright.sync_api import Browser
from roles import ALICE, allow, document, new_role, new_user, trusting, user
from servers import ACCOUNT, Access, Production

from keyquorum.admin.client import Remote
from keyquorum.admin.console import new_link
from keyquorum.reference import PAGES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

_BOTH: Final = ((False, DESKTOP), (True, PHONE))
#: Of the explorer's pages, which are made by one template, so many are looked at on a dark phone as well.
_EIGHTH: Final = 8


class Looking:
    """Goes on after a page with findings, so that one run tells them all."""

    def __init__(self, watched: Watched) -> None:
        self.watched, self.page = watched, watched.page
        self.found: list[str] = []

    def at(self, path: str, looks: tuple[tuple[bool, Any], ...] = _BOTH) -> None:
        self.page.goto(path)
        self.here(path, looks)

    def here(self, title: str, looks: tuple[tuple[bool, Any], ...] = _BOTH) -> None:
        self.page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        for dark, size in looks:
            self.page.emulate_media(color_scheme="dark" if dark else "light")
            self.page.set_viewport_size(size)
            look = f"{title} ({'dark' if dark else 'light'}, {size['width']})"
            self.found += [f"{look}: {finding}" for finding in self.watched.findings()]
            if self.watched.is_wider_than_the_screen():
                self.found.append(f"{look}: wider than the screen")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def nothing(self) -> None:
        assert self.found == [], "\n".join(self.found)
        assert self.watched.errors == []


@pytest.fixture(scope="module")
def keys(server: Production) -> dict[str, str]:
    """Keys of every kind that a page shows in another way, each with all that there is to show of it."""
    kms, iam = server.client(access=ALICE), server.client("iam", access=ALICE)
    kinds: dict[str, dict[str, Any]] = {
        "full": {"Description": "orders, of the shop", "MultiRegion": True},
        "pending": {"Description": "to go"},
        "disabled": {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"},
        "mac": {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
        "import": {"Origin": "EXTERNAL"},
    }
    made = {name: kms.create_key(**members)["KeyMetadata"]["KeyId"] for name, members in kinds.items()}
    full = made["full"]
    for alias in ("alias/every-page", "alias/every-page-again"):
        kms.create_alias(AliasName=alias, TargetKeyId=full)
    kms.tag_resource(KeyId=full, Tags=[{"TagKey": f"tag-{n}", "TagValue": "v"} for n in range(5)])
    kms.enable_key_rotation(KeyId=full, RotationPeriodInDays=90)
    kms.rotate_key_on_demand(KeyId=full)
    kms.replicate_key(KeyId=full, ReplicaRegion="eu-west-1")
    grantee = new_role(iam, trusting(ACCOUNT))
    subset = {"EncryptionContextSubset": {"a": "b"}}
    kms.create_grant(KeyId=full, GranteePrincipal=grantee, Operations=["Decrypt"], Name="n", Constraints=subset)
    kms.encrypt(KeyId=full, Plaintext=b"x")
    kms.schedule_key_deletion(KeyId=made["pending"], PendingWindowInDays=7)
    kms.disable_key(KeyId=made["disabled"])
    return made


@pytest.fixture(scope="module")
def stranger(server: Production) -> Access:
    """She may list keys and use the explorer, and see nothing else."""
    denied = allow(["kms:DescribeKey", "kms:Decrypt"], effect="Deny")
    return new_user(server.client("iam", access=ALICE), "Nobody", allow("kms:ListKeys"), denied)


def test_nothing_serious_where_nobody_is_signed_in(chromium: Browser, server: Production) -> None:
    remote = Remote(server.url, ALICE.region, ALICE.key_id, ALICE.secret)
    with context_of(chromium, server.url) as context:
        looking = Looking(Watched(context))
        looking.at("/console/sign-in")
        looking.page.get_by_label("Access key ID").fill(ALICE.key_id)
        looking.page.get_by_label("Secret access key").fill("wrong")
        looking.press("Sign in")
        looking.page.get_by_role("alert").filter(has_text="Not signed in").wait_for()
        looking.here("sign-in, refused")
        looking.at(urlsplit(new_link(remote)[0]).path)
        looking.at("/console/link/none")
        looking.at("/console/nowhere")
        looking.at("/console/session")  # a form's, and no page
        looking.nothing()


@pytest.mark.long
def test_nothing_serious_on_the_page_of_any_operation(chromium: Browser, server: Production) -> None:
    with context_of(chromium, server.url) as context:
        looking = Looking(Watched(context))
        looking.watched.sign_in(ALICE)
        for number, operation in enumerate(PAGES):
            looking.at(f"/console/api/{operation}", _BOTH if number % _EIGHTH == 0 else _BOTH[:1])
        looking.nothing()


@pytest.mark.long
def test_nothing_serious_in_the_explorer(chromium: Browser, server: Production, keys: dict[str, str]) -> None:
    with context_of(chromium, server.url) as context:
        looking = Looking(Watched(context))
        looking.watched.sign_in(ALICE)
        for path in ("", "/CreateKey", "/CreateGrant", "/ListKeys", "/ConnectCustomKeyStore", "/NoSuchOperation"):
            looking.at(f"/console/api{path}")
        looking.at("/console/api/examples?region=eu-west-3")
        looking.page.goto("/console/api/Encrypt")
        looking.press("Prepare the example")
        looking.here("prepared")
        looking.press("Send")
        looking.here("sent")
        looking.press("Use CiphertextBlob in Decrypt")
        looking.here("carried")
        looking.page.locator("textarea").first.fill("zz")
        looking.page.locator("[data-blob]").first.evaluate("each => { each.value = 'hex'; }")
        looking.press("Send")
        looking.here("not sent")
        looking.page.goto("/console/api/DisableKey")
        looking.press("Prepare and send")
        looking.here("empty answer")
        looking.page.get_by_label("KeyId").first.fill("alias/absent")
        looking.press("Send")
        looking.here("refused")
        looking.at("/console/api/examples")
        looking.press("Schedule the deletion of those that are marked")
        looking.here("examples deleted")
        looking.nothing()


@pytest.mark.long
def test_nothing_serious_on_any_other_page(chromium: Browser, server: Production, keys: dict[str, str]) -> None:
    absent = "00000000-0000-4000-8000-000000000000"
    question = f"principal={user('Alice')}&action=kms:Decrypt&resource=alias/every-page&pairs=a%3Db"
    with context_of(chromium, server.url) as context:
        looking = Looking(Watched(context))
        looking.watched.sign_in(ALICE)
        for path in (
            "/console/",
            "/console/?region=eu-west-3",  # where there are no keys
            "/console/keys",
            "/console/keys?region=eu-west-3",
            "/console/keys?q=nothing+is+like+that&state=Enabled&used=never",
            "/console/keys?manager=AWS",
            *[f"/console/keys/{key}" for key in keys.values()],
            f"/console/keys/{keys['full']}?region=eu-west-1",
            f"/console/keys/{absent}",
            *[f"/console/keys/{keys[name]}/delete" for name in ("full", "mac", "pending")],
            f"/console/keys/{keys['full']}/policy",
            f"/console/keys/{keys['full']}/import",
            "/console/keys/create",
            *[f"/console/keys/create?usage={usage}" for usage in ("ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT")],
            "/console/access",
            f"/console/access?{question}",
            f"/console/access?{question.replace('Alice', 'Nemo')}",
            "/console/access/why",
            f"/console/access/why?request_id={absent}",
            "/console/audit",
            "/console/audit?name=NoSuchEvent",
            "/console/audit?outcome=refused&range=week&all=1",
            f"/console/audit/{absent}",
            "/console/status",
        ):
            looking.at(path)
        looking.page.goto("/console/audit")
        looking.page.locator("#events a").first.click()
        looking.here("an event")
        looking.page.get_by_role("link", name="Why was this").click()
        looking.here("why")
        looking.page.goto("/console/audit")
        looking.press("Follow")
        looking.here("following")
        looking.nothing()


def test_nothing_serious_in_what_forms_answer(chromium: Browser, server: Production, keys: dict[str, str]) -> None:
    full = f"/console/keys/{keys['full']}"
    with context_of(chromium, server.url) as context:
        looking = Looking(Watched(context))
        page = looking.page
        looking.watched.sign_in(ALICE)

        page.goto("/console/keys/create?usage=ENCRYPT_DECRYPT")
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        page.get_by_label("Policy", exact=True).fill("{}")
        looking.press("Create the key")
        looking.here("no key was made")

        page.goto(f"{full}/delete")
        page.get_by_label("To confirm").fill("alias/another")
        looking.press("Schedule the deletion")
        looking.here("not scheduled")

        page.goto(f"{full}/policy")
        page.get_by_label("Policy", exact=True).fill("{")
        looking.press("Check, and see the difference")
        looking.here("no policy")
        locking = document(allow("kms:*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:user/Nobody"}))
        page.get_by_label("Policy", exact=True).fill(locking)
        looking.press("Check, and see the difference")
        looking.here("a policy that locks out")

        page.goto(f"/console/keys/{keys['import']}/import")
        looking.here("import")
        page.locator("main button").last.click()
        page.get_by_role("heading", name="Wrap it here").wait_for()
        looking.here("wrapping")
        looking.press("Wrap")
        page.get_by_role("alert").filter(has_text="Not wrapped").wait_for()
        looking.here("not wrapped")
        page.get_by_label("Wrapped key material").fill("eA==")
        looking.press("Import")
        looking.here("not imported")

        page.goto(full)
        page.get_by_label("Description", exact=True).fill("of the shop")
        looking.press("Save the description")
        looking.here("said")
        page.get_by_label("A name for this key").fill("no alias")
        looking.press("Create the alias")
        looking.here("refused")
        page.goto(full)
        page.evaluate("document.querySelector('main [name=csrf]').value = 'forged'")
        page.locator("main form button").first.click()
        looking.here("not from here")
        looking.nothing()


@pytest.mark.long
def test_nothing_serious_for_whom_little_is_shown(
    chromium: Browser, server: Production, keys: dict[str, str], stranger: Access
) -> None:
    with context_of(chromium, server.url) as context:
        looking = Looking(Watched(context))
        looking.watched.sign_in(stranger)
        for path in (
            "/console/",
            "/console/keys",
            f"/console/keys/{keys['full']}",
            "/console/access",
            "/console/audit",
            "/console/status",
            "/console/api/Encrypt",
        ):
            looking.at(path)
        looking.press("Prepare the example")
        looking.here("the example could not be prepared")
        looking.nothing()
