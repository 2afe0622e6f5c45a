# SPDX-License-Identifier: Apache-2.0
"""Making keys in the console, importing their material, and deleting them: each step, and each way to get it wrong."""

import base64
import os
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from console_client import Browser, signed_in
from roles import allow, new_user
from servers import Production

KEYS = "/console/keys"


@pytest.fixture(scope="module")
def browser(server: Production) -> Browser:
    return signed_in(server, server.root)


def key_of(path: str) -> str:
    found = re.match(r"/console/keys/([\w-]+)", path)
    assert found is not None
    return found[1]


def test_each_choice_is_explained_and_taken(kms: Any, browser: Browser) -> None:
    page = browser.get(KEYS + "/create")
    for usage in ("ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT", "ENCAPSULATE_DECAPSULATE"):
        assert f'value="{usage}"' in page.text
        assert browser.get(KEYS + "/create", usage=usage).text.count('name="spec"') >= 3
    csrf = browser.get(KEYS + "/create", usage="SIGN_VERIFY").csrf
    fields = [
        ("csrf", csrf),
        ("usage", "SIGN_VERIFY"),
        ("spec", "ECC_NIST_EDWARDS25519"),
        ("origin", "AWS_KMS"),
        ("regions", "multi"),
        ("alias", "made-in-the-console"),
        ("description", "d"),
        ("tag_key", "k"),
        ("tag_value", "v"),
        ("tag_key", ""),
        ("tag_value", ""),
        ("policy", ""),
    ]
    page = browser.post(KEYS + "/create", fields)
    assert page.status == 200
    assert "The key is made." in page.text
    key = kms.describe_key(KeyId="alias/made-in-the-console")["KeyMetadata"]
    assert (key["KeySpec"], key["KeyUsage"], key["MultiRegion"]) == ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY", True)
    assert (key["KeyId"], key["Description"]) == (key_of(page.path), "d")
    again = browser.post(KEYS + "/create", fields)
    assert "but not its alias: AlreadyExistsException" in unescape(again.text)


def test_what_was_typed_is_kept_when_a_key_is_refused(browser: Browser) -> None:
    csrf = browser.get(KEYS + "/create", usage="ENCRYPT_DECRYPT").csrf
    typed = '"><script>x</script>'
    fields = {
        "csrf": csrf,
        "usage": "ENCRYPT_DECRYPT",
        "spec": "SYMMETRIC_DEFAULT",
        "description": typed,
        "policy": "{}",
    }
    page = browser.post(KEYS + "/create", fields)
    assert page.status == 400
    assert "No key was made" in page.text
    assert typed in unescape(page.text)
    assert "<script>x" not in page.text


def parameters(browser: Browser, key_id: str) -> dict[str, str]:
    csrf = browser.get(f"{KEYS}/{key_id}/import").csrf
    fields = {"csrf": csrf, "wrapping_spec": "RSA_3072"}
    page = browser.post(f"{KEYS}/{key_id}/import/parameters", fields)
    assert page.status == 200, page.text
    assert "import.js" in page.text or "RSA_AES_KEY_WRAP" in page.text
    return {**page.hidden(), "page": page.text}


def commands(page: str) -> str:
    found = re.search(r"<pre tabindex=\"0\"><code>(.*?)</code></pre>", page, re.DOTALL)
    assert found is not None
    return unescape(found[1])


@pytest.mark.slow  # an RSA key is made for each import
@pytest.mark.parametrize(("spec", "usage"), [("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("RSA_2048", "SIGN_VERIFY")])
def test_material_is_wrapped_by_the_commands_that_the_page_shows(
    kms: Any, browser: Browser, tmp_path: Path, spec: str, usage: str
) -> None:
    key_id = kms.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    given = parameters(browser, key_id)
    if spec == "SYMMETRIC_DEFAULT":
        (tmp_path / "material").write_bytes(os.urandom(32))
    else:
        make = "openssl genpkey -algorithm RSA -quiet | openssl pkcs8 -topk8 -nocrypt -outform DER -out material"
        subprocess.run(["bash", "-c", make], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run(["bash", "-e"], input=commands(given["page"]), cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    fields = {name: given[name] for name in ("csrf", "import_token", "public_key")}
    page = browser.post(f"{KEYS}/{key_id}/import", {**fields, "wrapped": done.stdout, "expires": ""})
    assert page.status == 200
    assert "The key material is imported." in page.text
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled"


@pytest.mark.slow  # an RSA key is made for each import
def test_what_is_not_wrapped_is_not_imported(kms: Any, browser: Browser) -> None:
    key_id = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    given = parameters(browser, key_id)
    fields = {name: given[name] for name in ("csrf", "import_token", "public_key")}
    for wrapped, expires in (
        ("", ""),
        ("not base64 at all", ""),
        (base64.b64encode(b"x" * 384).decode(), ""),
        (base64.b64encode(b"x" * 384).decode(), "yesterday"),
    ):
        page = browser.post(f"{KEYS}/{key_id}/import", {**fields, "wrapped": wrapped, "expires": expires})
        assert page.status == 400
        assert given["import_token"] in page.text  # to go on with
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "PendingImport"
    # What the material is typed into has no name, and so is in no form.
    assert re.findall(r'<input id="material(?:-file)?"[^>]*\bname=', given["page"]) == []


def test_a_key_of_our_own_material_takes_none(kms: Any, browser: Browser, key: Any) -> None:
    assert "takes no imported key material" in browser.get(f"{KEYS}/{key['KeyId']}/import").text


def delete(browser: Browser, key_id: str, name: str, days: str = "7") -> Any:
    csrf = browser.get(f"{KEYS}/{key_id}/delete").csrf
    return browser.post(f"{KEYS}/{key_id}/delete", {"csrf": csrf, "name": name, "days": days})


def test_a_deletion_wants_the_alias_and_shows_who_used_the_key(kms: Any, browser: Browser, key: Any) -> None:
    key_id = key["KeyId"]
    kms.create_alias(AliasName="alias/to-go", TargetKeyId=key_id)
    kms.encrypt(KeyId=key_id, Plaintext=b"x")
    page = browser.get(f"{KEYS}/{key_id}/delete")
    assert "within the last 30 days" in page.text
    assert ", Encrypt" in page.text
    assert re.search(r"<li>[^<]+: 1 uses</li>", page.text)
    for name in ("", key_id, "alias/to-g", "alias/other", "*"):
        page = delete(browser, key_id, name)
        assert page.status == 400
        assert "Nothing was scheduled" in page.text
    for days in ("", "0", "6", "31", "-7", "7.5", "9" * 40):
        assert delete(browser, key_id, "alias/to-go", days).status == 400
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Enabled"
    page = delete(browser, key_id, "alias/to-go", "8")
    assert page.status == 200
    assert "Until then this can be undone" in page.text
    again = browser.get(f"{KEYS}/{key_id}/delete")
    assert "cannot be scheduled" in again.text


def test_a_key_without_an_alias_is_deleted_by_its_id_and_kept_by_one_button(
    kms: Any, browser: Browser, key: Any
) -> None:
    key_id = key["KeyId"]
    page = delete(browser, key_id, key_id, "30")
    assert "Cancel the deletion" in page.text
    front = browser.get("/console/")
    row = re.search(rf'href="/console/keys/{key_id}">.*?</tr>', front.text, re.DOTALL)
    assert row is not None
    assert "<strong>30</strong>" in row[0]
    csrf = front.csrf
    page = browser.post(f"{KEYS}/{key_id}/do/cancel-deletion", {"csrf": csrf})
    assert "The deletion is cancelled" in page.text
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"] == "Disabled"


def test_who_may_not_delete_is_told_so(server: Production, kms: Any, key: Any) -> None:
    access = new_user(server.client("iam"), "careful", allow(["kms:DescribeKey", "kms:ListAliases"]))
    page = delete(signed_in(server, access), key["KeyId"], key["KeyId"])
    assert page.status == 400
    assert "kms:ScheduleKeyDeletion" in page.text
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled"
