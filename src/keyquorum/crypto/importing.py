# SPDX-License-Identifier: Apache-2.0
"""The cryptography of imports: wrapping keys, unwrapping, and which wrapping goes with which key spec.

It knows nothing of import tokens, key states or the format of what was wrapped, and it refuses to tell why unwrapping
failed: every failure is the same InvalidCiphertextException without text. It refuses RSAES_PKCS1_V1_5, which AWS KMS
gave up in 2023 (its padding errors are an oracle: Bleichenbacher 1998), and SM2, which exists in China Regions only.

Source: AWS KMS API Reference, GetParametersForImport; AWS KMS Developer Guide, "Importing key material step 2";
RFC 8017, section 7.1 (OAEP); RFC 5649 (AES key wrap with padding).
"""

from typing import Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from keyquorum.crypto import keywrap
from keyquorum.errors import InvalidCiphertextException, UnsupportedOperationException

_BITS = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}
_OAEP: Final = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
_RSA_AES: Final = ("RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256")
_HASHES: dict[str, type[hashes.SHA1 | hashes.SHA256]] = {
    "RSAES_OAEP_SHA_1": hashes.SHA1,
    "RSAES_OAEP_SHA_256": hashes.SHA256,
    "RSA_AES_KEY_WRAP_SHA_1": hashes.SHA1,
    "RSA_AES_KEY_WRAP_SHA_256": hashes.SHA256,
}
#: The key that wraps the material is an AES-256 key: "RSA_AES_KEY_WRAP_SHA_*" in the developer guide.
_AES_KEY_BYTES = 32


def _every(algorithms: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(_BITS, algorithms)


#: Key spec -> wrapping key spec -> the wrapping algorithms allowed. A spec that is absent cannot be imported: AWS
#: names ML-DSA so, and no format for ML-KEM and Ed25519.
WRAPPING: dict[str, dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512"), _every(_OAEP)),
    **dict.fromkeys(("RSA_2048", "RSA_3072", "RSA_4096"), _every(_RSA_AES)),
    **dict.fromkeys(("ECC_NIST_P256", "ECC_NIST_P384", "ECC_SECG_P256K1"), _every(_RSA_AES + _OAEP)),
    # A PKCS #8 P-521 key has 241 bytes; OAEP under RSA_2048 holds 214 with SHA-1 and 190 with SHA-256.
    "ECC_NIST_P521": _every(_RSA_AES + _OAEP) | {"RSA_2048": _RSA_AES},
}


def check_wrapping(key_spec: str, wrapping_key_spec: str, algorithm: str) -> None:
    """Raises UnsupportedOperationException for what ``WRAPPING`` does not allow."""
    if key_spec not in WRAPPING:
        raise UnsupportedOperationException(f"Importing key material is not supported for key spec {key_spec}.")
    if algorithm not in WRAPPING[key_spec].get(wrapping_key_spec, ()):
        raise UnsupportedOperationException(
            f"Wrapping algorithm {algorithm} with wrapping key spec {wrapping_key_spec} "
            f"is not supported for key spec {key_spec}."
        )


def new_wrapping_key(spec: str) -> tuple[bytes, bytes]:
    """(PKCS #8 in DER of the private half, SubjectPublicKeyInfo in DER). Takes up to some seconds for RSA_4096."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=_BITS[spec])
    return (
        private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def unwrap(algorithm: str, private_der: bytes, encrypted: bytes) -> bytes:
    """What the caller wrapped. ``private_der`` is ours, from ``new_wrapping_key``. Raises InvalidCiphertextException
    without text for whatever does not unwrap, an algorithm that ``WRAPPING`` does not know included."""
    if algorithm not in _HASHES:
        raise InvalidCiphertextException
    # Authenticated by its seal, and validated when it was made: validating RSA-4096 again would hold the GIL for 1/4 s.
    private = serialization.load_der_private_key(private_der, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(private, rsa.RSAPrivateKey)
    digest = _HASHES[algorithm]()
    oaep = padding.OAEP(mgf=padding.MGF1(algorithm=digest), algorithm=digest, label=None)
    if algorithm in _OAEP:
        return _decrypt(private, encrypted, oaep)
    modulus_bytes = private.key_size // 8
    key = _decrypt(private, encrypted[:modulus_bytes], oaep)
    if len(key) != _AES_KEY_BYTES:
        raise InvalidCiphertextException
    return keywrap.unwrap(key, encrypted[modulus_bytes:])


def _decrypt(private: rsa.RSAPrivateKey, encrypted: bytes, oaep: padding.OAEP) -> bytes:
    try:
        return private.decrypt(encrypted, oaep)
    except ValueError:
        raise InvalidCiphertextException from None
