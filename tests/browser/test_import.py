# SPDX-License-Identifier: Apache-2.0
"""Importing key material in a real browser: it is wrapped in the page, and what leaves the browser is the wrapped form
alone, however the material was given."""

import base64
import hmac
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from browsing import Relay, Watched, context_of, storage_of
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from playwright.sync_api import Browser, Page, expect
from roles import ALICE
from servers import Production

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


def as_hex(page: Page, material: bytes, _directory: Path) -> None:
    page.get_by_label("Key material", exact=True).fill(material.hex(":").upper())


def as_base64(page: Page, material: bytes, _directory: Path) -> None:
    page.get_by_label("Base64", exact=True).check()
    page.get_by_label("Key material", exact=True).fill(base64.b64encode(material).decode())


def as_file(page: Page, material: bytes, directory: Path) -> None:
    file = directory / "material"
    file.write_bytes(material)
    page.get_by_label("a file").check()
    page.get_by_label("File with the bytes").set_input_files(file)


def spellings(material: bytes) -> Iterator[bytes]:
    """Each way in which a part of the material could stand in a request: the parts are short, for lines may end."""
    for begin in range(0, len(material) - 23, 8):
        part = material[begin : begin + 24]
        # Base64 of what begins at another byte of a triple reads differently.
        for shift in range(3):
            whole = base64.b64encode(part[shift : shift + 21]).decode()
            for text in (whole, whole.replace("+", "-").replace("/", "_"), quote(whole, safe="")):
                yield text.encode()
        for text in (part.hex(), part.hex().upper(), part.hex(":"), part.hex(":").upper()):
            yield text.encode()
        yield from (part, quote(part).encode(), quote(part, safe="").encode())


class Importing:
    """A key without material, and the page on which it gets some; all that the browser sends goes through ``relay``."""

    def __init__(self, watched: Watched, relay: Relay) -> None:
        self.watched, self.page, self._relay = watched, watched.page, relay
        self.posted: list[bytes] = []
        self.wrapped = b""
        self.page.on("request", lambda request: self.posted.append(request.post_data_buffer or b""))

    def begin(self, key_id: str) -> None:
        self.page.goto(f"/console/keys/{key_id}/import")
        self.page.locator("main form button").click()
        self.page.get_by_role("heading", name="Wrap it here").wait_for()

    def wrap(self) -> None:
        self.page.get_by_role("button", name="Wrap", exact=True).click()

    def finish(self) -> None:
        expect(self.page.locator("#done")).to_contain_text("It is wrapped")
        self.wrapped = base64.b64decode(self.page.locator("#wrapped").input_value())
        # It is in no field any more, from which a form or a browser could take it.
        assert self.page.locator("#material").input_value() == ""
        assert self.page.locator("#material-file").evaluate("each => each.files.length") == 0
        self.page.get_by_role("button", name="Import", exact=True).click()
        expect(self.page.get_by_text("The key material is imported.")).to_be_visible()

    def assert_unseen(self, material: bytes) -> None:
        sent = bytes(self._relay.sent)
        posted = b"\n".join(self.posted)
        for where in (sent, posted):  # where the wrapped form is found, the clear one would be
            assert any(spelling in where for spelling in spellings(self.wrapped))
        kept = storage_of(self.page).encode() + self.page.content().encode()
        for spelling in spellings(material):
            for where in (sent, posted, kept):
                assert spelling not in where
        assert self.watched.errors == []


@pytest.fixture
def importing(chromium: Browser, server: Production) -> Iterator[Importing]:
    relay = Relay(server.port)
    try:
        with context_of(chromium, relay.origin) as context:
            watched = Watched(context)
            watched.sign_in(ALICE)
            yield Importing(watched, relay)
    finally:
        relay.close()


def new_key(kms: Any, spec: str, usage: str) -> str:
    key_id: str = kms.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    return key_id


def test_a_symmetric_key_encrypts_and_decrypts(server: Production, importing: Importing, tmp_path: Path) -> None:
    kms = server.client(access=ALICE)
    key_id, material = new_key(kms, "SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), os.urandom(32)
    importing.begin(key_id)
    as_hex(importing.page, material[:-1], tmp_path)
    importing.wrap()
    expect(importing.page.locator("#trouble")).to_contain_text("it has 31 bytes, and not 32")
    assert importing.page.locator("#wrapped").input_value() == ""
    as_hex(importing.page, material, tmp_path)
    importing.wrap()
    importing.finish()
    importing.assert_unseen(material)
    page = importing.page
    page.goto("/console/api/Encrypt")
    page.get_by_label("KeyId").first.fill(key_id)
    page.locator("[data-blob]").first.select_option("text")
    page.locator("textarea").first.fill("attack at dawn")
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("button", name="Use CiphertextBlob in Decrypt").click()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#answer")).to_contain_text("As text: attack at dawn")


def test_an_hmac_key_is_the_material_itself(server: Production, importing: Importing, tmp_path: Path) -> None:
    kms = server.client(access=ALICE)
    key_id, material = new_key(kms, "HMAC_256", "GENERATE_VERIFY_MAC"), os.urandom(32)
    importing.begin(key_id)
    as_base64(importing.page, material, tmp_path)
    importing.wrap()
    importing.finish()
    importing.assert_unseen(material)
    mac = kms.generate_mac(KeyId=key_id, Message=b"orders", MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert mac == hmac.digest(material, b"orders", "sha256")


def test_a_private_key_from_a_file_is_the_one_that_signs(
    server: Production, importing: Importing, tmp_path: Path
) -> None:
    kms = server.client(access=ALICE)
    key_id, private = new_key(kms, "ECC_NIST_P256", "SIGN_VERIFY"), ec.generate_private_key(ec.SECP256R1())
    material = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    importing.begin(key_id)
    as_file(importing.page, material, tmp_path)
    importing.wrap()
    importing.finish()
    importing.assert_unseen(material)
    importing.assert_unseen(private.private_numbers().private_value.to_bytes(32, "big"))
    signature = kms.sign(KeyId=key_id, Message=b"orders", SigningAlgorithm="ECDSA_SHA_256")["Signature"]
    private.public_key().verify(signature, b"orders", ec.ECDSA(hashes.SHA256()))
