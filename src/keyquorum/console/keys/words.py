# SPDX-License-Identifier: Apache-2.0
"""What the choices in making a key mean, for whoever makes one."""

from typing import Final, NamedTuple


class Usage(NamedTuple):
    name: str
    about: str
    choose: str


USAGES: Final = {
    "ENCRYPT_DECRYPT": Usage(
        "Encrypt and decrypt",
        "Encrypts small values itself, and makes data keys that encrypt large ones. What most applications want.",
        "SYMMETRIC_DEFAULT unless somebody without access to this server has to encrypt, with a public key.",
    ),
    "SIGN_VERIFY": Usage(
        "Sign and verify",
        "The private key signs here and never leaves; anybody can verify with the public key.",
        "An elliptic curve unless whoever verifies asks for RSA. ML-DSA withstands quantum computers.",
    ),
    "GENERATE_VERIFY_MAC": Usage(
        "Generate and verify MACs",
        "Proves that a message was not changed, among parties that all may use this key. Faster than a signature.",
        "HMAC_256 unless a protocol asks for another hash.",
    ),
    "KEY_AGREEMENT": Usage(
        "Agree on a key",
        "Derives a secret that is shared with the owner of another elliptic curve key (ECDH).",
        "The curve that the other party has.",
    ),
    "ENCAPSULATE_DECAPSULATE": Usage(
        "Encapsulate and decapsulate",
        "Carries a shared secret to the owner of the key, safe from quantum computers (ML-KEM).",
        "ML_KEM_768 is what most protocols use.",
    ),
}

SPEC_WORDS: Final = {
    "SYMMETRIC_DEFAULT": "a 256-bit key that encrypts and authenticates; can be rotated by itself",
    "RSA_2048": "about 112 bits of security, for what cannot have more",
    "RSA_3072": "about 128 bits of security",
    "RSA_4096": "somewhat more, and several times slower",
    "ECC_NIST_P256": "128 bits of security; understood everywhere",
    "ECC_NIST_P384": "192 bits of security",
    "ECC_NIST_P521": "256 bits of security",
    "ECC_SECG_P256K1": "the curve of Bitcoin and Ethereum",
    "ECC_NIST_EDWARDS25519": "Ed25519: fast, and the same signature each time; Solana's and SSH's",
    "HMAC_224": "SHA-224",
    "HMAC_256": "SHA-256",
    "HMAC_384": "SHA-384",
    "HMAC_512": "SHA-512",
    "ML_DSA_44": "the smallest signatures of the three, 2.4 KB",
    "ML_DSA_65": "3.3 KB a signature",
    "ML_DSA_87": "4.6 KB a signature, and the largest margin",
    "ML_KEM_512": "the smallest and fastest",
    "ML_KEM_768": "what TLS uses",
    "ML_KEM_1024": "the largest margin",
}
