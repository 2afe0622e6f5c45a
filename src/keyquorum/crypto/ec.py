# SPDX-License-Identifier: Apache-2.0
"""Elliptic curve key specs with ECDSA and ECDH: ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, ECC_SECG_P256K1.

Key material is the PrivateKeyInfo (PKCS #8, RFC 5915 inside) in DER. Signatures are DER. It refuses key agreement
over secp256k1, and peers' keys that do not name the curve, lie off it or are the point at infinity. Each spec has one
signing algorithm; any other is a KeyError, for the caller checks that first.

Source: FIPS 186-5, SEC 1, NIST SP 800-56A; AWS KMS Developer Guide, "Key spec reference", "Requirements for imported
key material".
"""

from typing import NamedTuple

import coincurve
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from keyquorum.crypto import keyinfo
from keyquorum.crypto.messages import digest
from keyquorum.crypto.opened import Opened
from keyquorum.errors import IncorrectKeyMaterialException, ValidationException


class _Curve(NamedTuple):
    """``algorithm``: the AlgorithmIdentifier in DER, id-ecPublicKey with the named curve (RFC 5480)."""

    curve: ec.EllipticCurve
    algorithm: bytes
    signing: dict[str, ec.ECDSA]


_CURVES = {
    "ECC_NIST_P256": _Curve(
        ec.SECP256R1(),
        bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"),
        {"ECDSA_SHA_256": ec.ECDSA(Prehashed(hashes.SHA256()))},
    ),
    "ECC_NIST_P384": _Curve(
        ec.SECP384R1(),
        bytes.fromhex("301006072a8648ce3d020106052b81040022"),
        {"ECDSA_SHA_384": ec.ECDSA(Prehashed(hashes.SHA384()))},
    ),
    "ECC_NIST_P521": _Curve(
        ec.SECP521R1(),
        bytes.fromhex("301006072a8648ce3d020106052b81040023"),
        {"ECDSA_SHA_512": ec.ECDSA(Prehashed(hashes.SHA512()))},
    ),
    "ECC_SECG_P256K1": _Curve(
        ec.SECP256K1(),
        bytes.fromhex("301006072a8648ce3d020106052b8104000a"),
        {"ECDSA_SHA_256": ec.ECDSA(Prehashed(hashes.SHA256()))},
    ),
}

#: The order of secp256k1 (SEC 2, section 2.4.1).
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class PublicKey(Opened):
    """The public half: verifies, and shows itself."""

    __slots__ = ("_curve", "_public")

    def __init__(self, spec: str, public: ec.EllipticCurvePublicKey) -> None:
        super().__init__(spec)
        self._curve = _CURVES[spec]
        self._public = public

    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in DER, the point uncompressed."""
        return self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def verify(self, algorithm: str, message: bytes, message_type: str, signature: bytes) -> bool:
        """Whether the signature is good, with s in either half of its range; ValidationException as ``sign``."""
        ecdsa = self._curve.signing[algorithm]
        hashed = digest(self._spec, algorithm, message, message_type)
        return self._verify(ecdsa, hashed, signature)

    def _verify(self, ecdsa: ec.ECDSA, hashed: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, hashed, ecdsa)
        except InvalidSignature:
            return False
        return True


class KeyPair(PublicKey):
    """A key pair on a NIST curve: ``provider.Signer`` and ``provider.Agreement``."""

    __slots__ = ("_private",)

    def __init__(self, spec: str, private: ec.EllipticCurvePrivateKey) -> None:
        super().__init__(spec, private.public_key())
        self._private = private

    def sign(self, algorithm: str, message: bytes, message_type: str) -> bytes:
        """ECDSA-Sig-Value in DER. ValidationException: wrong digest length, message type EXTERNAL_MU."""
        ecdsa = self._curve.signing[algorithm]
        return self._private.sign(digest(self._spec, algorithm, message, message_type), ecdsa)

    def agree(self, algorithm: str, public_key: bytes) -> bytes:  # noqa: ARG002 - ECDH is the only algorithm
        """The x coordinate of the shared point, 32, 48 or 66 bytes.

        ``public_key``: SubjectPublicKeyInfo in DER, the point compressed or not. Raises ValidationException as the
        module says. The curves' cofactor is 1: a point on the curve is a point of the right order.
        """
        try:
            peer = keyinfo.load_public(public_key, self._curve.algorithm)
        except ValueError:
            raise ValidationException from None  # AWS says no more either
        assert isinstance(peer, ec.EllipticCurvePublicKey)
        return self._private.exchange(ec.ECDH(), peer)


class Secp256k1PublicKey(PublicKey):
    """The public half on secp256k1, through libsecp256k1, which verifies eight times faster than OpenSSL."""

    __slots__ = ("_fast_public",)

    def __init__(self, spec: str, public: ec.EllipticCurvePublicKey) -> None:
        super().__init__(spec, public)
        self._fast_public = coincurve.PublicKey(public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def _verify(self, ecdsa: ec.ECDSA, hashed: bytes, signature: bytes) -> bool:  # noqa: ARG002 - implied here
        try:
            r, s = decode_dss_signature(signature)
        except ValueError:
            return False
        if not (0 < r < _ORDER and 0 < s < _ORDER):
            return False
        # (r, s) and (r, n - s) are both ECDSA signatures, and AWS KMS makes either. libsecp256k1 takes the lower only.
        return self._fast_public.verify(encode_dss_signature(r, min(s, _ORDER - s)), hashed, hasher=None)


class Secp256k1KeyPair(Secp256k1PublicKey):
    """A key pair on secp256k1: ``provider.Signer``. Nonces are RFC 6979's, s is in the lower half of its range."""

    __slots__ = ("_fast_private",)

    def __init__(self, spec: str, private: ec.EllipticCurvePrivateKey) -> None:
        super().__init__(spec, private.public_key())
        self._fast_private = coincurve.PrivateKey(private.private_numbers().private_value.to_bytes(32, "big"))

    def sign(self, algorithm: str, message: bytes, message_type: str) -> bytes:
        """ECDSA-Sig-Value in DER. ValidationException: wrong digest length, message type EXTERNAL_MU."""
        return self._fast_private.sign(digest(self._spec, algorithm, message, message_type), hasher=None)


def generate(spec: str) -> bytes:
    """A new key pair."""
    return _encode(ec.generate_private_key(_CURVES[spec].curve))


def open_material(spec: str, material: bytes) -> KeyPair | Secp256k1KeyPair:
    """Key material of ``generate`` or ``parse_import``."""
    private = load_der_private_key(material, password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return (Secp256k1KeyPair if spec == "ECC_SECG_P256K1" else KeyPair)(spec, private)


def parse_import(spec: str, plaintext: bytes) -> bytes:
    """Imported key material: PKCS #8 in DER on the spec's curve, by name; its public point may be absent or compressed.

    The same key gives the same material. Raises IncorrectKeyMaterialException for everything else, a public point of
    another private key included.
    """
    try:
        private = keyinfo.load_private(plaintext, _CURVES[spec].algorithm)
    except ValueError:
        raise IncorrectKeyMaterialException(detail=f"no valid {spec} private key in PKCS #8") from None
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return _encode(private)


def _encode(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
