# SPDX-License-Identifier: Apache-2.0
"""Requests signed by Signature Version 4A, by the rules as they are written down and none of the code under test."""

import hashlib
import hmac
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sigv4_requests import ACCESS_KEY_ID, BODY, SECRET, authorized, request_of

from keyquorum.model import HttpRequest

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ALGORITHM = "AWS4-ECDSA-P256-SHA256"


def private_key(access_key_id: str = ACCESS_KEY_ID, secret: str = SECRET) -> ec.EllipticCurvePrivateKey:
    """SP 800-108, counter mode, one block: counter, label, zero, context, length in bits; FIPS 186-4, B.4.2."""
    for counter in range(1, 255):
        block = b"\0\0\0\1" + ALGORITHM.encode() + b"\0" + access_key_id.encode() + bytes([counter]) + b"\0\0\1\0"
        number = int.from_bytes(hmac.digest(b"AWS4A" + secret.encode(), block, "sha256"), "big")
        if number <= ORDER - 2:
            return ec.derive_private_key(number + 1, ec.SECP256R1())
    raise AssertionError


def signed_asymmetrically(
    *,
    regions: str = "us-east-1",
    body: bytes = BODY,
    token: str | None = None,
    extra: dict[str, str] | None = None,
    service: str = "kms",
    key: ec.EllipticCurvePrivateKey | None = None,
    unsigned: frozenset[str] = frozenset(),
    access_key_id: str = ACCESS_KEY_ID,
) -> HttpRequest:
    """POST / as an SDK would send it; ``unsigned`` headers are sent and not signed."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": "localhost:8085",
        "x-amz-date": stamp,
        "x-amz-region-set": regions,
        "x-amz-target": "TrentService.Encrypt",
    } | {name.lower(): value for name, value in (extra or {}).items()}
    if token is not None:
        headers["x-amz-security-token"] = token
    names = sorted(headers.keys() - unsigned)
    scope = f"{stamp[:8]}/{service}/aws4_request"
    start = f"{ALGORITHM} Credential={access_key_id}/{scope}, SignedHeaders={';'.join(names)}, Signature="
    claimed = headers.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
    canonical = ["POST", "/", "", *(f"{name}:{headers[name]}" for name in names), "", ";".join(names), claimed]
    to_sign = [ALGORITHM, stamp, scope, hashlib.sha256("\n".join(canonical).encode()).hexdigest()]
    signature = (key or private_key()).sign("\n".join(to_sign).encode(), ec.ECDSA(hashes.SHA256()))
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    return request_of([*sent, (b"authorization", (start + signature.hex()).encode())], body)


def signature_of(request: HttpRequest) -> bytes:
    return dict(request.headers)[b"authorization"].rpartition(b"Signature=")[2]


def with_signature(request: HttpRequest, signature: bytes) -> HttpRequest:
    return authorized(request, lambda value: value[: -len(signature_of(request))] + signature)
