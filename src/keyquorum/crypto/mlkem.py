# SPDX-License-Identifier: Apache-2.0
"""ML-KEM key encapsulation (FIPS 203): 768 and 1024 through OpenSSL, 512 through pqcrypto.

It refuses to tell whether a ciphertext was made for the key: by implicit rejection every ciphertext of the right
length yields a secret. It refuses imports, for which AWS KMS documents no format.

Key material of ML_KEM_768 and ML_KEM_1024 is the 64-byte seed d || z. pqcrypto takes no seed, so that of ML_KEM_512
is the 1632-byte expanded decapsulation key, dk_PKE || ek || H(ek) || z, of FIPS 203, algorithm 16; pqcrypto checks
its length and hash at each use, as section 7.3 demands.
Source: FIPS 203; RFC 9935 (SubjectPublicKeyInfo); AWS KMS API Reference, Encapsulate and Decapsulate.
"""

from collections.abc import Callable
from functools import partial
from typing import NoReturn

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ObjectIdentifier
from pqcrypto.kem import ml_kem_512

from keyquorum.crypto.opened import Opened
from keyquorum.errors import InvalidCiphertextException, InvalidKeyUsageException, UnsupportedOperationException

ALGORITHM = "ML_KEM"

_SEEDED: dict[str, type[mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey]] = {
    "ML_KEM_768": mlkem.MLKEM768PrivateKey,
    "ML_KEM_1024": mlkem.MLKEM1024PrivateKey,
}
_CIPHERTEXT_BYTES = {"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568}

_ID_ML_KEM_512 = ObjectIdentifier("2.16.840.1.101.3.4.4.1")
#: Where the encapsulation key lies in the expanded decapsulation key of ML-KEM-512.
_EK_512 = slice(768, 1568)


@asn1.sequence
class _AlgorithmIdentifier:
    algorithm: ObjectIdentifier


@asn1.sequence
class _SubjectPublicKeyInfo:
    algorithm: _AlgorithmIdentifier
    subject_public_key: asn1.BitString


class KeyPair(Opened):
    """An ML-KEM key pair: ``provider.Encapsulation``."""

    __slots__ = ("_decapsulate", "_encapsulate", "_spki")

    def __init__(
        self,
        spec: str,
        spki: bytes,
        encapsulate: Callable[[], tuple[bytes, bytes]],
        decapsulate: Callable[[bytes], bytes],
    ) -> None:
        super().__init__(spec)
        self._spki = spki
        self._encapsulate = encapsulate
        self._decapsulate = decapsulate

    def _check(self, algorithm: str) -> None:
        if algorithm != ALGORITHM:
            raise InvalidKeyUsageException(f"Algorithm {algorithm} is incompatible with key spec {self._spec}.")

    def encapsulate(self, algorithm: str) -> tuple[bytes, bytes]:
        """(ciphertext of 768, 1088 or 1568 bytes, 32-byte shared secret)."""
        self._check(algorithm)
        return self._encapsulate()

    def decapsulate(self, algorithm: str, ciphertext: bytes) -> bytes:
        """The 32-byte shared secret, a pseudorandom one for a ciphertext that nobody made for this key. Raises
        InvalidCiphertextException for a ciphertext of another length."""
        self._check(algorithm)
        if len(ciphertext) != _CIPHERTEXT_BYTES[self._spec]:
            raise InvalidCiphertextException
        return self._decapsulate(ciphertext)

    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in DER, as of RFC 9935."""
        return self._spki


def generate(spec: str) -> bytes:
    """New key material: 64 bytes, or 1632 for ML_KEM_512."""
    if spec in _SEEDED:
        return _SEEDED[spec].generate().private_bytes_raw()
    _, expanded = ml_kem_512.keygen()
    return bytes(expanded)


def open_material(spec: str, material: bytes) -> KeyPair:
    """``material``: what ``generate`` returned, else ValueError."""
    if spec in _SEEDED:
        private = _SEEDED[spec].from_seed_bytes(material)
        public = private.public_key()

        def encapsulate() -> tuple[bytes, bytes]:
            secret, ciphertext = public.encapsulate()
            return ciphertext, secret

        spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return KeyPair(spec, spki, encapsulate, private.decapsulate)
    if len(material) != ml_kem_512.SECRET_KEY_SIZE:
        raise ValueError(f"key material of {spec} has {ml_kem_512.SECRET_KEY_SIZE} bytes")
    ek = material[_EK_512]
    info = _SubjectPublicKeyInfo(
        algorithm=_AlgorithmIdentifier(algorithm=_ID_ML_KEM_512),
        subject_public_key=asn1.BitString(ek, 0),
    )
    return KeyPair(spec, asn1.encode_der(info), partial(ml_kem_512.encaps, ek), partial(ml_kem_512.decaps, material))


def parse_import(spec: str, plaintext: bytes) -> NoReturn:  # noqa: ARG001 - every provider has this signature
    """AWS KMS documents no import of ML-KEM keys. Raises UnsupportedOperationException."""
    raise UnsupportedOperationException(f"Importing key material is not supported for key spec {spec}.")
