# SPDX-License-Identifier: Apache-2.0
"""Requests that nobody signs, at the request path: what they may cost before their token is proven, and what is left of
them. And requests that fail by an error of ours, whoever sent them."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from inprocess import InProcess
from issuer import AUDIENCE, Issuer, text_of
from roles import document, federating, new_role
from sigv4_requests import ACCESS_KEY_ID, received, signed_by_botocore

from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.errors import WouldBlock
from keyquorum.model import Answer, HttpRequest

ACCOUNT = "111122223333"
ISSUER = Issuer()
MEDIA_TYPE = "application/x-www-form-urlencoded"
FORM = [(b"host", b"localhost"), (b"content-type", MEDIA_TYPE.encode())]
TAGS = "https://aws.amazon.com/tags"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    opened = Service(Settings(data=tmp_path_factory.mktemp("federation") / "data"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def iam(service: Service) -> Any:
    here = InProcess(service)
    return here.client("iam", **here.root(ACCOUNT))


@pytest.fixture(scope="module")
def provider(service: Service, iam: Any) -> str:
    """One whose key set it was given."""
    name = "before-call.iam.CreateOpenIDConnectProvider"
    with_keys = lambda params, **_: params["body"].update(JWKS=json.dumps({"keys": ISSUER.keys}))  # noqa: E731
    iam.meta.events.register(name, with_keys)
    arn: str = iam.create_open_id_connect_provider(Url=ISSUER.url, ClientIDList=[AUDIENCE])["OpenIDConnectProviderArn"]
    return arn


@pytest.fixture(scope="module")
def other(iam: Any) -> str:
    arn: str = iam.create_open_id_connect_provider(Url="https://other.example")["OpenIDConnectProviderArn"]
    return arn


def form(role: str, token: str, **members: str) -> HttpRequest:
    asked = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": role, "RoleSessionName": "web"}
    return HttpRequest(b"POST", b"/", FORM, urlencode({**asked, "WebIdentityToken": token, **members}).encode(), "::1")


def exchange(service: Service, role: str, token: str) -> Answer:
    return service.pipeline.answer(form(role, token), may_block=True)


def junk(header: Any, claims: Any) -> str:
    return ".".join([text_of(json.dumps(header).encode()), text_of(json.dumps(claims).encode()), "AAAA"])


@pytest.mark.parametrize(
    "token",
    [
        junk({"alg": []}, {"iss": "https://a"}),
        junk({"alg": {}}, {"iss": "https://a"}),
        junk({"alg": "RS256"}, {"iss": "https://a\ud800/"}),
        junk({"alg": "RS256", "kid": "\ud800"}, {"iss": "https://a"}),
        junk({"alg": "RS256"}, {"iss": "https://[a"}),
        junk({"alg": "RS256", "crit": [[]]}, {"iss": "https://a"}),
        junk({"alg": "RS256"}, {"iss": "https://a\0"}),
        junk([], {}),
    ],
)
def test_a_strangers_token_is_no_error_of_ours(service: Service, token: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = exchange(service, f"arn:aws:iam::{ACCOUNT}:role/any", token)
    assert (answer.status, answer.record) == (400, None)
    assert b"<Code>InvalidIdentityToken</Code>" in answer.body
    assert "Traceback" not in caplog.text


def test_a_strangers_form_is_not_read_on_the_event_loop(service: Service) -> None:
    """Nor where access keys are looked up."""
    wide = {f"A{number}.b.c.d.e.f.g.h.i": "x" for number in range(600)}
    for http in (form("x", "x", **wide), form("x", "x" * 20_000), form("", "")):
        with pytest.raises(WouldBlock) as caught:
            service.pipeline.answer(http, may_block=False)
        assert caught.value.where == "federation"


def test_a_strangers_form_has_a_longest_form(service: Service) -> None:
    for may_block in (False, True):
        answer = service.pipeline.answer(form("x", "x" * 33_000), may_block=may_block)
        assert (answer.status, answer.record) == (400, None)
        assert b"The request body exceeds 32768 bytes" in answer.body


def test_the_longest_token_and_policy_fit(service: Service) -> None:
    answer = service.pipeline.answer(form("r" * 20, "x" * 20_000, Policy='"' * 2048), may_block=True)
    assert b"InvalidIdentityToken" in answer.body


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "x\ud800"},
        {"aud": [AUDIENCE, "\ud800"]},
        {"amr": ["\ud800"]},
        {TAGS: {"principal_tags": {"a": ["\ud800"]}}},
    ],
    ids=["sub", "aud", "amr", "tag"],
)
def test_a_signed_token_with_half_a_character(
    service: Service, iam: Any, provider: str, claims: Any, allowed: bool
) -> None:
    more = {} if allowed else {"StringEquals": {f"{ISSUER.name}:sub": "nobody"}}
    role = new_role(iam, federating(provider, **more))
    answer = exchange(service, role, ISSUER.token(**claims))
    assert (answer.status, answer.record) == (400, None)
    assert b"<Code>InvalidIdentityToken</Code>" in answer.body


def test_a_key_set_that_cannot_be_read_is_no_error_of_ours(service: Service, iam: Any, provider: str) -> None:
    """One from before they were read when they are given."""
    role = new_role(iam, federating(provider))
    assert exchange(service, role, ISSUER.token()).status == 200
    with service.database.write() as txn:
        found = service.store.providers.load(txn.connection, ACCOUNT, ISSUER.name)
        assert found is not None
        service.store.providers.update(txn, found, jwks='{"keys": 1}')
    try:
        answer = exchange(service, role, ISSUER.token())
    finally:
        with service.database.write() as txn:
            broken = service.store.providers.load(txn.connection, ACCOUNT, ISSUER.name)
            assert broken is not None
            service.store.providers.update(txn, broken, jwks=found.jwks)
    assert answer.status == 400
    assert b"retrieve verification key" in answer.body


# -- what the audit trail says of it


def parameters(answer: Answer) -> dict[str, Any]:
    assert answer.record is not None
    told: dict[str, Any] = json.loads(answer.record)["requestParameters"]
    return told


TAGGED = {
    TAGS: {"principal_tags": {"team": ["blue"], "cost": ["17"]}, "transitive_tag_keys": ["team"]},
    "https://aws.amazon.com/source_identity": "carol",
}


@pytest.mark.parametrize("allowed", [True, False])
def test_what_comes_in_a_token_is_recorded(service: Service, iam: Any, provider: str, allowed: bool) -> None:
    """IAM user guide, "Pass session tags in AWS STS", "Viewing session tags in CloudTrail": principalTags."""
    actions = ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"]
    statement = {"Effect": "Allow", "Action": actions, "Principal": {"Federated": provider}}
    role = new_role(iam, document(statement) if allowed else federating(provider))
    answer = exchange(service, role, ISSUER.token(**TAGGED))
    assert (answer.status == 200) is allowed
    assert parameters(answer) == {
        "principalTags": {"team": "blue", "cost": "17"},
        "transitiveTagKeys": ["team"],
        "sourceIdentity": "carol",
        "roleArn": role,
        "roleSessionName": "web",
    }


def test_what_comes_along_a_chain_is_recorded(service: Service, iam: Any, provider: str) -> None:
    """IAM user guide, "Logging IAM and AWS STS API calls with AWS CloudTrail", the example of role chaining:
    incomingTransitiveTags."""
    actions = ["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"]
    first = new_role(
        iam,
        document({"Effect": "Allow", "Action": actions, "Principal": {"Federated": provider}}),
        {"Effect": "Allow", "Action": "sts:*", "Resource": "*"},
    )
    second = new_role(
        iam, document({"Effect": "Allow", "Action": actions, "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}})
    )
    body = exchange(service, first, ISSUER.token(**TAGGED)).body.decode()
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    access_key_id, secret, token = (body.partition(f"<{name}>")[2].partition("<")[0] for name in names)
    asked = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": second, "RoleSessionName": "next"}
    tags = {"Tags.member.1.Key": "own", "Tags.member.1.Value": "1"}
    request = AWSRequest("POST", "http://localhost/", {"Content-Type": MEDIA_TYPE}, urlencode(asked | tags).encode())
    SigV4Auth(Credentials(access_key_id, secret, token), "sts", "us-east-1").add_auth(request)
    told = parameters(service.pipeline.answer(received(request), may_block=True))
    assert told["incomingTransitiveTags"] == {"team": "blue"}
    assert told["tags"] == [{"key": "own", "value": "1"}]
    assert told["sourceIdentity"] == "carol"


# -- who may not come by that way


@pytest.mark.parametrize(
    ("principal", "is_let_in"),
    [
        ({"Federated": "{provider}"}, True),
        ({"Federated": "{provider}", "AWS": "*"}, True),
        ("*", False),
        ({"AWS": "*"}, False),
        ({"AWS": ACCOUNT}, False),
        ({"Federated": "{other}"}, False),
    ],
    ids=str,
)
def test_a_role_is_for_web_identities_only_if_it_names_their_provider(
    service: Service, iam: Any, provider: str, other: str, principal: Any, is_let_in: bool
) -> None:
    names = {"{provider}": provider, "{other}": other}
    trusted = principal if principal == "*" else {kind: names.get(name, name) for kind, name in principal.items()}
    role = new_role(iam, document({"Effect": "Allow", "Principal": trusted, "Action": "sts:*"}))
    assert (exchange(service, role, ISSUER.token()).status == 200) is is_let_in


def test_a_deny_for_everybody_is_for_web_identities_too(service: Service, iam: Any, provider: str) -> None:
    allow = {"Effect": "Allow", "Principal": {"Federated": provider}, "Action": "sts:*"}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sts:*"}
    assert exchange(service, new_role(iam, document(allow)), ISSUER.token()).status == 200
    assert exchange(service, new_role(iam, document(allow, deny)), ISSUER.token()).status == 403


# -- errors of ours


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Service]:
    """One whose root has lost its row."""
    opened = Service(Settings(data=tmp_path / "data"))
    with opened.database.write() as txn:
        txn.connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        txn.connection.exec_driver_sql("UPDATE access_keys SET wrapped_secret = x'00'")
    yield opened
    opened.close()


def test_a_stranger_cannot_fill_the_log_with_our_errors(broken: Service, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever sends an access key ID reaches it, without its secret."""
    with broken.database.read() as connection:
        name = connection.exec_driver_sql("SELECT access_key_id FROM access_keys").scalar_one()
    request = signed_by_botocore()
    headers = [(key, value.replace(ACCESS_KEY_ID.encode(), str(name).encode())) for key, value in request.headers]
    caplog.set_level(logging.WARNING)
    for _ in range(200):
        http = HttpRequest(request.method, request.target, headers, request.body, "192.0.2.1")
        answer = broken.pipeline.answer(http, may_block=True)
        assert (answer.status, answer.record) == (500, None)
    assert not broken.refusals.counts  # it is not known that their authentication is what failed
    assert 1 <= caplog.text.count("Traceback (most recent call last)") <= 20
    assert len(caplog.records) < 100
