# SPDX-License-Identifier: Apache-2.0
"""The only door to ``crypto``: what turns an authorized key, or a wrapped secret, into its use.

Root key -> keyring keys (versioned) -> key material and access keys' secrets. Every wrapped blob is bound to what it
is for and whose it is, so that rows cannot be swapped. Opened material is kept with the record that it belongs to, and
goes when that goes.
"""

import hmac
import os
import secrets
from typing import Any, Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from keyquorum import blob, lifecycle
from keyquorum.authz.authorize import AuthorizedKey
from keyquorum.crypto import apart, importing, software
from keyquorum.crypto.provider import Agreement, Encapsulation, Encrypter, Mac, PublicHalf, Signer
from keyquorum.crypto.xaes import KEY_SIZE, NONCE_SIZE, XAES256GCM
from keyquorum.custody.root import RootKey
from keyquorum.errors import IncorrectKeyException, IntegrityError, InvalidCiphertextException
from keyquorum.model import GROUP, ROLE, AccessKey, KeyMaterial


def _bound_to(*parts: str) -> bytes:
    """Additional data that names purpose and owner, each part with its length."""
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


class Keyring:
    """``wrapped``: version -> wrapped keyring key; the highest version wraps what is new."""

    def __init__(self, root: RootKey, wrapped: dict[int, bytes]) -> None:
        self._keys = {v: XAES256GCM(root.unwrap_keyring_key(v, w)) for v, w in wrapped.items()}
        self._current = max(self._keys)
        self._material_ids = root.derive("material id")

    @staticmethod
    def first_key(root: RootKey) -> tuple[int, bytes]:
        """Version and wrapped form of a new service's first keyring key."""
        return 1, root.wrap_keyring_key(1, os.urandom(KEY_SIZE))

    # -- what encrypts and decrypts for callers

    def encrypt(self, key: AuthorizedKey, plaintext: bytes, context: dict[str, str] | None) -> bytes:
        """A ciphertext blob under the current material of a symmetric encryption key."""
        material_id = key.key.material_id
        head = blob.header(key.key.key_id, material_id)
        nonce = os.urandom(NONCE_SIZE)
        aead: XAES256GCM = self._open(key, material_id)
        return head + nonce + aead.encrypt(nonce, plaintext, blob.associated_data(head, context))

    def parse(self, key: AuthorizedKey, ciphertext: bytes) -> blob.Blob:
        """The parts of a ciphertext of this key. Raises IncorrectKeyException for one of another key, and
        InvalidCiphertextException for what is none."""
        parsed = blob.parse(ciphertext)
        if parsed is None:
            raise InvalidCiphertextException
        if parsed.key_id != key.key.key_id:
            raise IncorrectKeyException(
                "The key ID in the request does not identify a CMK that can perform this operation."
            )
        return parsed

    def decrypt(self, key: AuthorizedKey, ciphertext: bytes, context: dict[str, str] | None) -> tuple[bytes, str]:
        """The plaintext, and the ID of the material that it was under.

        Raises as ``parse`` does; all else that can be wrong with a ciphertext is InvalidCiphertextException, without a
        word more.
        """
        parsed = self.parse(key, ciphertext)
        if parsed.material_id not in key.materials:
            raise InvalidCiphertextException
        aead: XAES256GCM = self._open(key, parsed.material_id)
        try:
            plaintext = aead.decrypt(parsed.nonce, parsed.sealed, blob.associated_data(parsed.header, context))
        except InvalidTag:
            raise InvalidCiphertextException from None
        return plaintext, parsed.material_id

    # -- asymmetric and HMAC keys, opened; what each can do is its spec's usage

    def encrypter(self, key: AuthorizedKey) -> Encrypter:
        opened: Encrypter = self._open(key, key.key.material_id)
        return opened

    def signer(self, key: AuthorizedKey) -> Signer:
        opened: Signer = self._open(key, key.key.material_id)
        return opened

    def mac(self, key: AuthorizedKey) -> Mac:
        opened: Mac = self._open(key, key.key.material_id)
        return opened

    def agreement(self, key: AuthorizedKey) -> Agreement:
        opened: Agreement = self._open(key, key.key.material_id)
        return opened

    def encapsulation(self, key: AuthorizedKey) -> Encapsulation:
        opened: Encapsulation = self._open(key, key.key.material_id)
        return opened

    def public_half(self, key: AuthorizedKey) -> PublicHalf:
        opened: PublicHalf = self._open(key, key.key.material_id)
        return opened

    def _open(self, key: AuthorizedKey, material_id: str) -> Any:
        opened = key.opened.get(material_id)
        if opened is None:
            secret = self._unwrapped(key.materials[material_id])
            opened = key.opened[material_id] = software.open_material(key.key.spec, secret)
        return opened

    # -- what has no key of ours

    def random(self, count: int) -> bytes:
        """``count`` bytes of the operating system's generator."""
        return os.urandom(count)

    def data_key_pair(self, spec: str) -> tuple[bytes, bytes]:
        """(private key as PKCS #8 in DER, public key as SubjectPublicKeyInfo in DER)."""
        return software.generate_pair(spec)

    # -- tokens: what the server gives out to be given back, without keeping any of it

    def seal_token(self, purpose: str, content: bytes) -> bytes:
        """Sealed content; different each time, and good until its keyring key is gone."""
        return self._current.to_bytes(4, "big") + self._wrap(_bound_to(purpose), content)

    def open_token(self, purpose: str, token: bytes) -> bytes | None:
        """The content, or None for what was not sealed here for this purpose."""
        try:
            return self._unwrap(int.from_bytes(token[:4], "big"), _bound_to(purpose), token[4:])
        except IntegrityError:
            return None

    # -- imports

    def new_wrapping_key(self, key_spec: str, wrapping_key_spec: str, algorithm: str) -> tuple[bytes, bytes]:
        """(private half as PKCS #8, public half as SubjectPublicKeyInfo, both in DER) of a key to wrap material of
        ``key_spec`` with. Raises UnsupportedOperationException for what does not go together."""
        importing.check_wrapping(key_spec, wrapping_key_spec, algorithm)
        return importing.new_wrapping_key(wrapping_key_spec)

    def unwrap_import(self, key_spec: str, algorithm: str, private: bytes, encrypted: bytes) -> bytes:
        """Imported key material, validated. Raises InvalidCiphertextException or IncorrectKeyMaterialException."""
        return self.parse_material(key_spec, importing.unwrap(algorithm, private, encrypted))

    # -- key material

    def generate(self, spec: str) -> bytes:
        """New key material, to be wrapped. RSA takes up to seconds."""
        return software.generate(spec)

    def parse_material(self, spec: str, plaintext: bytes) -> bytes:
        """Key material in the format of an import, to be wrapped. Raises as ``unwrap_import`` does."""
        return apart.parse_import(spec, plaintext)

    def wrap_material(self, key_id: str, region: str, material: bytes, now: float) -> KeyMaterial:
        """Wrap key material for a key in one Region.

        The ID tells equal materials of one key from others, and tells nobody without the root key anything else. It is
        the same in every Region.
        """
        digest = hmac.digest(self._material_ids, _bound_to(key_id) + material, "sha256")
        material_id = digest.hex()
        wrapped = self._wrap(_bound_to("key material", key_id, material_id), material)
        return KeyMaterial(material_id, key_id, region, lifecycle.CURRENT, self._current, wrapped, now)

    def _unwrapped(self, material: KeyMaterial) -> bytes:
        if material.wrapped is None:
            raise IntegrityError(f"key {material.key_id} is in use without its key material")
        bound = _bound_to("key material", material.key_id, material.material_id)
        return self._unwrap(material.keyring_version, bound, material.wrapped)

    # -- access keys

    def new_access_key(self, access_key_id: str, principal_id: str, secret: str, now: float) -> AccessKey:
        wrapped = self._wrap(_bound_to("secret access key", access_key_id, principal_id), secret.encode())
        return AccessKey(access_key_id, principal_id, self._current, wrapped, now)

    def secret_of(self, access_key: AccessKey) -> str:
        """The secret access key, to verify a signature with."""
        bound = _bound_to("secret access key", access_key.access_key_id, access_key.principal_id)
        return self._unwrap(access_key.keyring_version, bound, access_key.wrapped_secret).decode()

    # -- wrapping

    def _wrap(self, bound: bytes, secret: bytes) -> bytes:
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._keys[self._current].encrypt(nonce, secret, bound)

    def _unwrap(self, version: int, bound: bytes, wrapped: bytes) -> bytes:
        try:
            return self._keys[version].decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], bound)
        except (InvalidTag, KeyError, ValueError) as error:
            raise IntegrityError("a wrapped secret does not open for what its row says it is") from error


_ID_PREFIXES: Final = {ROLE: "AROA", GROUP: "AGPA", "Policy": "ANPA"}


def access_key_without_secret(access_key_id: str, principal_id: str, public_key: bytes, now: float) -> AccessKey | None:
    """An access key for SigV4A alone, whose owner keeps the secret; None unless ``public_key`` is a P-256 key, as a
    SubjectPublicKeyInfo in DER."""
    try:
        loaded = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(loaded, EllipticCurvePublicKey) or not isinstance(loaded.curve, SECP256R1):
        return None
    canonical = loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return AccessKey(access_key_id, principal_id, 0, b"", now, public_key=canonical)


def new_access_key_id() -> str:
    """20 characters in AWS's form (IAM user guide, "IAM identifiers")."""
    return "AKIA" + _base32(16)


def new_session_key_id() -> str:
    """The access key ID of temporary credentials."""
    return "ASIA" + _base32(16)


def new_unique_id(kind: str) -> str:
    """The unique ID of a principal of this kind, or of a ``Policy``."""
    return _ID_PREFIXES.get(kind, "AIDA") + _base32(17)


def new_secret() -> str:
    """A secret access key: 40 characters, 240 random bits."""
    return secrets.token_urlsafe(30)


def _base32(length: int) -> str:
    return "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(length))
