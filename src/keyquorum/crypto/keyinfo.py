# SPDX-License-Identifier: Apache-2.0
"""Keys of others in their DER containers: PrivateKeyInfo (PKCS #8, RFC 5208) and SubjectPublicKeyInfo (RFC 5280).

It refuses whatever does not name exactly the expected algorithm and curve. The library underneath is more generous:
it also takes PKCS #1, SEC 1 and curves spelt out in explicit parameters, which AWS KMS rejects and which have hidden
forged curves (CVE-2020-0601). Trailing bytes, lengths that are not minimal, points off the curve or at infinity and
public points of another private key the library refuses itself. BER that is not DER, which AWS KMS takes for
imported keys, is refused here.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

_VERSION_0 = bytes.fromhex("020100")
_LONG_LENGTH = 0x80


def load_private(der: bytes, algorithm: bytes) -> PrivateKeyTypes:
    """The private key, RSA primes and curve point validated. ``algorithm``: its AlgorithmIdentifier in DER.

    Raises ValueError for everything else. Validating RSA takes up to a quarter of a second and holds the GIL.
    """
    _expect(der, _VERSION_0 + algorithm)
    try:
        return load_der_private_key(der, password=None)
    except UnsupportedAlgorithm as error:
        raise ValueError("unsupported private key") from error


def load_public(der: bytes, algorithm: bytes) -> PublicKeyTypes:
    """The public key. ``algorithm``: its AlgorithmIdentifier in DER. Raises ValueError for everything else."""
    _expect(der, algorithm)
    try:
        return load_der_public_key(der)
    except UnsupportedAlgorithm as error:
        raise ValueError("unsupported public key") from error


def _expect(der: bytes, head: bytes) -> None:
    """Whether the outer SEQUENCE begins with ``head``. Its tag and length are left to the library to check."""
    if len(der) < len(head):
        raise ValueError("the key is too short")
    length = der[1]
    start = 2 if length < _LONG_LENGTH else 2 + length - _LONG_LENGTH
    if not der.startswith(head, start):
        raise ValueError("the key is not of the expected algorithm and curve")
