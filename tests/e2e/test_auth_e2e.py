# SPDX-License-Identifier: Apache-2.0
"""Requests that nobody has signed, or not like this: each is told its own fault, and nothing happens."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from http_wire import Response
from servers import REGION, Access, Production, http_post, signed_headers, signed_request

pytestmark = pytest.mark.slow

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key"
    " and signing method. Consult the service documentation for details."
)
BODY = b'{"Description":"made by the attacker"}'
Headers = dict[str, str]


@pytest.fixture
def attempt(server: Production, kms: Any) -> Callable[..., tuple[str, str]]:
    """``attempt(headers, body)`` sends CreateKey; the fault's code and message, after a look whether it made a key."""
    before = kms.list_keys(Limit=1000)["Keys"]

    def send(headers: Headers, body: bytes = BODY, target: str = "/") -> tuple[str, str]:
        answer = server.raw(http_post(headers, body, target))
        assert answer.status == 400
        assert kms.list_keys(Limit=1000)["Keys"] == before
        return answer.json["__type"], answer.json.get("message", "")

    return send


def headers_of(server: Production, access: Access | None = None, **options: Any) -> Headers:
    return signed_headers(server.url, access or server.root, "CreateKey", BODY, **options)


def test_the_untouched_request_makes_a_key(server: Production) -> None:
    """What the tests below damage is right before they do."""
    assert server.raw(http_post(headers_of(server), BODY)).status == 200


def test_no_signature(server: Production, attempt: Any) -> None:
    headers = headers_of(server)
    del headers["Authorization"]
    assert attempt(headers) == ("MissingAuthenticationTokenException", "Missing Authentication Token")


@pytest.mark.parametrize(
    ("media_type", "says"),
    [
        ("application/x-www-form-urlencoded; charset=utf-8", "<Code>RequestEntityTooLarge</Code>"),
        ("application/x-amz-json-1.1", '"__type":"RequestEntityTooLargeException"'),
    ],
)
def test_a_refusal_that_looks_at_no_operation_is_in_the_callers_protocol(
    server: Production, media_type: str, says: str
) -> None:
    answer = server.raw(http_post({"Host": "localhost", "Content-Type": media_type}, b"x" * 300_000))
    assert answer.status == 413
    assert says in answer.body.decode()


def test_wrong_secret(server: Production, attempt: Any) -> None:
    wrong = Access(server.root.key_id, server.root.secret[:-1] + "!")
    assert attempt(headers_of(server, wrong)) == ("InvalidSignatureException", MISMATCH)


def test_unknown_access_key(server: Production, attempt: Any) -> None:
    unknown = Access("AKIAUNKNOWN000000000", server.root.secret)
    expected = ("UnrecognizedClientException", "The security token included in the request is invalid.")
    assert attempt(headers_of(server, unknown)) == expected
    # The emulators' habit is for --dev alone.
    assert attempt(headers_of(server, Access("test", "test"))) == expected


def test_a_session_token_that_nobody_issued(server: Production, attempt: Any) -> None:
    headers = headers_of(server, extra={"X-Amz-Security-Token": "FwoGZXIvYXdzE"})
    assert attempt(headers) == (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (-6, r"Signature expired: \d{8}T\d{6}Z is now earlier than .* - 5 min\.\)"),
        (6, r"Signature not yet current: .*"),
    ],
)
def test_old_and_early_dates(
    server: Production, attempt: Any, monkeypatch: pytest.MonkeyPatch, minutes: int, words: str
) -> None:
    """Signed as a client does whose clock is off."""
    moved = datetime.now(UTC).replace(tzinfo=None) + timedelta(minutes=minutes)
    with monkeypatch.context() as at_the_client:
        at_the_client.setattr("botocore.auth.get_current_datetime", lambda *_: moved)
        headers = headers_of(server)
    assert headers["X-Amz-Date"] == moved.strftime("%Y%m%dT%H%M%SZ")
    code, message = attempt(headers)
    assert code == "InvalidSignatureException"
    assert re.fullmatch(words, message)


@pytest.mark.parametrize("name", ["X-Amz-Meta-Extra", "x-amz-security-token", "X-Amz-Content-Sha256"])
def test_an_unsigned_x_amz_header(server: Production, attempt: Any, name: str) -> None:
    code, message = attempt({**headers_of(server), name: "x"})
    assert code == "InvalidSignatureException"
    assert f"'{name.title()}' must be a 'SignedHeader'" in message


def test_an_unsigned_host(server: Production, attempt: Any) -> None:
    headers = headers_of(server)
    headers["Authorization"] = headers["Authorization"].replace(";host;", ";")
    assert attempt(headers) == (
        "InvalidSignatureException",
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    )


def test_a_changed_byte_of_the_body(server: Production, attempt: Any) -> None:
    headers = headers_of(server)
    for i in range(0, len(BODY), 7):
        damaged = BODY[:i] + bytes((BODY[i] ^ 1,)) + BODY[i + 1 :]
        assert attempt(headers, damaged) == ("InvalidSignatureException", MISMATCH)
    assert attempt(headers, BODY + b" ") == ("InvalidSignatureException", MISMATCH)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Target", "TrentService.ListKeys"),
        ("Content-Type", "application/x-amz-json-1.1; charset=utf-8"),
        ("Host", "kms.example.com"),
        ("Host", "127.0.0.1"),
    ],
)
def test_changed_headers(server: Production, attempt: Any, name: str, value: str) -> None:
    code, _ = attempt({**headers_of(server), name: value})
    assert code in ("InvalidSignatureException", "UnknownOperationException")


@pytest.mark.parametrize("target", ["/?a=b", "/other", "//", "/?X-Amz-Signature=0"])
def test_another_route(server: Production, kms: Any, target: str) -> None:
    before = kms.list_keys(Limit=1000)["Keys"]
    assert server.raw(http_post(headers_of(server), BODY, target)).status in (400, 404, 405)
    assert kms.list_keys(Limit=1000)["Keys"] == before


def test_another_region_or_service(server: Production, attempt: Any) -> None:
    headers = headers_of(server)
    moved = headers["Authorization"].replace(f"/{REGION}/", "/eu-west-1/")
    assert attempt({**headers, "Authorization": moved}) == ("InvalidSignatureException", MISMATCH)
    assert attempt(headers_of(server, service="sts")) == (
        "InvalidSignatureException",
        "Credential should be scoped to correct service: 'kms'. ",
    )
    nowhere = Access(server.root.key_id, server.root.secret, "nowhere")
    assert attempt(headers_of(server, nowhere)) == (
        "InvalidSignatureException",
        "Credential should be scoped to a valid region. ",
    )


@pytest.mark.parametrize("value", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0" * 64])
def test_a_payload_that_the_signature_does_not_cover(server: Production, attempt: Any, value: str) -> None:
    code, message = attempt(headers_of(server, extra={"X-Amz-Content-Sha256": value}))
    assert code == "InvalidSignatureException"
    assert message


@pytest.mark.parametrize("name", ["Authorization", "X-Amz-Date", "X-Amz-Target", "Host", "Content-Type"])
def test_a_header_given_twice(server: Production, kms: Any, name: str) -> None:
    before = kms.list_keys(Limit=1000)["Keys"]
    headers = headers_of(server)
    request = http_post(headers, BODY).replace(b"\r\n", f"\r\n{name}: {headers[name]}\r\n".encode(), 1)
    assert server.raw(request).status == 400
    assert kms.list_keys(Limit=1000)["Keys"] == before


@pytest.mark.parametrize(
    ("authorization", "words"),
    [
        ("AWS4-HMAC-SHA256", "Authorization header requires 'Credential' parameter."),
        ("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host", "requires 'Signature' parameter."),
        ("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host;x-amz-date;x-amz-target, Signature=00", "exactly 5"),
        ("Basic dGVzdDp0ZXN0", ""),
        ("", ""),
    ],
)
def test_an_authorization_that_is_none(server: Production, attempt: Any, authorization: str, words: str) -> None:
    code, message = attempt({**headers_of(server), "Authorization": authorization})
    assert code == "IncompleteSignatureException"
    assert words in message


def test_a_repeat_of_the_same_request_is_accepted(server: Production) -> None:
    """As AWS does, within the five minutes: a retry is not an attack."""
    request = signed_request(server.url, server.root, "GenerateRandom", b'{"NumberOfBytes":32}')
    answers = [server.raw(request) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert len({answer.body for answer in answers}) == 3


def test_refusals_are_logged_without_the_signature_and_not_audited(start: Callable[..., Production]) -> None:
    server = start()
    headers = headers_of(server, Access(server.root.key_id, "wrong"))
    answer = server.raw(http_post(headers, BODY))
    request_id = answer.headers["x-amzn-requestid"]
    log = server.stderr.read_text()
    assert request_id in log
    assert headers["Authorization"].rpartition("=")[2] not in log
    audit = b"".join(path.read_bytes() for path in (server.data / "audit").iterdir())
    assert request_id.encode() not in audit


# -- STS, which speaks XML


def sts(server: Production, access: Access, body: bytes = b"Action=GetCallerIdentity&Version=2011-06-15") -> Response:
    extra = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    headers = signed_headers(server.url, access, "", body, extra=extra, service="sts")
    return server.raw(http_post(headers, body))


def test_sts_faults_are_xml_and_403(server: Production) -> None:
    root = server.root
    faults = {
        "SignatureDoesNotMatch": sts(server, Access(root.key_id, "wrong")),
        "InvalidClientTokenId": sts(server, Access("AKIAUNKNOWN000000000", "secret")),
        "MissingAuthenticationToken": server.raw(
            http_post(
                {"Host": "localhost", "Content-Type": "application/x-www-form-urlencoded"},
                b"Action=GetCallerIdentity&Version=2011-06-15",
            )
        ),
    }
    for code, answer in faults.items():
        assert (answer.status, answer.headers["content-type"]) == (403, "text/xml")
        assert f"<Code>{code}</Code>".encode() in answer.body
        assert answer.headers["x-amzn-requestid"].encode() in answer.body
    right = sts(server, root)
    assert (right.status, right.headers["content-type"]) == (200, "text/xml")
    assert b"<Arn>arn:aws:iam::111122223333:root</Arn>" in right.body
    unknown = sts(server, root, b"Action=GetFederationToken&Version=2011-06-15")
    assert unknown.status == 400
    assert b"<Code>InvalidAction</Code>" in unknown.body


def test_sts_and_kms_signatures_do_not_stand_for_each_other(server: Production) -> None:
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    extra = {"Content-Type": "application/x-www-form-urlencoded"}
    headers = signed_headers(server.url, server.root, "", body, extra=extra, service="kms")
    assert server.raw(http_post(headers, body)).status == 403
    assert json.loads(server.raw(http_post(headers_of(server, service="sts"), BODY)).body)["__type"]
