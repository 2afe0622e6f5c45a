# SPDX-License-Identifier: Apache-2.0
"""AWS's own Signature Version 4 suite (awslabs/aws-c-auth, tests/aws-signing-test-suite/v4), header signing."""

import hmac
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from keyquorum.authn import sigv4
from keyquorum.errors import InvalidSignatureException
from keyquorum.model import HttpRequest

CASES = [
    "get-header-key-duplicate",
    "get-header-value-multiline",
    "get-header-value-order",
    "get-header-value-trim",
    "get-relative-normalized",
    "get-relative-relative-normalized",
    "get-slash-dot-slash-normalized",
    "get-slash-normalized",
    "get-slash-pointless-dot-normalized",
    "get-slashes-normalized",
    "get-space-normalized",
    "get-unreserved",
    "get-utf8",
    "get-vanilla",
    "get-vanilla-empty-query-key",
    "get-vanilla-query",
    "get-vanilla-query-order-encoded",
    "get-vanilla-query-order-key-case",
    "get-vanilla-query-unreserved",
    "get-vanilla-utf8-query",
    "get-vanilla-with-session-token",
    "post-header-key-case",
    "post-header-key-sort",
    "post-header-value-case",
    "post-sts-header-after",
    "post-sts-header-before",
    "post-vanilla",
    "post-vanilla-empty-query-value",
    "post-vanilla-query",
    "post-x-www-form-urlencoded",
    "post-x-www-form-urlencoded-parameters",
]
# "normalize": false is S3's rule, which signs the path as it stands. No service of ours uses it, so these must not
# verify; "get-space-unnormalized" is left out because there is nothing to normalise in its path.
S3_ONLY = [
    "get-relative-relative-unnormalized",
    "get-relative-unnormalized",
    "get-slash-dot-slash-unnormalized",
    "get-slash-pointless-dot-unnormalized",
    "get-slash-unnormalized",
    "get-slashes-unnormalized",
]
SAME_UNDER_BOTH = ["get-space-unnormalized"]
# The session token was added after signing ("omit_session_token"); we require every x-amz-* header to be signed.
TOKEN_ADDED_AFTERWARDS = "post-sts-header-after"

REQUIRED = {"credentials", "expiration_in_seconds", "normalize", "region", "service", "sign_body", "timestamp"}
SERVICE = b"service"


class Case:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.context: dict[str, Any] = json.loads(self.read("context.json"))
        assert REQUIRED <= self.context.keys() <= REQUIRED | {"omit_session_token"}
        self.credentials: dict[str, str] = self.context["credentials"]
        assert {"access_key_id", "secret_access_key"} <= self.credentials.keys()
        assert self.credentials.keys() <= {"access_key_id", "secret_access_key", "token"}
        self.now = datetime.fromisoformat(self.context["timestamp"]).timestamp()

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def key(self, signed: sigv4.SignedRequest) -> hmac.HMAC:
        return sigv4.derive_key(self.credentials["secret_access_key"], signed.date, signed.region, signed.service)


def read_request(text: bytes) -> HttpRequest:
    """The suite's plain-text form, as an HTTP server would hand it over: a folded line becomes a space (RFC 9112)."""
    head, _, body = text.partition(b"\n\n")
    first, *lines = head.replace(b"\n ", b"  ").rstrip(b"\n").split(b"\n")
    method, target = first.removesuffix(b" HTTP/1.1").split(b" ", 1)
    headers = [(name.lower(), value) for name, _, value in (line.partition(b":") for line in lines)]
    return HttpRequest(method, target, headers, body, "127.0.0.1")


def without(request: HttpRequest, *names: bytes) -> HttpRequest:
    kept = [(name, value) for name, value in request.headers if name not in names]
    return HttpRequest(request.method, request.target, kept, request.body, request.peer)


@pytest.fixture
def case(request: pytest.FixtureRequest, vectors_dir: Path) -> Case:
    return Case(vectors_dir / "sigv4" / request.param)


def test_no_case_is_overlooked(vectors_dir: Path) -> None:
    published = {path.name for path in (vectors_dir / "sigv4").iterdir() if path.is_dir()}
    assert published == {*CASES, *S3_ONLY, *SAME_UNDER_BOTH}


@pytest.mark.parametrize("case", [*CASES, *SAME_UNDER_BOTH], indirect=True)
def test_each_step_of_signing(case: Case) -> None:
    """From the unsigned request: canonical request, string to sign and signature are those of the suite."""
    unsigned = read_request(case.read("request.txt"))
    headers = [*unsigned.headers, (b"x-amz-date", b"20150830T123600Z")]
    if "token" in case.credentials and not case.context.get("omit_session_token"):
        headers.append((b"x-amz-security-token", case.credentials["token"].encode()))
    if case.context["sign_body"]:
        headers.append((b"x-amz-content-sha256", payload_hash(case)))
    names = b";".join(sorted({name for name, _ in headers}))
    authorization = (
        b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
        + names
        + b", Signature="
        + b"0" * 64
    )
    request = HttpRequest(
        unsigned.method, unsigned.target, [*headers, (b"authorization", authorization)], unsigned.body, "::1"
    )
    signed = sigv4.parse(request, SERVICE, case.now)
    canonical = sigv4.canonical_request(request, signed, payload_hash(case))
    assert canonical == case.read("header-canonical-request.txt")
    to_sign = sigv4.string_to_sign(signed, canonical)
    assert to_sign == case.read("header-string-to-sign.txt")
    keyed = case.key(signed)
    keyed.update(to_sign)
    assert keyed.hexdigest().encode() == case.read("header-signature.txt")


def payload_hash(case: Case) -> bytes:
    return case.read("header-canonical-request.txt").rpartition(b"\n")[2]


@pytest.mark.parametrize("case", [*CASES, *SAME_UNDER_BOTH], indirect=True)
def test_signed_request_verifies_and_no_other_does(case: Case) -> None:
    request = read_request(case.read("header-signed-request.txt"))
    if case.directory.name == TOKEN_ADDED_AFTERWARDS:
        with pytest.raises(InvalidSignatureException, match="'X-Amz-Security-Token' must be a 'SignedHeader'"):
            sigv4.parse(request, SERVICE, case.now)
        request = without(request, b"x-amz-security-token")
    signed = sigv4.parse(request, SERVICE, case.now)
    assert (signed.access_key_id, signed.region) == (case.credentials["access_key_id"], case.context["region"])
    token = signed.session_token.decode() if signed.session_token else None
    assert token == (None if case.context.get("omit_session_token") else case.credentials.get("token"))
    sigv4.verify(request, signed, case.key(signed))

    with pytest.raises(InvalidSignatureException):
        sigv4.verify(request, signed, sigv4.derive_key("another", signed.date, signed.region, signed.service))
    headers = [(name, value + b"0" if name == b"host" else value) for name, value in request.headers]
    for changed in (
        HttpRequest(request.method, request.target, request.headers, request.body + b"\0", request.peer),
        HttpRequest(request.method, request.target + b"0", request.headers, request.body, request.peer),
        HttpRequest(b"PUT", request.target, request.headers, request.body, request.peer),
        HttpRequest(request.method, request.target, headers, request.body, request.peer),
    ):
        claims = sigv4.parse(changed, SERVICE, case.now)
        with pytest.raises(InvalidSignatureException):
            sigv4.verify(changed, claims, case.key(claims))


@pytest.mark.parametrize("case", S3_ONLY, indirect=True)
def test_path_signed_by_the_rule_of_s3_does_not_verify(case: Case) -> None:
    assert case.context["normalize"] is False
    request = read_request(case.read("header-signed-request.txt"))
    signed = sigv4.parse(request, SERVICE, case.now)
    with pytest.raises(InvalidSignatureException):
        sigv4.verify(request, signed, case.key(signed))
