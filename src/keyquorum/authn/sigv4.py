# SPDX-License-Identifier: Apache-2.0
"""Verification of AWS Signature Version 4 in the Authorization header.

Pure: values and one ``now``; no store, no clock, no log. The caller looks up the secret between ``parse`` and
``verify``, and may keep a derived key only after ``verify`` has returned. Nothing about a verification is remembered
here; the caches hold parsed text, are bounded, and an attacker who fills them makes them slow and nothing else.

It refuses signatures in the query string, payloads that are not covered by the signature (UNSIGNED-PAYLOAD,
STREAMING-...), headers that could be read in two ways, and any x-amz-* header that was not signed. It trusts
``HttpRequest`` for one thing: header names are in lower case.

Source: IAM User Guide, "Create a signed AWS API request"; wording and order of the faults as AWS answers them.
"""

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from keyquorum.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    KMSError,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from keyquorum.model import HttpRequest

SKEW = 300  # seconds either way, both ends included

_ALGORITHM = b"AWS4-HMAC-SHA256"
_TERMINATOR = b"aws4_request"
_SIGNATURE_LENGTH = 64
# Far above what any SDK sends. It bounds what the caches below can hold.
_MAX_AUTHORIZATION = 4096
_ECHO = 64

_REGION = re.compile(rb"([a-z]+-){2,3}\d+")  # RegionType of the KMS model
_ACCESS_KEY_ID = re.compile(rb"\w{1,128}")  # accessKeyIdType of the IAM model but for its minimum: the lookup decides
_BASIC_FORMAT = re.compile(rb"\d{8}T\d{6}Z")
_HTTP_DATE = re.compile(rb"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} (GMT|[+-]0000)")
_SCHEME = re.compile(rb"AWS4-[A-Z0-9-]{1,32}")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")

# Read by this module or by the HTTP server: two of them would leave it open which one was meant.
_AT_MOST_ONCE = frozenset((b"host", b"authorization", b"content-type"))
_QUERY_AUTHENTICATION = frozenset((b"x-amz-signature", b"x-amz-algorithm"))

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key"
    " and signing method. Consult the service documentation for details."
)


class SignedRequest(msgspec.Struct, frozen=True, gc=False):
    """What the Authorization header claims. Proves nothing until ``verify`` has returned."""

    access_key_id: str
    date: str  # YYYYMMDD, UTC
    region: str
    service: str
    scope: bytes  # date/region/service/aws4_request
    timestamp: bytes  # YYYYMMDDTHHMMSSZ
    signed_headers: tuple[bytes, ...]
    signature: bytes  # as sent; hexadecimal if it is to verify
    session_token: bytes | None
    headers: dict[bytes, bytes]  # by name; several values of one name joined by commas

    def __repr__(self) -> str:
        """Without signature, session token and headers, which must not reach a log."""
        return f"<SignedRequest {self.access_key_id}/{self.scope.decode()} at {self.timestamp.decode()}>"


class _Credential(msgspec.Struct, frozen=True, gc=False):
    access_key_id: str  # empty where what was sent cannot be one
    date: str
    region: str
    service: str
    scope: bytes
    faults: str  # of Region, service and terminator; empty if there are none


def parse(request: HttpRequest, service: bytes, now: float) -> SignedRequest:
    """Take the claims out of ``request``, refuse what no secret could make right. ``now``: Unix seconds.

    ``service`` is the route's (``b"kms"``, ``b"sts"``). Raises MissingAuthenticationTokenException,
    IncompleteSignatureException, InvalidSignatureException (clock or scope) or UnrecognizedClientException.
    As in AWS, an expired request is told so before its access key or its signature is looked at.
    """
    headers = request.by_name
    if len(headers) != len(request.headers):
        headers = _join(request.headers)
    authorization = headers.get(b"authorization")
    if authorization is None or b"?" in request.target:
        _refuse_query_authentication(request.target, authorization)
    if authorization is None:
        raise MissingAuthenticationTokenException("Missing Authentication Token")
    if len(authorization) > _MAX_AUTHORIZATION:
        raise IncompleteSignatureException("Authorization header is too long.")

    head, signature = _split(authorization)
    credential, names, signed = _parameters(head)
    date = headers.get(b"x-amz-date") or _basic_format(headers.get(b"date", b""))
    if not (credential and signature and names and date):
        raise _missing(authorization, credential, signature, names, date)
    if b"host" not in signed:
        raise InvalidSignatureException("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    for name in headers:
        if name[:6] == b"x-amz-" and name not in signed:
            raise InvalidSignatureException(
                f"'{_echo(name.title())}' must be a 'SignedHeader' in the AWS Authorization."
            )

    signed_at = _instant(date)
    if not -SKEW <= now - signed_at <= SKEW:
        raise _skewed(signed_at, now)

    claim = _credential(credential, service)
    if claim.faults or claim.scope[:9] != date[:8] + b"/":
        raise InvalidSignatureException(claim.faults + _date_fault(claim, date))
    if not claim.access_key_id:
        raise UnrecognizedClientException("The security token included in the request is invalid.")
    return SignedRequest(
        claim.access_key_id,
        claim.date,
        claim.region,
        claim.service,
        claim.scope,
        date,
        names,
        signature,
        headers.get(b"x-amz-security-token"),
        headers,
    )


def verify(request: HttpRequest, signed: SignedRequest, signing_key: hmac.HMAC) -> None:
    """Return if ``signing_key`` signed exactly this request, else raise InvalidSignatureException.

    ``signed`` must come from ``parse(request, ...)``: method, target and body are read from ``request``, headers
    from ``signed``. The payload hash is always computed; a header that claims another one, or none, is refused.
    """
    payload_hash = hashlib.sha256(request.body).hexdigest().encode()
    claimed = signed.headers.get(b"x-amz-content-sha256")
    if claimed is not None and claimed.strip(b" \t") != payload_hash:
        raise InvalidSignatureException("The provided 'x-amz-content-sha256' header does not match what was computed.")
    message = string_to_sign(signed, canonical_request(request, signed, payload_hash))
    keyed = signing_key.copy()
    keyed.update(message)
    if not hmac.compare_digest(keyed.hexdigest().encode(), signed.signature):
        raise InvalidSignatureException(_MISMATCH)


def derive_key(secret: str | bytes, date: str, region: str, service: str) -> hmac.HMAC:
    """The signing key of one secret access key for one day, Region and service.

    It comes as an HMAC of nothing yet, to be copied for each message: that costs half of keying one anew.
    """
    key = b"AWS4" + (secret.encode() if isinstance(secret, str) else secret)
    for part in (date, region, service):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(hmac.digest(key, _TERMINATOR, "sha256"), digestmod="sha256")


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
        raise InvalidSignatureException(_MISMATCH, detail="a signed header is absent") from None
    if b" " in lines or b"\t" in lines:  # else no value has anything to trim or to collapse
        lines = b"\n".join([name + b":" + _canonical_value(headers[name]) for name in names])
    canonical = b"\n".join((request.method, path, query, lines, b"", b";".join(names), payload_hash))
    # A line feed inside of a part would let two different requests share one canonical form. HTTP parsers refuse
    # them in every part; this does not depend on it.
    if canonical.count(b"\n") != len(names) + 5:
        raise InvalidSignatureException(_MISMATCH, detail="a line feed inside of a signed part")
    return canonical


def string_to_sign(signed: SignedRequest, canonical: bytes) -> bytes:
    return b"\n".join(
        (_ALGORITHM, signed.timestamp, signed.scope, hashlib.sha256(canonical).hexdigest().encode()),
    )


# -- the Authorization header


def _split(authorization: bytes) -> tuple[bytes, bytes]:
    """Everything but the signature, and the signature. The first repeats from request to request: worth a cache."""
    head, found, signature = authorization.rpartition(b"Signature=")
    if found and len(signature) == _SIGNATURE_LENGTH:
        return head, signature
    algorithm, _, rest = authorization.strip(b" \t").partition(b" ")
    parts = [part.strip(b" \t") for part in rest.split(b",")]
    signatures = [part for part in parts if part.startswith(b"Signature=")]
    if len(signatures) != 1:
        return algorithm + b" " + rest, b""
    parts.remove(signatures[0])
    return algorithm + b" " + b",".join(parts), signatures[0].removeprefix(b"Signature=")


@lru_cache(maxsize=512)
def _parameters(head: bytes) -> tuple[bytes, tuple[bytes, ...], frozenset[bytes]]:
    """Credential and SignedHeaders, empty where absent; the latter as tuple and as set."""
    algorithm, _, rest = head.partition(b" ")
    if algorithm != _ALGORITHM:
        raise _unsupported(algorithm)
    found: dict[bytes, bytes] = {}
    for part in filter(None, (part.strip(b" \t") for part in rest.split(b","))):
        name, equals, value = part.partition(b"=")
        if not equals:
            raise IncompleteSignatureException(
                "Invalid key=value pair (missing equal-sign) in Authorization header"
                f" (hashed with SHA-256 and encoded with Base64): '{_hashed(part)}'."
            )
        if name in found or name == b"Signature":
            raise IncompleteSignatureException(f"Authorization header has more than one '{_echo(name)}' parameter.")
        found[name] = value
    names = tuple(filter(None, found.get(b"SignedHeaders", b"").split(b";")))
    signed = frozenset(names)
    if len(signed) != len(names):
        raise IncompleteSignatureException("Authorization header repeats a name in its 'SignedHeaders' parameter.")
    return found.get(b"Credential", b""), names, signed


@lru_cache(maxsize=512)
def _credential(credential: bytes, service: bytes) -> _Credential:
    parts = credential.split(b"/")
    if len(parts) != 5:
        raise IncompleteSignatureException(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term,"
            f" got '{_echo(credential)}'"
        )
    access_key_id, date, region, scoped_service, terminator = parts
    faults = ""
    if len(region) > 32 or not _REGION.fullmatch(region):
        faults += "Credential should be scoped to a valid region. "
    if scoped_service != service:
        faults += f"Credential should be scoped to correct service: '{service.decode()}'. "
    if terminator != _TERMINATOR:
        faults += f"Credential should be scoped with a valid terminator: 'aws4_request', not '{_echo(terminator)}'. "
    return _Credential(
        access_key_id.decode() if _ACCESS_KEY_ID.fullmatch(access_key_id) else "",
        _echo(date),
        _echo(region),
        service.decode(),
        b"/".join(parts[1:]),
        faults,
    )


# -- time


@lru_cache(maxsize=1024)
def _instant(date: bytes) -> int:
    """Unix seconds of YYYYMMDDTHHMMSSZ."""
    try:
        if _BASIC_FORMAT.fullmatch(date):
            return int(datetime.fromisoformat(date.decode()).timestamp())
    except ValueError:
        pass  # a thirteenth month and the like
    raise IncompleteSignatureException(
        f"Date must be in ISO-8601 'basic format'. Got '{_echo(date)}'. See http://en.wikipedia.org/wiki/ISO_8601"
    )


def _basic_format(date: bytes) -> bytes:
    """A Date header as in the string to sign. It may bear HTTP's format (RFC 9110; botocore's zone is RFC 5322's)."""
    if _HTTP_DATE.fullmatch(date) and date[8:11] in _MONTHS:
        month = _MONTHS.index(date[8:11]) + 1
        return b"%b%02d%bT%bZ" % (date[12:16], month, date[5:7], date[17:25].replace(b":", b""))
    return date


def _text(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y%m%dT%H%M%SZ")


# -- canonical form


def _canonical_value(value: bytes) -> bytes:
    value = value.strip(b" \t")
    if b"  " in value:
        return b" ".join(filter(None, value.split(b" ")))
    return value


def _join(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    for name, several in values.items():
        if len(several) > 1 and (name in _AT_MOST_ONCE or name.startswith(b"x-amz-")):
            raise InvalidSignatureException(f"The request has more than one '{_echo(name.title())}' header.")
    return {
        name: several[0] if len(several) == 1 else b",".join(map(_canonical_value, several))
        for name, several in values.items()
    }


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


# -- faults. None repeats a signature, or more than a short piece of what was sent.


def _echo(text: bytes) -> str:
    return text[:_ECHO].decode("ascii", "backslashreplace")


def _hashed(text: bytes) -> str:
    return base64.b64encode(hashlib.sha256(text).digest()).decode()


def _refuse_query_authentication(target: bytes, authorization: bytes | None) -> None:
    names = (part.partition(b"=")[0] for part in target.partition(b"?")[2].split(b"&"))
    if not any(unquote_to_bytes(name).lower() in _QUERY_AUTHENTICATION for name in names):
        return
    if authorization is not None:
        raise InvalidSignatureException(
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
        )
    raise IncompleteSignatureException("Query-string authentication is not supported. Use the Authorization header.")


def _unsupported(algorithm: bytes) -> KMSError:
    if b"=" in algorithm:
        return IncompleteSignatureException(
            "Authorization header must begin with the algorithm name, which cannot include an equal-sign"
        )
    # Of another scheme this may be the secret itself.
    named = f": '{algorithm.decode()}'" if _SCHEME.fullmatch(algorithm) else ""
    return IncompleteSignatureException(f"Unsupported AWS 'algorithm'{named}.")


def _missing(
    authorization: bytes, credential: bytes, signature: bytes, names: tuple[bytes, ...], date: bytes
) -> KMSError:
    required = (("Credential", credential), ("Signature", signature), ("SignedHeaders", names))
    texts = [f"Authorization header requires '{name}' parameter." for name, value in required if not value]
    if not date:
        texts.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    texts.append(f"(Hashed with SHA-256 and encoded with Base64) Authorization={_hashed(authorization)}")
    return IncompleteSignatureException(" ".join(texts))


def _skewed(signed_at: int, now: float) -> KMSError:
    signed = _text(signed_at)
    if signed_at < now:
        return InvalidSignatureException(
            f"Signature expired: {signed} is now earlier than {_text(now - SKEW)} ({_text(now)} - 5 min.)"
        )
    return InvalidSignatureException(
        f"Signature not yet current: {signed} is still later than {_text(now + SKEW)} ({_text(now)} + 5 min.)"
    )


def _date_fault(claim: _Credential, date: bytes) -> str:
    day = date[:8]
    if claim.scope[:9] == day + b"/":
        return ""
    return (
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP:"
        f" '{claim.date}' != '{day.decode()}', from '{date.decode()}'."
    )
