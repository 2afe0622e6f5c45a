# SPDX-License-Identifier: Apache-2.0
"""ML-DSA signatures (FIPS 204), pure mode with an empty context, through OpenSSL.

It refuses digests: ML-DSA has a representative of its own (EXTERNAL_MU), and HashML-DSA is another algorithm that
AWS KMS does not offer. It refuses contexts, which Sign cannot carry, and imports, which AWS KMS does not allow.

Key material is the 32-byte seed xi of FIPS 204, algorithm 6. Signatures are hedged: two over one message differ.
Source: FIPS 204; RFC 9881 (SubjectPublicKeyInfo); AWS KMS Developer Guide, "ML-DSA keys in AWS KMS".
"""

from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from keyquorum.crypto.opened import Opened
from keyquorum.errors import InvalidKeyUsageException, UnsupportedOperationException, ValidationException

ALGORITHM = "ML_DSA_SHAKE_256"
MU_BYTES = 64

_Private = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
_Public = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey

_HALVES: dict[str, tuple[type[_Private], type[_Public]]] = {
    "ML_DSA_44": (mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey),
    "ML_DSA_65": (mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey),
    "ML_DSA_87": (mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey),
}


class PublicKey(Opened):
    """The public half: verifies, and shows itself."""

    __slots__ = ("_public",)

    def __init__(self, spec: str, public: _Public) -> None:
        super().__init__(spec)
        self._public = public

    def _check(self, algorithm: str, message: bytes, message_type: str) -> None:
        if algorithm != ALGORITHM:
            raise InvalidKeyUsageException(f"Algorithm {algorithm} is incompatible with key spec {self._spec}.")
        if message_type not in ("RAW", "EXTERNAL_MU"):
            raise ValidationException(f"Message type {message_type} is incompatible with key spec {self._spec}.")
        if message_type == "EXTERNAL_MU" and len(message) != MU_BYTES:
            raise ValidationException(f"External Mu is invalid length for algorithm {algorithm}.")

    def verify(self, algorithm: str, message: bytes, message_type: str, signature: bytes) -> bool:
        """``message``: of any length (RAW), or the 64-byte mu of FIPS 204, algorithm 8, step 7 (EXTERNAL_MU)."""
        self._check(algorithm, message, message_type)
        verify = self._public.verify if message_type == "RAW" else self._public.verify_mu
        try:
            verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in DER, as of RFC 9881."""
        return self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class KeyPair(PublicKey):
    """An ML-DSA key pair: ``provider.Signer``."""

    __slots__ = ("_private",)

    def __init__(self, spec: str, private: _Private) -> None:
        super().__init__(spec, private.public_key())
        self._private = private

    def sign(self, algorithm: str, message: bytes, message_type: str) -> bytes:
        """The signature: 2420, 3309 or 4627 bytes. ``message`` as for ``verify``."""
        self._check(algorithm, message, message_type)
        return (self._private.sign if message_type == "RAW" else self._private.sign_mu)(message)


def generate(spec: str) -> bytes:
    """A new seed, 32 bytes."""
    return _HALVES[spec][0].generate().private_bytes_raw()


def open_material(spec: str, material: bytes) -> KeyPair:
    """``material``: what ``generate`` returned, else ValueError."""
    return KeyPair(spec, _HALVES[spec][0].from_seed_bytes(material))


def open_public_key(spec: str, der: bytes) -> PublicKey:
    """``der``: a SubjectPublicKeyInfo of that spec without trailing bytes, else ValueError."""
    public = load_der_public_key(der)
    if not isinstance(public, _HALVES[spec][1]):
        raise ValueError(f"not a public key of {spec}")
    return PublicKey(spec, public)


def parse_import(spec: str, plaintext: bytes) -> NoReturn:  # noqa: ARG001 - every provider has this signature
    """AWS KMS does not import ML-DSA keys. Raises UnsupportedOperationException."""
    raise UnsupportedOperationException(f"Importing key material is not supported for key spec {spec}.")
