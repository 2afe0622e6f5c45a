# SPDX-License-Identifier: Apache-2.0
"""Requests to verify, signed by botocore, which shares no code with ours."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from keyquorum.authn import sigv4, sigv4a
from keyquorum.authn.canonical import SIGV4A
from keyquorum.errors import KMSError
from keyquorum.model import HttpRequest

ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
BODY = b'{"KeyId":"alias/a","Plaintext":"aGVsbG8="}'
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key"
    " and signing method. Consult the service documentation for details."
)
Headers = list[tuple[bytes, bytes]]


def request_of(headers: Headers, body: bytes = BODY, target: bytes = b"/", method: bytes = b"POST") -> HttpRequest:
    return HttpRequest(method, target, headers, body, "127.0.0.1")


def signed_by_botocore(
    url: str = "http://localhost:8085/",
    *,
    body: bytes = BODY,
    token: str | None = None,
    extra: dict[str, str] | None = None,
    region: str = "us-east-1",
    service: str = "kms",
    method: str = "POST",
) -> HttpRequest:
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.Encrypt"} | (extra or {})
    request = AWSRequest(method, url, data=body, headers=headers)
    SigV4Auth(Credentials(ACCESS_KEY_ID, SECRET, token), service, region).add_auth(request)
    return received(request)


def received(request: AWSRequest) -> HttpRequest:
    """A signed request as it arrives, with the headers that botocore adds after signing."""
    prepared = request.prepare()
    sent = [
        (name.lower().encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in prepared.headers.items()
    ]
    origin, path = re.fullmatch(r"https?://([^/]+)(.*)", prepared.url).groups()  # type: ignore[union-attr]  # our own URLs
    if b"host" not in dict(sent):
        sent.append((b"host", re.sub(r":(80|443)$", "", origin).encode()))
    sent += [(b"user-agent", b"Boto3/1.44.5"), (b"accept-encoding", b"identity"), (b"amz-sdk-request", b"attempt=1")]
    return request_of(sent, prepared.body or b"", path.encode() or b"/", prepared.method.encode())


def stamp(request: HttpRequest) -> bytes:
    return dict(request.headers)[b"x-amz-date"]


def at(request: HttpRequest) -> float:
    return datetime.strptime(stamp(request).decode(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def check(request: HttpRequest, *, now: float, service: bytes = b"kms", secret: str = SECRET) -> sigv4.SignedRequest:
    """Parsed and verified, by whichever of the two algorithms the request names."""
    signed = sigv4.parse(request, service, now)
    if signed.algorithm == SIGV4A:
        sigv4a.verify(request, signed, sigv4a.derive_public_key(ACCESS_KEY_ID, secret))
    else:
        sigv4.verify(request, signed, sigv4.derive_key(secret, signed.date, signed.region, signed.service))
    return signed


def replaced(request: HttpRequest, name: bytes, change: Callable[[bytes], bytes] | bytes) -> HttpRequest:
    new = change if callable(change) else lambda _: change
    headers = [(key, new(value) if key == name else value) for key, value in request.headers]
    return request_of(headers, request.body, request.target, request.method)


def authorized(request: HttpRequest, change: Callable[[bytes], bytes] | bytes) -> HttpRequest:
    return replaced(request, b"authorization", change)


def refusal(request: HttpRequest, *, now: float | None = None, service: bytes = b"kms") -> tuple[type[KMSError], str]:
    with pytest.raises(KMSError) as caught:
        check(request, now=at(request) if now is None else now, service=service)
    return type(caught.value), caught.value.message or ""
