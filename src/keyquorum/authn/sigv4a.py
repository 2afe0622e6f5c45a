# SPDX-License-Identifier: Apache-2.0
"""Verification of AWS Signature Version 4A: ECDSA over P-256, one signature for a set of Regions.

Pure. The key pair follows from the access key ID and the secret access key, so that a server which has to verify
needs the public key alone, and cannot sign in its caller's name. The key is the same on each day, for each service
and Region: day, service and Regions are bound by what is signed, not by the key.

Signatures are DER in lower-case hexadecimal. Both of the two signatures (r, s) and (r, n - s) verify, since AWS's
signers send either, as its test suite shows. That gives away nothing: no request is known by its signature, and within
its window one can be sent again under SigV4 as well. Other encodings of the same numbers (BER, padding, more bytes
after them) are refused.

Sources: IAM User Guide, "AWS Signature Version 4 for API requests", how SigV4a works; for the derivation of the key,
NIST SP 800-108r1, 4.1, as awslabs/aws-c-auth, source/key_derivation.c, uses it.
"""

import re
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode

from keyquorum.authn.canonical import SIGV4A, SignedRequest, message, mismatch
from keyquorum.authz.matching import Wild, glob
from keyquorum.model import HttpRequest

_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256: SEC 2, 2.4.2
_LAST_COUNTER: Final = 254
_ECDSA: Final = ec.ECDSA(hashes.SHA256())
_SIGNATURE: Final = re.compile(rb"(?:[0-9a-f]{2}){8,72}")  # the shortest and the longest pair of numbers in DER


def derive_public_key(access_key_id: str, secret: str | bytes) -> ec.EllipticCurvePublicKey:
    """The public key that verifies what this access key signs."""
    key = b"AWS4A" + (secret.encode() if isinstance(secret, str) else secret)
    contexts = (access_key_id.encode() + bytes([counter]) for counter in range(1, _LAST_COUNTER + 1))
    number = _private_number(_kdf(context).derive(key) for context in contexts)
    return ec.derive_private_key(number, ec.SECP256R1()).public_key()


def verify(request: HttpRequest, signed: SignedRequest, public_key: ec.EllipticCurvePublicKey) -> None:
    """Return if the owner of ``public_key`` signed exactly this request, else raise InvalidSignatureException.

    ``signed`` must come from ``parse(request, ...)``. Whether the Regions signed for cover the one that the request
    is for is asked of ``covers``.
    """
    if signed.algorithm != SIGV4A:
        raise mismatch("a signature of another algorithm")
    signature = signed.signature
    to_sign = message(request, signed)
    if not _SIGNATURE.fullmatch(signature):
        raise mismatch("no DER in hexadecimal")
    try:
        public_key.verify(bytes.fromhex(signature.decode()), to_sign, _ECDSA)
    except InvalidSignature:
        raise mismatch() from None


def covers(region_set: Iterable[str], region: str) -> bool:
    """Whether one of the patterns stands for ``region``.

    ``*`` stands for any run of characters and ``?`` for itself; case does not count, a blank does. AWS's SDKs send
    names and ``*``; the rest is what the project backlot reports of Amazon S3 (``region_set_matches``, 2026-09-29).
    No pattern makes this slow, and ``parse`` takes no more than 64.
    """
    return any(
        glob([Wild.MANY if part == "*" else part for part in re.split(r"(\*)", pattern.lower())])(region)
        for pattern in region_set
    )


def _private_number(candidates: Iterable[bytes]) -> int:
    """Of the first candidate below n - 1: FIPS 186-4, B.4.2. Almost always that is the first one."""
    return next(number for number in map(int.from_bytes, candidates) if number <= _ORDER - 2) + 1


def _kdf(context: bytes) -> KBKDFHMAC:
    return KBKDFHMAC(
        algorithm=hashes.SHA256(),
        mode=Mode.CounterMode,
        length=32,
        rlen=4,
        llen=4,
        location=CounterLocation.BeforeFixed,
        label=SIGV4A,
        context=context,
        fixed=None,
    )
