# SPDX-License-Identifier: Apache-2.0
"""Signed requests in canonical form: the bytes that a signature is over, of SigV4 and of SigV4A.

It refuses headers that could be read in two ways, payloads that are not covered by the signature (UNSIGNED-PAYLOAD,
STREAMING-...), and parts that would blur where one ends and the next begins. It trusts ``HttpRequest`` for one thing:
header names are in lower case.

Source: IAM User Guide, "Create a signed AWS API request".
"""

import hashlib
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from keyquorum.errors import InvalidSignatureException
from keyquorum.model import HttpRequest

SIGV4: Final = b"AWS4-HMAC-SHA256"
SIGV4A: Final = b"AWS4-ECDSA-P256-SHA256"
TERMINATOR: Final = b"aws4_request"

# Read by this package or by the HTTP server: two of them would leave it open which one was meant.
_AT_MOST_ONCE: Final = frozenset((b"host", b"authorization", b"content-type"))
_ECHO: Final = 64


class SignedRequest(msgspec.Struct, frozen=True, gc=False):
    """What the Authorization header claims. Proves nothing until the ``verify`` of its algorithm has returned."""

    algorithm: bytes  # SIGV4 or SIGV4A
    access_key_id: str
    date: str  # YYYYMMDD, UTC
    region: str  # empty for SIGV4A, whose scope has none
    service: str
    scope: bytes  # date/region/service/aws4_request, or date/service/aws4_request
    timestamp: bytes  # YYYYMMDDTHHMMSSZ
    signed_headers: tuple[bytes, ...]
    signature: bytes  # as sent; hexadecimal if it is to verify
    session_token: bytes | None
    headers: dict[bytes, bytes]  # by name; several values of one name joined by commas
    region_set: tuple[str, ...] = ()  # patterns for Regions, of SIGV4A only: see sigv4a.covers

    def __repr__(self) -> str:
        """Without signature, session token and headers, which must not reach a log."""
        return f"<SignedRequest {self.access_key_id}/{self.scope.decode()} at {self.timestamp.decode()}>"


def mismatch(detail: str = "") -> InvalidSignatureException:
    """What every signature that does not verify is answered with, whatever is wrong with it."""
    return InvalidSignatureException(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access"
        " Key and signing method. Consult the service documentation for details.",
        detail=detail,
    )


def echo(text: bytes) -> str:
    """The start of what was sent, for a fault to quote."""
    return text[:_ECHO].decode("ascii", "backslashreplace")


def message(request: HttpRequest, signed: SignedRequest) -> bytes:
    """The string to sign of exactly this request.

    The payload hash is always computed; a header that claims another one, or none, is refused.
    """
    payload_hash = hashlib.sha256(request.body).hexdigest().encode()
    claimed = signed.headers.get(b"x-amz-content-sha256")
    if claimed is not None and claimed.strip(b" \t") != payload_hash:
        raise InvalidSignatureException("The provided 'x-amz-content-sha256' header does not match what was computed.")
    return string_to_sign(signed, canonical_request(request, signed, payload_hash))


def canonical_request(request: HttpRequest, signed: SignedRequest, payload_hash: bytes) -> bytes:
    """The bytes that stand for the request; ``payload_hash`` is in lower-case hexadecimal."""
    names = signed.signed_headers
    headers = signed.headers
    if request.target == b"/":
        path, query = b"/", b""
    else:
        path, _, query = request.target.partition(b"?")
        path, query = _canonical_path(path), _canonical_query(query)
    try:
        lines = b"\n".join([name + b":" + headers[name] for name in names])
    except KeyError:
        raise mismatch("a signed header is absent") from None
    if b" " in lines or b"\t" in lines:  # else no value has anything to trim or to collapse
        lines = b"\n".join([name + b":" + _canonical_value(headers[name]) for name in names])
    canonical = b"\n".join((request.method, path, query, lines, b"", b";".join(names), payload_hash))
    # A line feed inside of a part would let two different requests share one canonical form. HTTP parsers refuse
    # them in every part; this does not depend on it.
    if canonical.count(b"\n") != len(names) + 5:
        raise mismatch("a line feed inside of a signed part")
    return canonical


def string_to_sign(signed: SignedRequest, canonical: bytes) -> bytes:
    return b"\n".join(
        (signed.algorithm, signed.timestamp, signed.scope, hashlib.sha256(canonical).hexdigest().encode()),
    )


def joined(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name. Raises InvalidSignatureException where several of one name would be read in two ways."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    for name, several in values.items():
        if len(several) > 1 and (name in _AT_MOST_ONCE or name.startswith(b"x-amz-")):
            raise InvalidSignatureException(f"The request has more than one '{echo(name.title())}' header.")
    return {
        name: several[0] if len(several) == 1 else b",".join(map(_canonical_value, several))
        for name, several in values.items()
    }


def _canonical_value(value: bytes) -> bytes:
    value = value.strip(b" \t")
    if b"  " in value:
        return b" ".join(filter(None, value.split(b" ")))
    return value


def _canonical_path(path: bytes) -> bytes:
    """Dot segments and repeated slashes removed, then encoded: a second time, for the path on the wire is encoded.

    This is the rule for every service but S3, which signs the path as it is and has no place here.
    """
    segments: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    slash = "/" if segments and path.endswith((b"/", b"/.", b"/..")) else ""
    return f"/{quote_from_bytes(b'/'.join(segments))}{slash}".encode()


def _canonical_query(query: bytes) -> bytes:
    pairs = (part.partition(b"=") for part in query.split(b"&") if part)
    encoded = sorted(tuple(quote_from_bytes(unquote_to_bytes(x), safe="") for x in (n, v)) for n, _, v in pairs)
    return "&".join("=".join(pair) for pair in encoded).encode()
