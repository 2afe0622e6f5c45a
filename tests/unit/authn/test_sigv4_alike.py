# SPDX-License-Identifier: Apache-2.0
"""What is refused of a request signed by SigV4 is refused in the same words of one signed by SigV4A."""

import hashlib
import re
from collections.abc import Callable

import pytest
from sigv4_requests import (
    ACCESS_KEY_ID,
    BODY,
    at,
    authorized,
    check,
    refusal,
    replaced,
    request_of,
    signed_by_botocore,
    stamp,
)
from sigv4a_requests import signed_asymmetrically

from keyquorum.errors import InvalidSignatureException
from keyquorum.model import HttpRequest

Change = Callable[[HttpRequest], HttpRequest]
SIGNERS: list[Callable[..., HttpRequest]] = [signed_by_botocore, signed_asymmetrically]


def header(name: bytes, value: bytes) -> Change:
    return lambda request: request_of([*request.headers, (name, value)], request.body)


def again(name: bytes) -> Change:
    return lambda request: request_of([*request.headers, (name, dict(request.headers)[name])], request.body)


def absent(name: bytes) -> Change:
    return lambda request: request_of([pair for pair in request.headers if pair[0] != name], request.body)


def changed(name: bytes, value: bytes) -> Change:
    return lambda request: replaced(request, name, value)


def sent_to(target: bytes, method: bytes = b"POST") -> Change:
    return lambda request: request_of(request.headers, request.body, target, method)


def with_body(body: bytes) -> Change:
    return lambda request: request_of(request.headers, body)


def claim(old: bytes, new: bytes) -> Change:
    return lambda request: authorized(request, lambda value: value.replace(old, new))


def cut(parameter: bytes) -> Change:
    return lambda request: authorized(request, lambda value: re.sub(b",? ?" + parameter + b"=[^,]*", b"", value))


def of_yesterday(request: HttpRequest) -> HttpRequest:
    return authorized(request, lambda value: value.replace(stamp(request)[:8], b"20150830"))


CHANGES: dict[str, Change] = {
    "another body": with_body(BODY + b" "),
    "no body": with_body(b""),
    "another host": changed(b"host", b"localhost:8086"),
    "another target header": changed(b"x-amz-target", b"TrentService.Decrypt"),
    "no target header": absent(b"x-amz-target"),
    "no content type": absent(b"content-type"),
    "another method": sent_to(b"/", b"GET"),
    "another path": sent_to(b"/a"),
    "a query": sent_to(b"/?a=b"),
    "a signature in the query as well": sent_to(b"/?X-Amz-Signature=0"),
    "a line feed": changed(b"x-amz-target", b"a\nb"),
    "host twice": again(b"host"),
    "authorization twice": again(b"authorization"),
    "content type twice": again(b"content-type"),
    "date twice": again(b"x-amz-date"),
    "target twice": again(b"x-amz-target"),
    "an unsigned header": header(b"x-amz-anything", b"1"),
    "an unsigned token": header(b"x-amz-security-token", b"token"),
    "an unsigned payload hash": header(b"x-amz-content-sha256", hashlib.sha256(BODY).hexdigest().encode()),
    "host not signed": claim(b"host;", b""),
    "content type not signed": claim(b"content-type;", b""),
    "names in another order": claim(b"host;x-amz-date", b"x-amz-date;host"),
    "a name twice": claim(b"host;", b"host;host;"),
    "a name in capitals": claim(b"host;", b"Host;"),
    "a name of nothing": claim(b"host;", b"host;absent;"),
    "another service": claim(b"/kms/", b"/s3/"),
    "another terminator": claim(b"aws4_request", b"AWS4_REQUEST"),
    "no access key ID": claim(ACCESS_KEY_ID.encode(), b""),
    "no access key ID of that form": claim(ACCESS_KEY_ID.encode(), b"AKIA-1"),
    "another day": of_yesterday,
    "another date": changed(b"x-amz-date", b"2026-01-01"),
    "no date": absent(b"x-amz-date"),
    "no credential": cut(b"Credential"),
    "no signed headers": cut(b"SignedHeaders"),
    "no signature": cut(b"Signature"),
    "two credentials": claim(b"Credential=", b"Credential=a, Credential="),
    "two signatures": claim(b"Signature=", b"Signature=a, Signature="),
    "no equal sign": claim(b"Signature=", b"a, Signature="),
    "too long": claim(b"Signature=", b"a=" + b"b" * 5000 + b", Signature="),
    "no authorization": absent(b"authorization"),
}


def same(fault: tuple[type, str]) -> tuple[type, str]:
    """Less the time of signing, and the digest of a header that differs."""
    text = re.sub(r"\d{8}(T\d{6}Z)?", "TIME", fault[1])
    return fault[0], re.sub(r"(?s)(encoded with Base64\)).*", r"\1", text)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_same_fault(change: Change) -> None:
    """The message of each is pinned in the tests of SigV4."""
    hmac, ecdsa = (same(refusal(change(sign()), now=at(sign()))) for sign in SIGNERS)
    assert hmac == ecdsa


@pytest.mark.parametrize("late", [300.001, 86400.0, -301.0])
def test_same_fault_for_the_clock(late: float) -> None:
    faults = []
    for sign in SIGNERS:
        request = sign()
        check(request, now=at(request) + 300)
        check(request, now=at(request) - 300)
        faults.append(same(refusal(request, now=at(request) + late)))
    assert faults[0] == faults[1]
    assert faults[0][1].startswith("Signature ")


@pytest.mark.parametrize(
    "payload",
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
        hashlib.sha256(b"another body").hexdigest(),
        hashlib.sha256(BODY).hexdigest().upper(),
        "",
    ],
)
def test_same_fault_for_the_payload(payload: str) -> None:
    text = "The provided 'x-amz-content-sha256' header does not match what was computed."
    for sign in SIGNERS:
        assert refusal(sign(extra={"X-Amz-Content-SHA256": payload})) == (InvalidSignatureException, text)
    right = signed_asymmetrically(extra={"X-Amz-Content-SHA256": hashlib.sha256(BODY).hexdigest()})
    check(right, now=at(right))
