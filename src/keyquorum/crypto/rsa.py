# SPDX-License-Identifier: Apache-2.0
"""RSA key specs: RSA_2048, RSA_3072, RSA_4096. Key material is the PrivateKeyInfo (PKCS #8) in DER.

It refuses PSS signatures whose salt is not as long as the digest, and it never says why a ciphertext did not decrypt.
Which algorithm goes with which usage is the caller's to check; an algorithm of another family is a KeyError.

Source: RFC 8017; AWS KMS Developer Guide, "Key spec reference", "Requirements for imported key material".
"""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
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
from keyquorum.errors import IncorrectKeyMaterialException, InvalidCiphertextException, ValidationException

_BITS = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}

#: rsaEncryption with its NULL (RFC 3279). The identifier of RSASSA-PSS would bind the key to one of our algorithms.
_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")

_EXPONENT = 65537
#: FIPS 186-5, section 5.1: 2^16 < e < 2^256. The upper bound also bounds what verifying costs.
_EXPONENTS = range(_EXPONENT, 2**256)

_OAEP_HASHES: dict[str, hashes.HashAlgorithm] = {
    "RSAES_OAEP_SHA_1": hashes.SHA1(),  # noqa: S303 - OAEP does not need its collision resistance
    "RSAES_OAEP_SHA_256": hashes.SHA256(),
}
_OAEP = {name: OAEP(MGF1(hash_), hash_, label=None) for name, hash_ in _OAEP_HASHES.items()}

_SIGNATURE_HASHES: dict[str, hashes.HashAlgorithm] = {
    "SHA_256": hashes.SHA256(),
    "SHA_384": hashes.SHA384(),
    "SHA_512": hashes.SHA512(),
}
_SIGNATURES: dict[str, tuple[AsymmetricPadding, Prehashed]] = {
    f"RSASSA_{scheme}_{name}": (padding, Prehashed(hash_))
    for name, hash_ in _SIGNATURE_HASHES.items()
    for scheme, padding in (
        # An exact salt length, in verifying too: "auto" would also accept signatures that AWS KMS refuses.
        ("PSS", PSS(MGF1(hash_), salt_length=hash_.digest_size)),
        ("PKCS1_V1_5", PKCS1v15()),
    )
}


class PublicKey(Opened):
    """The public half: encrypts, verifies, and shows itself."""

    __slots__ = ("_public",)

    def __init__(self, spec: str, public: rsa.RSAPublicKey) -> None:
        super().__init__(spec)
        self._public = public

    def public_key(self) -> bytes:
        """SubjectPublicKeyInfo in DER."""
        return self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def encrypt(self, algorithm: str, plaintext: bytes) -> bytes:
        """A ciphertext as long as the modulus; ValidationException for a plaintext that does not fit."""
        longest = _BITS[self._spec] // 8 - 2 * _OAEP_HASHES[algorithm].digest_size - 2
        if len(plaintext) > longest:
            raise ValidationException(
                f"Algorithm {algorithm} and key spec {self._spec} cannot encrypt data larger than {longest} bytes."
            )
        return self._public.encrypt(plaintext, _OAEP[algorithm])

    def verify(self, algorithm: str, message: bytes, message_type: str, signature: bytes) -> bool:
        """Whether the signature is good; ValidationException as ``sign``."""
        padding, prehashed = _SIGNATURES[algorithm]
        hashed = digest(self._spec, algorithm, message, message_type)
        if len(signature) != _BITS[self._spec] // 8:
            # RFC 8017, section 8.1.2, step 1. OpenSSL itself takes a PSS signature that lost its leading zero bytes.
            return False
        try:
            self._public.verify(signature, hashed, padding, prehashed)
        except InvalidSignature:
            return False
        return True


class KeyPair(PublicKey):
    """An RSA key pair: ``provider.Encrypter`` and ``provider.Signer``."""

    __slots__ = ("_private",)

    def __init__(self, spec: str, private: rsa.RSAPrivateKey) -> None:
        super().__init__(spec, private.public_key())
        self._private = private

    def decrypt(self, algorithm: str, ciphertext: bytes) -> bytes:
        """The plaintext; the same InvalidCiphertextException whatever is wrong with the ciphertext."""
        try:
            return self._private.decrypt(ciphertext, _OAEP[algorithm])
        except ValueError:
            # Telling a bad length, a bad padding and a bad label hash apart is Manger's attack: one error, no cause.
            raise InvalidCiphertextException from None

    def sign(self, algorithm: str, message: bytes, message_type: str) -> bytes:
        """A signature as long as the modulus. ValidationException: wrong digest length, message type EXTERNAL_MU."""
        padding, prehashed = _SIGNATURES[algorithm]
        return self._private.sign(digest(self._spec, algorithm, message, message_type), padding, prehashed)


def generate(spec: str) -> bytes:
    """A new key pair with e = 65537. Takes from a tenth of a second to several."""
    return _encode(rsa.generate_private_key(_EXPONENT, _BITS[spec]))


def open_material(spec: str, material: bytes) -> KeyPair:
    """Key material of ``generate`` or ``parse_import``."""
    # Validated when it was made or imported and authenticated by its wrapping since; validating again costs 30 to 250
    # ms. The usages that follow would be unsafe only with a key that somebody else chose.
    private = load_der_private_key(material, password=None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(private, rsa.RSAPrivateKey)
    return KeyPair(spec, private)


def parse_import(spec: str, plaintext: bytes) -> bytes:
    """Imported key material: PKCS #8 in DER with two primes and a modulus of the spec's size. Up to 250 ms of GIL.

    The same key gives the same material, in whichever order its primes came and whichever equivalent private
    exponent. Raises IncorrectKeyMaterialException for everything else.
    """
    try:
        # Sizes first: what a key of another size would cost to validate has no bound.
        unproven = load_der_private_key(plaintext, password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(unproven, rsa.RSAPrivateKey):
            raise IncorrectKeyMaterialException(detail="no RSA key")
        exponent = unproven.public_key().public_numbers().e
        if unproven.key_size != _BITS[spec] or exponent not in _EXPONENTS:
            raise IncorrectKeyMaterialException(detail=f"RSA modulus or exponent unfit for {spec}")
        private = keyinfo.load_private(plaintext, _ALGORITHM)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise IncorrectKeyMaterialException(detail="no valid RSA private key in PKCS #8") from None
    assert isinstance(private, rsa.RSAPrivateKey)
    numbers = private.private_numbers()
    public = numbers.public_numbers
    p, q = max(numbers.p, numbers.q), min(numbers.p, numbers.q)
    d = rsa.rsa_recover_private_exponent(public.e, p, q)
    canonical = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    )
    # Skipped because it was just validated and only rearranged.
    return _encode(canonical.private_key(unsafe_skip_rsa_key_validation=True))


def _encode(private: rsa.RSAPrivateKey) -> bytes:
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
