# SPDX-License-Identifier: Apache-2.0
"""Try it out: every operation has a page, its example works as it stands, answers are carried on, and whatever a
request or an answer holds comes out as text."""

import base64
import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from console_client import Browser, Page, signed_in
from forms import Form, Read
from roles import ALICE, allow, new_user
from servers import Access, Production, Program, client

from keyquorum.reference import MADE, PAGES

ANYBODY = Access("AKIAEXAMPLE000000001", "a secret that a development server does not ask for")
WORKING = [name for name, page in PAGES.items() if page.available]
HOSTILE = "</textarea></pre>\"><script>alert(1)</script><img src=x onerror=alert(1)>javascript:alert(1)'{{1337*7}}"


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    server = Program(tmp_path_factory.mktemp("dev"), "--dev")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser(dev: Program) -> Browser:
    return signed_in(dev, ANYBODY)


@pytest.fixture(scope="module")
def kms(dev: Program) -> Any:
    return client(dev.url, "kms", ANYBODY)


def form(page: Page, operation: str) -> Form:
    return Read(page.text).form(f"/console/api/{operation}")


def change(fields: list[tuple[str, str]], **values: str) -> list[tuple[str, str]]:
    """The fields of a form after somebody typed: ``m_KeyId`` for ``m.KeyId``."""
    typed = {name.replace("_", "."): value for name, value in values.items()}
    kept = [(name, typed.pop(name, value)) for name, value in fields]
    return [*kept, *typed.items()]


def send(browser: Browser, operation: str, **values: str) -> Page:
    page = browser.get(f"/console/api/{operation}")
    return browser.post(f"/console/api/{operation}", change(form(page, operation).pressed("Send"), **values))


def answer(page: Page) -> dict[str, Any]:
    """The body of the response that the page shows as it came."""
    found = re.search(r'aria-label="The response as it came">(.*?)</pre>', page.text, re.DOTALL)
    assert found is not None, page.text
    members: dict[str, Any] = json.loads(unescape(found[1]).partition("\n\n")[2] or "{}")
    return members


def test_the_index_leads_to_every_operation(browser: Browser) -> None:
    links = {
        attributes.get("href") for tag, attributes in Read(browser.get("/console/api").text).elements if tag == "a"
    }
    assert {f"/console/api/{operation}" for operation in PAGES} <= links


@pytest.mark.slow
@pytest.mark.parametrize("operation", PAGES)
def test_the_page_tells_what_there_is_to_know(browser: Browser, operation: str) -> None:
    page = browser.get(f"/console/api/{operation}")
    told, reference = Read(page.text), PAGES[operation]
    assert page.status == 200
    assert page.headers["cache-control"] == "no-store"
    assert [tag for tag, _ in told.elements].count("h1") == 1
    names = {name for name, _ in told.form(f"/console/api/{operation}").fields}
    for field in reference.request:
        choices = field.kind == "list" and field.element is not None and field.element.enum
        assert choices or any(name == f"m.{field.name}" or name.startswith(f"m.{field.name}.") for name in names)
    assert {f"error-{code}" for code, _ in reference.errors} <= {
        attributes.get("id") for _, attributes in told.elements
    }
    for text in (reference.purpose, *(permission.action for permission in reference.permissions)):
        assert text in told.text


@pytest.mark.slow
@pytest.mark.parametrize("operation", PAGES)
def test_every_field_has_a_label_and_ids_are_unique(browser: Browser, operation: str) -> None:
    elements = Read(
        re.sub(r"<template>.*?</template>", "", browser.get(f"/console/api/{operation}").text, flags=re.S)
    ).elements
    labelled = {attributes["for"] for tag, attributes in elements if tag == "label" and "for" in attributes}
    for tag, attributes in elements:
        if tag in ("input", "select", "textarea") and attributes.get("type") not in ("hidden", "checkbox"):
            assert attributes["id"] in labelled
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert not any(name.startswith("on") or name == "style" for _, attributes in elements for name in attributes)


@pytest.mark.slow
@pytest.mark.parametrize("operation", PAGES)
def test_the_example_pressed_as_it_stands_succeeds(browser: Browser, operation: str) -> None:
    page = browser.get(f"/console/api/{operation}")
    prepare = Read(page.text).form(f"/console/api/{operation}/example")
    page = browser.post(f"/console/api/{operation}/example", prepare.pressed("Prepare the example"))
    page = browser.post(f"/console/api/{operation}", form(page, operation).pressed("Send"))
    if PAGES[operation].available:
        assert '<span class="badge good">200</span>' in page.text, page.text
        assert set(answer(page)) <= {field.name for field in PAGES[operation].response}
    else:
        assert answer(page)["__type"] == "UnsupportedOperationException"
        assert "not available here yet" in Read(page.text).text


def test_prepare_and_send_are_one_press(browser: Browser) -> None:
    prepare = Read(browser.get("/console/api/Decrypt").text).form("/console/api/Decrypt/example")
    page = browser.post("/console/api/Decrypt/example", prepare.pressed("Prepare and send"))
    assert "As text: <code>three boxes of apples" in page.text


def test_a_ciphertext_is_carried_into_decrypt(browser: Browser, kms: Any) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    page = send(
        browser,
        "Encrypt",
        m_KeyId=key,
        m_Plaintext="two pounds of plums",
        m_Plaintext_as="text",
        m_EncryptionContext_0_key="shop",
        m_EncryptionContext_0_value="north",
    )
    carry = next(f for f in Read(page.text).forms if f.action == "/console/api/Decrypt/form")
    page = browser.post(carry.action, carry.pressed("Use CiphertextBlob in Decrypt"))
    page = browser.post("/console/api/Decrypt", form(page, "Decrypt").pressed("Send"))
    assert base64.b64decode(answer(page)["Plaintext"]) == b"two pounds of plums"


@pytest.mark.parametrize(("how", "text"), [("text", "a\r\nb"), ("hex", "61 0a 62"), ("base64", "YQpi")])
def test_bytes_can_be_written_in_three_ways(browser: Browser, kms: Any, how: str, text: str) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    page = send(browser, "Encrypt", m_KeyId=key, m_Plaintext=text, m_Plaintext_as=how)
    blob = base64.b64decode(answer(page)["CiphertextBlob"])
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"a\nb"
    assert dict(form(page, "Encrypt").fields)["m.Plaintext.as"] == how


@pytest.mark.parametrize(
    ("operation", "values", "words"),
    [
        ("Encrypt", {"m_Plaintext": "zz", "m_Plaintext_as": "hex"}, "Plaintext is not hexadecimal"),
        ("GenerateRandom", {"m_NumberOfBytes": "1e3"}, "NumberOfBytes is not a whole number"),
        ("ImportKeyMaterial", {"m_ValidTo": "tomorrow"}, "ValidTo is not a date"),
    ],
)
def test_what_cannot_be_said_is_not_sent(browser: Browser, operation: str, values: dict[str, str], words: str) -> None:
    page = send(browser, operation, **values)
    assert f"{words}" in Read(page.text).text
    assert "The response as it came" not in page.text


def test_what_a_form_can_say_reaches_the_server(browser: Browser) -> None:
    page = send(
        browser,
        "CreateKey",
        m_Tags_0_TagKey="team",
        m_Tags_0_TagValue="",
        m_MultiRegion="true",
        m_Description="plums",
    )
    metadata = answer(page)["KeyMetadata"]
    assert (metadata["MultiRegion"], metadata["Description"]) == (True, "plums")
    listed = send(browser, "ListResourceTags", m_KeyId=metadata["KeyId"])
    assert answer(listed)["Tags"] == [{"TagKey": "team", "TagValue": ""}]
    granted = form(browser.get("/console/api/CreateGrant"), "CreateGrant").pressed("Send")
    equals = "m.Constraints.EncryptionContextEquals.0"
    ticked = [("m.Operations", "Encrypt"), ("m.Operations", "Decrypt")]
    typed = change(granted, m_KeyId=metadata["KeyId"], m_GranteePrincipal="arn:aws:iam::111122223333:root")
    fields = [*change(typed, **{f"{equals}.key": "a", f"{equals}.value": "b"}), *ticked]
    assert answer(browser.post("/console/api/CreateGrant", fields))["GrantId"]
    grant = answer(send(browser, "ListGrants", m_KeyId=metadata["KeyId"]))["Grants"][0]
    assert (sorted(grant["Operations"]), grant["Constraints"]) == (
        ["Decrypt", "Encrypt"],
        {"EncryptionContextEquals": {"a": "b"}},
    )


def test_an_empty_text_can_be_sent_where_it_means_something(browser: Browser, kms: Any) -> None:
    key = kms.create_key(Description="before")["KeyMetadata"]["KeyId"]
    assert answer(send(browser, "UpdateKeyDescription", m_KeyId=key)) == {}
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == ""


def test_more_rows_without_scripts(browser: Browser) -> None:
    fields = change(form(browser.get("/console/api/TagResource"), "TagResource").fields, m_Tags_1_TagKey="kept")
    page = browser.post("/console/api/TagResource/form", fields)
    names = dict(form(page, "TagResource").fields)
    assert names["m.Tags.0.TagKey"] == "kept"
    assert "m.Tags.6.TagKey" in names


def test_an_error_is_explained_and_leads_on(browser: Browser, kms: Any) -> None:
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    page = send(browser, "Encrypt", m_KeyId=key, m_Plaintext="eA==")
    told = Read(page.text)
    assert "EnableKey lets it be used again." in told.text
    links = {attributes.get("href") for tag, attributes in told.elements if tag == "a"}
    assert {"#error-DisabledException", "#states"} <= links
    assert dict(form(page, "Encrypt").fields)["m.KeyId"] == key


def test_a_refusal_leads_to_its_reason(server: Production) -> None:
    server.client("iam").put_user_policy(
        UserName="Alice",
        PolicyName="seed",
        PolicyDocument='{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:ListKeys","Resource":"*"}}',
    )
    page = send(signed_in(server, ALICE), "GenerateRandom", m_NumberOfBytes="8")
    assert re.search(r'href="/console/access/why\?request_id=[0-9a-f-]+"', page.text)


def test_whatever_is_said_comes_out_as_text(browser: Browser, kms: Any) -> None:
    key = kms.create_key(Description=HOSTILE)["KeyMetadata"]["KeyId"]
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "k", "TagValue": "v"}])
    hostile = {
        "m_KeyId": HOSTILE,
        "m_Plaintext": HOSTILE,
        "m_Plaintext_as": "text",
        "m_EncryptionContext_0_key": HOSTILE,
    }
    carried = {"KeyId": HOSTILE, HOSTILE: HOSTILE, "EncryptionContext": {HOSTILE: HOSTILE}, "CiphertextBlob": [HOSTILE]}
    own = browser.get("/console/api/Decrypt").csrf
    pages = [
        send(browser, "DescribeKey", m_KeyId=key),
        send(browser, "DescribeKey", m_KeyId=HOSTILE),
        send(browser, "Encrypt", **hostile),
        send(browser, "Encrypt", **{**hostile, "m_KeyId": key, "m_EncryptionContext_0_value": HOSTILE}),
        send(browser, "CreateKey", m_KeySpec=HOSTILE, m_Policy=HOSTILE, m_Tags_0_TagKey=HOSTILE),
        browser.post("/console/api/Decrypt/form", {"csrf": own, "members": json.dumps(carried)}),
    ]
    for page in pages:
        assert page.status == 200
        elements = Read(page.text).elements
        assert [attributes for tag, attributes in elements if tag == "script"] == [
            {"type": "module", "src": next(a["src"] for t, a in elements if t == "script")}
        ]
        assert not [tag for tag, attributes in elements if tag == "img" or "onerror" in attributes]
        assert not [a for _, a in elements if a.get("href", "").startswith("javascript:")]
        shown = [Read(page.text).text, *(value for _, attributes in elements for value in attributes.values())]
        assert any("<script>alert(1)</script>" in text for text in shown)
        assert str(1337 * 7) not in page.text


def test_the_session_is_not_in_the_page(browser: Browser) -> None:
    page = send(browser, "ListKeys")
    token = browser.cookies["keyquorum"]
    plain = token.translate(str.maketrans("-_", "+/"))
    assert "x-amz-security-token: (that of your session)" in page.text
    for part in (token, plain, unescape(page.text) and plain[:64]):
        assert part not in page.text


@pytest.mark.parametrize("path", ["Encrypt", "Encrypt/form", "Encrypt/example", "form", "examples/delete"])
def test_nothing_is_done_for_another_sites_form(browser: Browser, path: str) -> None:
    own = browser.get("/console/api/Encrypt").csrf
    assert browser.post(f"/console/api/{path}", {"csrf": own}, sec_fetch_site="cross-site").status == 403
    assert browser.post(f"/console/api/{path}", {"csrf": "0" * 64}).status == 403
    assert browser.post(f"/console/api/{path}", {}).status == 403


@pytest.mark.parametrize("path", ["NoSuchOperation", "__class__", "encrypt"])
def test_what_is_no_operation_has_no_page(browser: Browser, path: str) -> None:
    assert browser.get(f"/console/api/{path}").status == 404
    own = browser.get("/console/api/Encrypt").csrf
    assert browser.post(f"/console/api/{path}", {"csrf": own}).status == 404


def test_the_chosen_region_is_where_it_happens(browser: Browser, dev: Program) -> None:
    page = browser.get("/console/api/CreateKey", region="eu-central-1")
    action = Read(page.text).form("/console/api/CreateKey").action.partition("#")[0]
    page = browser.post(action, form(page, "CreateKey").pressed("Send"))
    assert answer(page)["KeyMetadata"]["Arn"].startswith("arn:aws:kms:eu-central-1:")


def test_what_examples_made_is_deleted_by_one_button_and_nothing_else(browser: Browser, dev: Program) -> None:
    region = "eu-north-1"  # where no other test makes any
    kms = client(dev.url, "kms", ANYBODY._replace(region=region))
    for operation in ("Encrypt", "Sign", "CreateAlias"):
        prepare = Read(browser.get(f"/console/api/{operation}", region=region).text)
        form = prepare.form(f"/console/api/{operation}/example")
        browser.post(form.action.partition("#")[0], form.pressed("Prepare the example"))
    page = browser.get("/console/api/examples", region=region)
    listed = Read(page.text).form("/console/api/examples/delete")
    *made, in_use = [value for name, value in listed.fields if name == "key_id"]
    assert len(made) == 2
    kms.update_key_description(KeyId=in_use, Description="orders, since yesterday")
    other = kms.create_key(Description="orders")["KeyMetadata"]["KeyId"]
    named = [("key_id", key) for key in (*made, in_use, other, "alias/absent", made[0])]
    page = browser.post(listed.action, [("csrf", page.csrf), *named])
    assert "2 keys will be destroyed in 7 days" in page.text
    assert "2 (not made for an example), 1 (NotFoundException), 1 (KMSInvalidStateException)" in page.text
    assert "There are none" in page.text
    states = {key: kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] for key in (*made, in_use, other)}
    assert states == {**dict.fromkeys(made, "PendingDeletion"), in_use: "Enabled", other: "Enabled"}


def test_who_may_not_delete_keys_deletes_none_of_examples(server: Production) -> None:
    kms = server.client()
    key = kms.create_key(Description=MADE)["KeyMetadata"]["KeyId"]
    may = allow(["kms:ListKeys", "kms:DescribeKey"])
    browser = signed_in(server, new_user(server.client("iam"), "Looker", may))
    page = browser.get("/console/api/examples")
    assert key in page.text
    page = browser.post("/console/api/examples/delete", {"csrf": page.csrf, "key_id": key})
    assert "0 keys will be destroyed" in page.text
    assert "1 (AccessDeniedException)" in page.text
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"
