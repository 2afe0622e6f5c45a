# SPDX-License-Identifier: Apache-2.0
"""The software provider: key spec -> the module that generates, opens and imports its key material."""

from types import ModuleType
from typing import Any, Final

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import ObjectIdentifier

from keyquorum.crypto import ec, ed25519, mac, mldsa, mlkem, rsa, symmetric

_PKCS8: Final = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

_FAMILIES: Final[dict[str, ModuleType]] = {
    "SYMMETRIC_DEFAULT": symmetric,
    **dict.fromkeys(("RSA_2048", "RSA_3072", "RSA_4096"), rsa),
    **dict.fromkeys(("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1"), ec),
    "ECC_NIST_EDWARDS25519": ed25519,
    **dict.fromkeys(("HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"), mac),
    **dict.fromkeys(("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"), mldsa),
    **dict.fromkeys(("ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"), mlkem),
}


def generate(spec: str) -> bytes:
    """New key material of the spec. RSA takes up to seconds, without holding the interpreter's lock."""
    material: bytes = _FAMILIES[spec].generate(spec)
    return material


def open_material(spec: str, material: bytes) -> Any:
    """The material ready for use: an object with the methods of its usages (``provider``)."""
    return _FAMILIES[spec].open_material(spec, material)


def parse_import(spec: str, plaintext: bytes) -> bytes:
    """Imported key material in this provider's encoding. Raises IncorrectKeyMaterialException for what is malformed or
    of another spec. Validating RSA holds the interpreter's lock for a quarter of a second."""
    material: bytes = _FAMILIES[spec].parse_import(spec, plaintext)
    return material


def generate_pair(spec: str) -> tuple[bytes, bytes]:
    """A data key pair: (private key as PKCS #8 in DER, public key as SubjectPublicKeyInfo in DER)."""
    material = generate(spec)
    public: bytes = open_material(spec, material).public_key()
    return _pkcs8(spec, material), public


@asn1.sequence
class _AlgorithmIdentifier:
    algorithm: ObjectIdentifier


@asn1.sequence
class _PrivateKeyInfo:
    version: int
    algorithm: _AlgorithmIdentifier
    private_key: bytes


def _pkcs8(spec: str, material: bytes) -> bytes:
    if spec == "ML_KEM_512":
        # RFC 9935, section 6: the expanded form, for this library makes no key from a seed.
        algorithm = _AlgorithmIdentifier(algorithm=ObjectIdentifier("2.16.840.1.101.3.4.4.1"))
        expanded = asn1.encode_der(material)
        return asn1.encode_der(_PrivateKeyInfo(version=0, algorithm=algorithm, private_key=expanded))
    if spec == "ML_KEM_768":
        return MLKEM768PrivateKey.from_seed_bytes(material).private_bytes(*_PKCS8)
    if spec == "ML_KEM_1024":
        return MLKEM1024PrivateKey.from_seed_bytes(material).private_bytes(*_PKCS8)
    return material
