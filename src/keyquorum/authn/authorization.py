# SPDX-License-Identifier: Apache-2.0
"""What an Authorization header claims, under AWS Signature Version 4 and 4A; whether it is true is asked of them.

Pure: values and one ``now``; no store, no clock, no log. Nothing about a verification is remembered here; the caches
hold parsed text, are bounded, and an attacker who fills them makes them slow and nothing else.

It refuses signatures in the query string, requests outside the time window, scopes of another day or service, and any
x-amz-* header that was not signed.

Source: IAM User Guide, "Create a signed AWS API request"; wording and order of the faults as AWS answers them. The
wording for what only SigV4A has is formed after that of SigV4.
"""

import base64
import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from keyquorum.authn.canonical import SIGV4, SIGV4A, TERMINATOR, SignedRequest, echo, joined
from keyquorum.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    KMSError,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from keyquorum.model import HttpRequest

SKEW: Final = 300  # seconds either way, both ends included

_CREDENTIALS: Final = {SIGV4: "keyid/date/region/service/term", SIGV4A: "keyid/date/service/term"}
# Far above what any SDK sends. It bounds what the caches below can hold.
_MAX_AUTHORIZATION: Final = 4096
_MAX_REGIONS: Final = 64  # patterns of Regions that one signature is for: more than there are Regions

_REGION: Final = re.compile(rb"([a-z]+-){2,3}\d+")  # RegionType of the KMS model
# accessKeyIdType of the IAM model but for its minimum: the lookup decides.
_ACCESS_KEY_ID: Final = re.compile(rb"\w{1,128}")
_BASIC_FORMAT: Final = re.compile(rb"\d{8}T\d{6}Z")
_HTTP_DATE: Final = re.compile(rb"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} (GMT|[+-]0000)")
_SCHEME: Final = re.compile(rb"AWS4-[A-Z0-9-]{1,32}")
_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_QUERY_AUTHENTICATION: Final = frozenset((b"x-amz-signature", b"x-amz-algorithm"))


class _Credential(msgspec.Struct, frozen=True, gc=False):
    access_key_id: str  # empty where what was sent cannot be one
    date: str
    region: str  # empty where the scope has none
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
        headers = joined(request.headers)
    authorization = headers.get(b"authorization")
    if authorization is None or b"?" in request.target:
        _refuse_query_authentication(request.target, authorization)
    if authorization is None:
        raise MissingAuthenticationTokenException("Missing Authentication Token")
    if len(authorization) > _MAX_AUTHORIZATION:
        raise IncompleteSignatureException("Authorization header is too long.")

    head, signature = _split(authorization)
    algorithm, credential, names, signed = _parameters(head)
    date = headers.get(b"x-amz-date") or _basic_format(headers.get(b"date", b""))
    region_set = () if algorithm == SIGV4 else _region_set(headers.get(b"x-amz-region-set", b""))
    lacks_regions = algorithm == SIGV4A and not region_set
    if not (credential and signature and names and date) or lacks_regions:
        raise _missing(authorization, credential, signature, names, date, lacks_regions)
    if b"host" not in signed:
        raise InvalidSignatureException("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    for name in headers:
        if name[:6] == b"x-amz-" and name not in signed:
            raise InvalidSignatureException(
                f"'{echo(name.title())}' must be a 'SignedHeader' in the AWS Authorization."
            )

    signed_at = _instant(date)
    if not -SKEW <= now - signed_at <= SKEW:
        raise _skewed(signed_at, now)

    claim = _credential(algorithm, credential, service)
    if claim.faults or claim.scope[:9] != date[:8] + b"/":
        raise InvalidSignatureException(claim.faults + _date_fault(claim, date))
    if not claim.access_key_id:
        raise UnrecognizedClientException("The security token included in the request is invalid.")
    return SignedRequest(
        algorithm,
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
        region_set,
    )


def _split(authorization: bytes) -> tuple[bytes, bytes]:
    """Everything but the signature, and the signature. The first repeats from request to request: worth a cache."""
    head, found, signature = authorization.rpartition(b"Signature=")
    if found and signature.isalnum():
        return head, signature
    algorithm, _, rest = authorization.strip(b" \t").partition(b" ")
    parts = [part.strip(b" \t") for part in rest.split(b",")]
    signatures = [part for part in parts if part.startswith(b"Signature=")]
    if len(signatures) != 1:
        return algorithm + b" " + rest, b""
    parts.remove(signatures[0])
    return algorithm + b" " + b",".join(parts), signatures[0].removeprefix(b"Signature=")


@lru_cache(maxsize=512)
def _parameters(head: bytes) -> tuple[bytes, bytes, tuple[bytes, ...], frozenset[bytes]]:
    """Algorithm, Credential and SignedHeaders; empty where absent, and the last as tuple and as set."""
    algorithm, _, rest = head.partition(b" ")
    if algorithm not in _CREDENTIALS:
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
            raise IncompleteSignatureException(f"Authorization header has more than one '{echo(name)}' parameter.")
        found[name] = value
    names = tuple(filter(None, found.get(b"SignedHeaders", b"").split(b";")))
    signed = frozenset(names)
    if len(signed) != len(names):
        raise IncompleteSignatureException("Authorization header repeats a name in its 'SignedHeaders' parameter.")
    return algorithm, found.get(b"Credential", b""), names, signed


@lru_cache(maxsize=512)
def _credential(algorithm: bytes, credential: bytes, service: bytes) -> _Credential:
    parts = credential.split(b"/")
    form = _CREDENTIALS[algorithm]
    if len(parts) != (count := form.count("/") + 1):
        raise IncompleteSignatureException(
            f"Credential must have exactly {count} slash-delimited elements, e.g. {form}, got '{echo(credential)}'"
        )
    access_key_id, date, *regions, scoped_service, terminator = parts
    faults = ""
    if any(len(region) > 32 or not _REGION.fullmatch(region) for region in regions):
        faults += "Credential should be scoped to a valid region. "
    if scoped_service != service:
        faults += f"Credential should be scoped to correct service: '{service.decode()}'. "
    if terminator != TERMINATOR:
        faults += f"Credential should be scoped with a valid terminator: 'aws4_request', not '{echo(terminator)}'. "
    return _Credential(
        access_key_id.decode() if _ACCESS_KEY_ID.fullmatch(access_key_id) else "",
        echo(date),
        echo(b"".join(regions)),
        service.decode(),
        b"/".join(parts[1:]),
        faults,
    )


def _region_set(value: bytes) -> tuple[str, ...]:
    found = tuple(filter(None, value.strip(b" \t").decode("latin-1").split(",")))
    if len(found) > _MAX_REGIONS:
        raise IncompleteSignatureException(f"X-Amz-Region-Set header names more than {_MAX_REGIONS} Regions.")
    return found


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
        f"Date must be in ISO-8601 'basic format'. Got '{echo(date)}'. See http://en.wikipedia.org/wiki/ISO_8601"
    )


def _basic_format(date: bytes) -> bytes:
    """A Date header as in the string to sign. It may bear HTTP's format (RFC 9110; botocore's zone is RFC 5322's)."""
    if _HTTP_DATE.fullmatch(date) and date[8:11] in _MONTHS:
        month = _MONTHS.index(date[8:11]) + 1
        return b"%b%02d%bT%bZ" % (date[12:16], month, date[5:7], date[17:25].replace(b":", b""))
    return date


def _text(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y%m%dT%H%M%SZ")


# -- faults. None repeats a signature, or more than a short piece of what was sent.


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
    authorization: bytes,
    credential: bytes,
    signature: bytes,
    names: tuple[bytes, ...],
    date: bytes,
    lacks_regions: bool,
) -> KMSError:
    required = (("Credential", credential), ("Signature", signature), ("SignedHeaders", names))
    texts = [f"Authorization header requires '{name}' parameter." for name, value in required if not value]
    if not date:
        texts.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if lacks_regions:
        texts.append("Authorization header requires existence of a 'X-Amz-Region-Set' header.")
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
