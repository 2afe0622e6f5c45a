# SPDX-License-Identifier: Apache-2.0
"""What a provider of key material can do, one protocol a usage, and nothing about who may do it.

Key material is ``bytes`` in one encoding per spec, the provider's own business: what ``generate`` and ``parse_import``
return, ``open`` takes. An opened material is kept and used by several threads at once.

Algorithms and message types bear the names of the KMS model. Errors are those that the caller is to see
(``keyquorum.errors``), without key material or plaintext in them.
"""

from typing import Protocol


class Encrypter(Protocol):
    """KeyUsage ENCRYPT_DECRYPT of an asymmetric key."""

    def encrypt(self, algorithm: str, plaintext: bytes) -> bytes:
        """Raises ValidationException for a plaintext that is too long."""

    def decrypt(self, algorithm: str, ciphertext: bytes) -> bytes:
        """Raises InvalidCiphertextException for every ciphertext that does not decrypt, whatever is wrong with it."""


class Signer(Protocol):
    """KeyUsage SIGN_VERIFY. ``message_type``: RAW, DIGEST or EXTERNAL_MU, whichever the algorithm has."""

    def sign(self, algorithm: str, message: bytes, message_type: str) -> bytes:
        """Raises ValidationException for a digest of the wrong length, or a message type that the algorithm lacks."""

    def verify(self, algorithm: str, message: bytes, message_type: str, signature: bytes) -> bool:
        """Whether the signature is good; raises as ``sign`` does."""


class Mac(Protocol):
    """KeyUsage GENERATE_VERIFY_MAC."""

    def mac(self, algorithm: str, message: bytes) -> bytes: ...

    def verify_mac(self, algorithm: str, message: bytes, mac: bytes) -> bool:
        """Compared in constant time."""


class Agreement(Protocol):
    """KeyUsage KEY_AGREEMENT."""

    def agree(self, algorithm: str, public_key: bytes) -> bytes:
        """The raw shared secret with the peer's key, a SubjectPublicKeyInfo in DER. Raises ValidationException for a
        key that is malformed, on another curve, or no point of it."""


class Encapsulation(Protocol):
    """KeyUsage ENCAPSULATE_DECAPSULATE (FIPS 203)."""

    def encapsulate(self, algorithm: str) -> tuple[bytes, bytes]:
        """(ciphertext, 32-byte shared secret)."""

    def decapsulate(self, algorithm: str, ciphertext: bytes) -> bytes:
        """The shared secret; for a ciphertext of the right length that nobody made, a pseudorandom one (implicit
        rejection). Raises InvalidCiphertextException for another length."""


class PublicHalf(Protocol):
    """What every asymmetric material has."""

    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in DER."""
