# SPDX-License-Identifier: Apache-2.0
"""The key specs, one row each: what a key of that spec may be used for, and with which algorithms.

A spec that is not in ``SPECS`` cannot be created. Source: AWS KMS Developer Guide, "Key spec reference"; the service
model for Ed25519, ML-DSA and ML-KEM.
"""

from typing import Final, Literal

import msgspec

ENCRYPT_DECRYPT: Final = "ENCRYPT_DECRYPT"
SIGN_VERIFY: Final = "SIGN_VERIFY"
GENERATE_VERIFY_MAC: Final = "GENERATE_VERIFY_MAC"
KEY_AGREEMENT: Final = "KEY_AGREEMENT"
ENCAPSULATE_DECAPSULATE: Final = "ENCAPSULATE_DECAPSULATE"

SYMMETRIC_DEFAULT: Final = "SYMMETRIC_DEFAULT"


class Spec(msgspec.Struct, frozen=True):
    """``usages``: KeyUsage -> its algorithms. ``slow``: private operations take so long that the event loop must not
    wait for them. ``imported``: key material for it can be imported."""

    kind: Literal["symmetric", "asymmetric", "hmac"]
    usages: dict[str, tuple[str, ...]]
    slow: bool = False
    imported: bool = True


_RSA: Final = Spec(
    "asymmetric",
    {
        ENCRYPT_DECRYPT: ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"),
        SIGN_VERIFY: (
            "RSASSA_PKCS1_V1_5_SHA_256",
            "RSASSA_PKCS1_V1_5_SHA_384",
            "RSASSA_PKCS1_V1_5_SHA_512",
            "RSASSA_PSS_SHA_256",
            "RSASSA_PSS_SHA_384",
            "RSASSA_PSS_SHA_512",
        ),
    },
    slow=True,
)


def _nist(signing: str, *, slow: bool = False) -> Spec:
    return Spec("asymmetric", {SIGN_VERIFY: (signing,), KEY_AGREEMENT: ("ECDH",)}, slow)


def _hmac(algorithm: str) -> Spec:
    return Spec("hmac", {GENERATE_VERIFY_MAC: (algorithm,)})


_ML_DSA: Final = Spec("asymmetric", {SIGN_VERIFY: ("ML_DSA_SHAKE_256",)}, slow=True, imported=False)
_ML_KEM: Final = Spec("asymmetric", {ENCAPSULATE_DECAPSULATE: ("ML_KEM",)}, imported=False)

SPECS: Final = {
    SYMMETRIC_DEFAULT: Spec("symmetric", {ENCRYPT_DECRYPT: (SYMMETRIC_DEFAULT,)}),
    "RSA_2048": _RSA,
    "RSA_3072": _RSA,
    "RSA_4096": _RSA,
    "ECC_NIST_P256": _nist("ECDSA_SHA_256"),
    "ECC_NIST_P384": _nist("ECDSA_SHA_384", slow=True),
    "ECC_NIST_P521": _nist("ECDSA_SHA_512", slow=True),
    "ECC_SECG_P256K1": Spec("asymmetric", {SIGN_VERIFY: ("ECDSA_SHA_256",)}),
    "ECC_NIST_EDWARDS25519": Spec(
        "asymmetric", {SIGN_VERIFY: ("ED25519_SHA_512", "ED25519_PH_SHA_512")}, imported=False
    ),
    "HMAC_224": _hmac("HMAC_SHA_224"),
    "HMAC_256": _hmac("HMAC_SHA_256"),
    "HMAC_384": _hmac("HMAC_SHA_384"),
    "HMAC_512": _hmac("HMAC_SHA_512"),
    "ML_DSA_44": _ML_DSA,
    "ML_DSA_65": _ML_DSA,
    "ML_DSA_87": _ML_DSA,
    "ML_KEM_512": _ML_KEM,
    "ML_KEM_768": _ML_KEM,
    "ML_KEM_1024": _ML_KEM,
}

#: DataKeySpec -> bytes (GenerateDataKey).
DATA_KEY_BYTES: Final = {"AES_128": 16, "AES_256": 32}

_ON_EVERY_KEY: Final = frozenset({"DescribeKey", "CreateGrant", "RetireGrant"})

_GRANTED: Final = {
    ENCRYPT_DECRYPT: {"Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GetPublicKey"},
    SIGN_VERIFY: {"Sign", "Verify", "GetPublicKey"},
    GENERATE_VERIFY_MAC: {"GenerateMac", "VerifyMac"},
    KEY_AGREEMENT: {"DeriveSharedSecret", "GetPublicKey"},
    ENCAPSULATE_DECAPSULATE: {"Encapsulate", "Decapsulate", "GetPublicKey"},
}
_GRANTED_SYMMETRIC: Final = {
    "Encrypt",
    "Decrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
}


def is_symmetric(spec: str) -> bool:
    """Whether it is a symmetric encryption key: the only kind that rotates and takes an encryption context."""
    return SPECS[spec].kind == "symmetric"


def is_asymmetric(spec: str) -> bool:
    return SPECS[spec].kind == "asymmetric"


def granted_operations(spec: str, usage: str) -> frozenset[str]:
    """What a grant on such a key may allow (Developer Guide, "Grant operations")."""
    return _ON_EVERY_KEY | (_GRANTED_SYMMETRIC if is_symmetric(spec) else _GRANTED[usage])
