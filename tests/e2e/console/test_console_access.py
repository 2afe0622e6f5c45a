# SPDX-License-Identifier: Apache-2.0
"""Why, in the console: the statement that decided is marked in its policy, for what was refused and for what was
allowed, and only to those who may read it."""

import json
import re
from html import unescape
from typing import Any

import pytest
from botocore.exceptions import ClientError
from console_client import Browser, signed_in
from roles import ALICE, allow, document, new_role, new_user, trusting
from servers import ACCOUNT, Access, Production

IAM = f"arn:aws:iam::{ACCOUNT}"


@pytest.fixture(scope="module")
def browser(server: Production) -> Browser:
    return signed_in(server, server.root)


@pytest.fixture(scope="module")
def iam(server: Production) -> Any:
    return server.client("iam")


def request_id(call: Any, **members: Any) -> str:
    """Of a request, whatever came of it."""
    try:
        answer = call(**members)
    except ClientError as error:
        answer = error.response
    found: str = answer["ResponseMetadata"]["RequestId"]
    return found


def marked(text: str) -> list[dict[str, Any]]:
    return [json.loads(unescape(found)) for found in re.findall(r"<mark>(.*?)</mark>", text, re.DOTALL)]


def why(browser: Browser, request: str) -> str:
    page = browser.get("/console/access/why", request_id=request)
    assert page.status == 200
    return page.text


def test_a_refusal_by_the_key_policy_shows_the_deny(server: Production, browser: Browser) -> None:
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    policy = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
    deny = {
        "Sid": "NotFromHere <b>",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "kms:Encrypt",
        "Resource": "*",
        "Condition": {"StringEquals": {"kms:EncryptionContext:purpose": "test"}},
    }
    policy["Statement"] = [*policy["Statement"], deny]
    kms.put_key_policy(KeyId=key, Policy=json.dumps(policy, indent=4))
    alice = server.client(access=ALICE)
    refused = why(browser, request_id(alice.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"purpose": "test"}))
    assert marked(refused) == [deny]
    assert "explicit deny" in refused
    assert "<b>" not in refused
    allowed = why(browser, request_id(alice.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"purpose": "live"}))
    statement, let_in = marked(allowed)
    assert statement == {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    assert let_in["Sid"] == "Enable IAM User Permissions"


def test_what_nearly_allowed_it_is_shown_with_what_the_request_had(
    server: Production, browser: Browser, iam: Any
) -> None:
    statement = allow("kms:Decrypt", Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})
    access = new_user(iam, "away", statement)
    key = server.client().create_key()["KeyMetadata"]["KeyId"]
    blob = server.client().encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    text = why(browser, request_id(server.client(access=access).decrypt, KeyId=key, CiphertextBlob=blob))
    assert statement in marked(text)
    assert re.search(r'aws:SourceIp</th><td class="mono">127\.0\.0\.1', text)


def test_a_request_through_an_alias_is_asked_about_through_it(server: Production, browser: Browser, iam: Any) -> None:
    condition = {"StringEquals": {"kms:RequestAlias": "alias/door"}}
    access = new_user(iam, "by-alias", allow("kms:Encrypt", Condition=condition))
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/door", TargetKeyId=key)
    user = server.client(access=access)
    text = why(browser, request_id(user.encrypt, KeyId="alias/door", Plaintext=b"x"))
    assert '<span class="badge good">allowed</span> <code>kms:Encrypt</code>' in text
    assert '<span class="badge bad">refused</span>' in why(browser, request_id(user.encrypt, KeyId=key, Plaintext=b"x"))


def test_both_keys_of_a_re_encryption_are_explained(server: Production, browser: Browser) -> None:
    kms = server.client()
    keys = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2)]
    blob = kms.encrypt(KeyId=keys[0], Plaintext=b"x")["CiphertextBlob"]
    text = why(
        browser, request_id(server.client(access=ALICE).re_encrypt, CiphertextBlob=blob, DestinationKeyId=keys[1])
    )
    assert text.index("<code>kms:ReEncryptFrom</code></h2>") < text.index("<code>kms:ReEncryptTo</code></h2>")
    assert all(f"key/{key}</span> by" in text for key in keys)


def test_a_session_and_its_role_are_explained(server: Production, browser: Browser, iam: Any) -> None:
    role = new_role(iam, trusting(f"{IAM}:user/Alice"), allow("kms:ListKeys"))
    iam.put_user_policy(UserName="Alice", PolicyName="assume", PolicyDocument=document(allow("sts:AssumeRole")))
    sts = server.client("sts", access=ALICE)
    answer = sts.assume_role(RoleArn=role, RoleSessionName="shift")
    assert "trust policy" in why(browser, answer["ResponseMetadata"]["RequestId"])
    given = answer["Credentials"]
    session = server.client(
        access=Access(given["AccessKeyId"], given["SecretAccessKey"]), aws_session_token=given["SessionToken"]
    )
    assert '<span class="badge good">allowed</span> <code>kms:ListKeys</code>' in why(
        browser, request_id(session.list_keys)
    )
    refused = why(browser, request_id(session.list_aliases))
    assert '<span class="badge bad">refused</span> <code>kms:ListAliases</code>' in refused


def test_an_identity_operation_is_explained(server: Production, browser: Browser) -> None:
    text = why(browser, request_id(server.client("iam", access=ALICE).get_user, UserName="Alice"))
    assert (
        f'<span class="badge bad">refused</span> <code>iam:GetUser</code> on <span class="mono">{IAM}:user/Alice'
        in text
    )


def test_what_no_permission_refused_is_said_to_be_something_else(server: Production, browser: Browser) -> None:
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=key)
    text = why(browser, request_id(kms.encrypt, KeyId=key, Plaintext=b"x"))
    assert "It was not refused for want of a permission: <strong>DisabledException</strong>" in text


def test_who_may_see_the_log_and_not_the_policies_sees_no_policy(server: Production, iam: Any) -> None:
    key = server.client().create_key()["KeyMetadata"]["KeyId"]
    request = request_id(server.client(access=ALICE).encrypt, KeyId=key, Plaintext=b"x")
    reader = new_user(iam, "log-reader", allow("cloudtrail:LookupEvents"))
    text = why(signed_in(server, reader), request)
    assert "This cannot be explained to you" in text
    assert marked(text) == []
    asker = new_user(iam, "log-asker", allow(["cloudtrail:LookupEvents", "iam:Simulate*", "kms:GetKeyPolicy"]))
    text = why(signed_in(server, asker), request)
    assert "its text takes <code>iam:GetUserPolicy</code>" in text
    assert [statement["Sid"] for statement in marked(text)] == ["Enable IAM User Permissions"]


def test_the_simulator_answers_and_offers_what_there_is(server: Production, browser: Browser, iam: Any) -> None:
    new_user(iam, "simulated", allow("kms:Decrypt", Condition={"Bool": {"aws:SecureTransport": "true"}}))
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]["Arn"]
    page = browser.get("/console/access")
    assert f'<option value="{IAM}:user/simulated">' in page.text
    assert f'<option value="{key}">' in page.text
    assert '<option value="kms:Decrypt">' in page.text
    asked = {"principal": f"{IAM}:user/simulated", "action": "kms:Decrypt", "resource": key}
    assert '<span class="badge bad">refused</span>' in browser.get("/console/access", **asked).text
    text = browser.get("/console/access", **asked, context="aws:SecureTransport = true\n").text
    assert '<span class="badge good">allowed</span>' in text
    assert "aws:SecureTransport = true" in text  # the form keeps what was asked


def test_a_question_is_text_whatever_it_says(browser: Browser) -> None:
    hostile = '"></textarea><script>alert(1)</script>'
    fields = ("principal", "action", "resource", "pairs", "context")
    text = browser.get("/console/access", **dict.fromkeys(fields, hostile)).text
    assert "<script>alert" not in text
    assert "This cannot be explained to you" in text
