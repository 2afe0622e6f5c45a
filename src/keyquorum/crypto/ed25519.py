# SPDX-License-Identifier: Apache-2.0
"""Key spec ECC_NIST_EDWARDS25519. Key material is the PrivateKeyInfo (PKCS #8, RFC 8410) in DER.

Two algorithms with one message type each: ED25519_SHA_512 (Ed25519) takes RAW, ED25519_PH_SHA_512 (Ed25519ph, with an
empty context) takes DIGEST. The 64-byte DIGEST is the *message* of Ed25519ph and so hashed again: twice in all, once
by the caller. It refuses every other combination.

Source: RFC 8032, FIPS 186-5 section 7.8; AWS KMS API reference, Sign, "MessageType".
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from nacl.bindings import (
    crypto_sign_BYTES,
    crypto_sign_ed25519ph_final_create,
    crypto_sign_ed25519ph_final_verify,
    crypto_sign_ed25519ph_state,
    crypto_sign_ed25519ph_update,
)
from nacl.exceptions import BadSignatureError

from keyquorum.crypto import keyinfo
from keyquorum.crypto.messages import check_length
from keyquorum.crypto.opened import Opened
from keyquorum.errors import IncorrectKeyMaterialException, ValidationException

#: RFC 8410, section 3.
_ALGORITHM = bytes.fromhex("300506032b6570")

PURE, PREHASHED = "ED25519_SHA_512", "ED25519_PH_SHA_512"

_MESSAGE_TYPES = {PURE: "RAW", PREHASHED: "DIGEST"}


def _check(spec: str, algorithm: str, message: bytes, message_type: str) -> None:
    if message_type not in _MESSAGE_TYPES.values():
        raise ValidationException(f"Message type {message_type} is incompatible with key spec {spec}.")
    if message_type != _MESSAGE_TYPES[algorithm]:
        raise ValidationException(f"Message type {message_type} is incompatible with algorithm {algorithm}.")
    if algorithm == PREHASHED:
        check_length(algorithm, message)


def _prehash(message: bytes) -> crypto_sign_ed25519ph_state:
    state = crypto_sign_ed25519ph_state()
    crypto_sign_ed25519ph_update(state, message)
    return state


class PublicKey(Opened):
    """The public half: verifies, and shows itself."""

    __slots__ = ("_public", "_raw_public")

    def __init__(self, spec: str, public: Ed25519PublicKey) -> None:
        super().__init__(spec)
        self._public = public
        self._raw_public = public.public_bytes_raw()

    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in DER, 44 bytes."""
        return self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def verify(self, algorithm: str, message: bytes, message_type: str, signature: bytes) -> bool:
        """Whether the signature is good; ValidationException as ``sign``."""
        _check(self._spec, algorithm, message, message_type)
        if len(signature) != crypto_sign_BYTES:
            return False
        try:
            if algorithm == PREHASHED:
                crypto_sign_ed25519ph_final_verify(_prehash(message), signature, self._raw_public)
            else:
                self._public.verify(signature, message)
        except (InvalidSignature, BadSignatureError):
            return False
        return True


class KeyPair(PublicKey):
    """An Ed25519 key pair: ``provider.Signer``."""

    __slots__ = ("_private", "_seed_and_public")

    def __init__(self, spec: str, private: Ed25519PrivateKey) -> None:
        super().__init__(spec, private.public_key())
        self._private = private
        # libsodium's secret key. The public half in it must be the seed's own: one that a caller could choose would
        # give the private key away with two signatures.
        self._seed_and_public = private.private_bytes_raw() + self._raw_public

    def sign(self, algorithm: str, message: bytes, message_type: str) -> bytes:
        """64 bytes. ValidationException: a message type that the algorithm lacks, a digest that is not 64 bytes."""
        _check(self._spec, algorithm, message, message_type)
        if algorithm == PREHASHED:
            return crypto_sign_ed25519ph_final_create(_prehash(message), self._seed_and_public)
        return self._private.sign(message)


def generate(spec: str) -> bytes:  # noqa: ARG001 - every provider has this signature; here there is one spec
    """A new key pair."""
    return _encode(Ed25519PrivateKey.generate())


def open_material(spec: str, material: bytes) -> KeyPair:
    """Key material of ``generate`` or ``parse_import``."""
    private = load_der_private_key(material, password=None)
    assert isinstance(private, Ed25519PrivateKey)
    return KeyPair(spec, private)


def parse_import(spec: str, plaintext: bytes) -> bytes:
    """Imported key material: PKCS #8 in DER. Raises IncorrectKeyMaterialException for everything else."""
    try:
        private = keyinfo.load_private(plaintext, _ALGORITHM)
    except ValueError:
        raise IncorrectKeyMaterialException(detail=f"no valid {spec} private key in PKCS #8") from None
    assert isinstance(private, Ed25519PrivateKey)
    return _encode(private)


def _encode(private: Ed25519PrivateKey) -> bytes:
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
