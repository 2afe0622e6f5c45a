# SPDX-License-Identifier: Apache-2.0
"""AssumeRoleWithWebIdentity, as a workload of Kubernetes uses it: a token of an issuer that serves its keys, a session,
and an Encrypt with that; and every way in which the token could be another's.

Sources: STS API reference, AssumeRoleWithWebIdentity; IAM user guide, "IAM and AWS STS condition context keys".
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from http_wire import Wire
from issuer import AUDIENCE, CONFIGURATION, KEY_SET, SUBJECT, Issuer, dripping, issuing, token
from roles import ALICE, allow, assumed, document, federating, new_role, new_user, pass_time, trusting, user, using
from servers import ACCOUNT, Production, Program, client, code_of, http_post, refused

pytestmark = pytest.mark.slow

NOT_AUTHORIZED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
NO_KEY = (
    "Couldn't retrieve verification key from your identity provider,  "
    "please reference AssumeRoleWithWebIdentity documentation for requirements"
)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as started:
        yield started


@pytest.fixture(scope="module")
def iam(server: Production) -> Any:
    return server.client("iam")


def nobody(server: Program) -> Any:
    """A client of STS that has no credentials."""
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    return client(server.url, "sts", ALICE, config=config)


@pytest.fixture(scope="module")
def sts(server: Production) -> Any:
    return nobody(server)


def new_provider(iam: Any, issuer: Issuer) -> str:
    """A provider's URL has no scheme but https; what its tokens say decides, and on this machine that may be http."""
    arn: str = iam.create_open_id_connect_provider(Url=f"https://{issuer.name}", ClientIDList=[AUDIENCE])[
        "OpenIDConnectProviderArn"
    ]
    return arn


@pytest.fixture(scope="module")
def provider(iam: Any, issuer: Issuer) -> str:
    return new_provider(iam, issuer)


@pytest.fixture(scope="module")
def role(iam: Any, issuer: Issuer, provider: str) -> str:
    trust = federating(provider, StringEquals={f"{issuer.name}:sub": SUBJECT, f"{issuer.name}:aud": AUDIENCE})
    return new_role(iam, trust, allow("kms:*"))


def exchange(sts: Any, role: str, text: str, **members: Any) -> Any:
    return sts.assume_role_with_web_identity(
        RoleArn=role, **{"RoleSessionName": "worker-1", **members}, WebIdentityToken=text
    )


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_for_a_session_and_the_session_for_a_key(
    server: Production, sts: Any, issuer: Issuer, provider: str, role: str, key: Any, algorithm: str
) -> None:
    answer = exchange(sts, role, issuer.token(algorithm))
    name = role.rpartition("/")[2]
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/worker-1"
    assert (answer["SubjectFromWebIdentityToken"], answer["Audience"]) == (SUBJECT, AUDIENCE)
    assert answer["Provider"] == provider
    mine = using(server.url, answer["Credentials"])
    secret = mine.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert mine.decrypt(CiphertextBlob=secret)["Plaintext"] == b"x"


def test_a_session_from_a_web_identity_ends(start_dev: Callable[..., Program], issuer: Issuer) -> None:
    server = start_dev()
    iam = client(server.url, "iam", ALICE)
    role = new_role(iam, federating(new_provider(iam, issuer)), allow("kms:*"))
    text = issuer.token()
    credentials = exchange(nobody(server), role, text, DurationSeconds=900)["Credentials"]
    mine = using(server.url, credentials)
    key = mine.create_key()["KeyMetadata"]["KeyId"]
    pass_time(server, 590)
    mine.encrypt(KeyId=key, Plaintext=b"x")
    pass_time(server, 20)
    assert code_of(exchange, sts=nobody(server), role=role, text=text) == "ExpiredTokenException"
    mine.encrypt(KeyId=key, Plaintext=b"x")
    pass_time(server, 300)
    with refused("ExpiredTokenException", "The security token included in the request is expired"):
        mine.encrypt(KeyId=key, Plaintext=b"x")
    with refused("ExpiredToken", "The security token included in the request is expired", 403):
        using(server.url, credentials, "sts").get_caller_identity()


@pytest.mark.parametrize(
    "claims", [{"sub": "system:serviceaccount:billing:other"}, {"sub": SUBJECT.upper()}], ids=["other", "case"]
)
def test_the_trust_policy_says_which_subject(sts: Any, issuer: Issuer, role: str, claims: Any) -> None:
    with refused("AccessDenied", NOT_AUTHORIZED, 403):
        exchange(sts, role, issuer.token(**claims))


def test_a_role_that_is_not_there_looks_like_one_that_is_forbidden(sts: Any, issuer: Issuer, provider: str) -> None:
    with refused("AccessDenied", NOT_AUTHORIZED, 403):
        exchange(sts, f"arn:aws:iam::{ACCOUNT}:role/none", issuer.token())


@pytest.mark.parametrize("principal", ["arn:aws:iam::111122223333:root", user("Alice")])
def test_a_role_for_others_is_not_for_web_identities(iam: Any, sts: Any, issuer: Issuer, principal: str) -> None:
    actions = ["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"]
    role = new_role(iam, trusting(principal, action=actions))
    with refused("AccessDenied", NOT_AUTHORIZED, 403):
        exchange(sts, role, issuer.token())


def test_a_role_for_web_identities_is_not_for_users(server: Production, iam: Any, role: str) -> None:
    assert code_of(assumed, sts=server.client("sts", ALICE), role=role) == "AccessDenied"


def test_a_provider_of_one_account_is_none_of_another(sts: Any, issuer: Issuer, provider: str) -> None:
    with refused("InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {issuer.url}"):
        exchange(sts, "arn:aws:iam::444455556666:role/any", issuer.token())


def test_an_issuer_that_is_no_provider_is_never_asked(sts: Any, role: str) -> None:
    with issuing() as other:
        with refused("InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {other.url}"):
            exchange(sts, role, other.token())
        assert not other.asked


def test_another_issuers_keys_do_not_sign_for_this_one(sts: Any, issuer: Issuer, role: str) -> None:
    other = Issuer(issuer.url)
    with refused("InvalidIdentityToken", "Token signature is invalid"):
        exchange(sts, role, other.token())
    with refused("InvalidIdentityToken", NO_KEY):
        exchange(sts, role, token({"alg": "RS256", "kid": "unknown"}, issuer.claims(), other.rsa))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aud": "somebody.else"}, "InvalidIdentityToken"),
        ({"exp": int(time.time()) - 1}, "ExpiredTokenException"),
        ({"nbf": int(time.time()) + 3600}, "IDPRejectedClaim"),
        ({"header": {"alg": "none"}}, "InvalidIdentityToken"),
        ({"header": {"alg": "HS256"}}, "InvalidIdentityToken"),
    ],
)
def test_a_token_that_is_refused_leaves_no_record(
    server: Production, sts: Any, issuer: Issuer, role: str, changes: dict[str, Any], code: str
) -> None:
    """Nobody is known to have sent it."""
    before = [path.read_bytes() for path in sorted((server.data / "audit").glob("*.jsonl"))]
    key: Any = b"" if "header" in changes else issuer.rsa
    header = {"alg": "RS256", "kid": "rsa"} | changes.pop("header", {})
    assert code_of(exchange, sts=sts, role=role, text=token(header, issuer.claims(**changes), key)) == code
    assert [path.read_bytes() for path in sorted((server.data / "audit").glob("*.jsonl"))] == before


def test_an_accepted_token_is_recorded_as_its_subject(
    server: Production, sts: Any, issuer: Issuer, provider: str, role: str
) -> None:
    text = issuer.token()
    exchange(sts, role, text, RoleSessionName="recorded")
    assert code_of(exchange, sts=sts, role=role.replace("role-", "gone-"), text=text, RoleSessionName="recorded-too")
    written = "".join(path.read_text() for path in (server.data / "audit").glob("*.jsonl"))
    lines = [json.loads(line) for line in written.splitlines() if "recorded" in line]
    done, denied = (line.get("event", line) for line in lines)
    assert done["userIdentity"] == {
        "type": "WebIdentityUser",
        "principalId": f"{provider}:{AUDIENCE}:{SUBJECT}",
        "userName": SUBJECT,
        "identityProvider": provider,
    }
    assert done["requestParameters"]["roleArn"] == role
    assert denied["errorCode"].startswith("AccessDenied")
    assert text not in written


def test_a_signature_that_nobody_asked_for_changes_nothing(server: Production, issuer: Issuer, role: str) -> None:
    body = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": role, "RoleSessionName": "ab"}
    form = urlencode(body | {"WebIdentityToken": issuer.token()}).encode()
    headers = {"Host": f"127.0.0.1:{server.port}", "Content-Type": "application/x-www-form-urlencoded"}
    assert server.raw(http_post(headers | {"Authorization": "AWS4-HMAC-SHA256 nonsense"}, form)).status == 200
    without = urlencode(body | {"WebIdentityToken": "a.b.c"}).encode()
    assert server.raw(http_post(headers, without)).status == 400


def test_tags_and_source_identity_come_with_the_token(
    server: Production, iam: Any, sts: Any, issuer: Issuer, provider: str
) -> None:
    claims: dict[str, Any] = {
        "https://aws.amazon.com/tags": {"principal_tags": {"team": ["blue"]}, "transitive_tag_keys": ["team"]},
        "https://aws.amazon.com/source_identity": "carol",
    }
    actions = ["sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"]
    statement = allow(actions, None, Principal={"Federated": provider})
    role = new_role(
        iam,
        document(statement),
        allow(
            "kms:ListKeys",
            Condition={
                "StringEquals": {
                    "aws:PrincipalTag/team": "blue",
                    "aws:SourceIdentity": "carol",
                    "aws:FederatedProvider": provider,
                    f"{issuer.name}:sub": SUBJECT,
                }
            },
        ),
    )
    answer = exchange(sts, role, issuer.token(**claims))
    assert answer["SourceIdentity"] == "carol"
    using(server.url, answer["Credentials"]).list_keys()
    strict = new_role(iam, federating(provider))
    with refused("AccessDenied", NOT_AUTHORIZED, 403):
        exchange(sts, strict, issuer.token(**claims))
    assert code_of(using(server.url, exchange(sts, strict, issuer.token())["Credentials"]).list_keys)


def test_a_session_policy_limits_a_workload(server: Production, sts: Any, issuer: Issuer, role: str, key: Any) -> None:
    answer = exchange(sts, role, issuer.token(), Policy=document(allow("kms:DescribeKey")))
    limited = using(server.url, answer["Credentials"])
    limited.describe_key(KeyId=key["KeyId"])
    assert code_of(limited.encrypt, KeyId=key["KeyId"], Plaintext=b"x") == "AccessDeniedException"


def test_an_issuer_that_cannot_be_asked(iam: Any, sts: Any) -> None:
    with issuing() as issuer:
        role = new_role(iam, federating(new_provider(iam, issuer)))
        del issuer.answers[CONFIGURATION]
        for _ in range(3):
            assert code_of(exchange, sts=sts, role=role, text=issuer.token()) == "IDPCommunicationError"
        assert issuer.asked == {CONFIGURATION: 1}


def test_strangers_cannot_make_it_ask_again_and_again(iam: Any, sts: Any) -> None:
    with issuing() as issuer:
        role = new_role(iam, federating(new_provider(iam, issuer)))
        exchange(sts, role, issuer.token())
        for number in range(10):
            forged = token({"alg": "RS256", "kid": f"k{number}"}, issuer.claims(), issuer.rsa)
            assert code_of(exchange, sts=sts, role=role, text=forged) == "InvalidIdentityToken"
        assert issuer.asked[KEY_SET] == 1


def test_issuers_that_drip_shut_nobody_out_and_do_not_keep_a_server_from_ending(
    start: Callable[..., Production],
) -> None:
    """Each of their tokens once held a thread of those in which access keys are looked up, for ever."""
    server = start()
    iam = server.client("iam")
    dave = new_user(iam, "Dave")
    headers = {"Host": f"127.0.0.1:{server.port}", "Content-Type": "application/x-www-form-urlencoded"}
    asked = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": "ab"}
    with ExitStack() as stack:
        waiting: list[Wire] = []
        for _ in range(12):
            address = stack.enter_context(dripping(b"HTTP/1.1 200 OK\r\nX-A: "))
            iam.create_open_id_connect_provider(Url=f"https://{address}", ClientIDList=[AUDIENCE])
            text = Issuer(f"http://{address}").token()
            form = urlencode({**asked, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/any", "WebIdentityToken": text})
            waiting.append(server.connect())
            stack.callback(waiting[-1].sock.close)
            waiting[-1].send(http_post(headers, form.encode()))
        assert server.client("sts", dave).get_caller_identity()["Arn"] == user("Dave")
        assert all(b"IDPCommunicationError" in wire.response().body for wire in waiting)
        waiting[0].send(http_post(headers, form.encode()))
        server.stop()


def test_a_provider_that_is_removed_is_trusted_no_more(iam: Any, sts: Any) -> None:
    with issuing() as issuer:
        provider = new_provider(iam, issuer)
        role = new_role(iam, federating(provider))
        exchange(sts, role, issuer.token())
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider)
        assert code_of(exchange, sts=sts, role=role, text=issuer.token()) == "InvalidIdentityToken"
