# SPDX-License-Identifier: Apache-2.0
"""The only door to ``crypto``: what turns an authorized key, or a wrapped secret, into its use.

Root key -> keyring keys (versioned) -> key material and access keys' secrets. Every wrapped blob is bound to what it
is for and whose it is, so that rows cannot be swapped. Opened materials are kept in memory, bounded, until ``forget``.
"""

import hmac
import os
import secrets
from collections.abc import Container
from typing import Final

from cryptography.exceptions import InvalidTag

from keyquorum import blob
from keyquorum.authz.authorize import AuthorizedKey
from keyquorum.crypto.xaes import KEY_SIZE, NONCE_SIZE, XAES256GCM
from keyquorum.custody.root import RootKey
from keyquorum.errors import IncorrectKeyException, IntegrityError, InvalidCiphertextException
from keyquorum.model import AccessKey, KeyMaterial
from keyquorum.specs import SPECS

_OPENED: Final = 20_000


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
        self._opened: dict[str, dict[str, XAES256GCM]] = {}

    @staticmethod
    def first_key(root: RootKey) -> tuple[int, bytes]:
        """Version and wrapped form of a new service's first keyring key."""
        return 1, root.wrap_keyring_key(1, os.urandom(KEY_SIZE))

    # -- what encrypts and decrypts for callers

    def encrypt(self, key: AuthorizedKey, plaintext: bytes, context: dict[str, str] | None) -> bytes:
        """A ciphertext blob under the key's current material."""
        material_id = key.key.material_id
        head = blob.header(key.key.key_id, material_id)
        nonce = os.urandom(NONCE_SIZE)
        sealed = self._material(key, material_id).encrypt(nonce, plaintext, blob.associated_data(head, context))
        return head + nonce + sealed

    def decrypt(self, key: AuthorizedKey, ciphertext: bytes, context: dict[str, str] | None) -> tuple[bytes, str]:
        """The plaintext, and the ID of the material that it was under.

        Raises IncorrectKeyException for a ciphertext of another key. All else that can be wrong with a ciphertext is
        InvalidCiphertextException, without a word more.
        """
        parsed = blob.parse(ciphertext)
        if parsed is None:
            raise InvalidCiphertextException
        if parsed.key_id != key.key.key_id:
            raise IncorrectKeyException(
                "The key ID in the request does not identify a CMK that can perform this operation."
            )
        if parsed.material_id not in key.materials:
            raise InvalidCiphertextException
        aead = self._material(key, parsed.material_id)
        try:
            plaintext = aead.decrypt(parsed.nonce, parsed.sealed, blob.associated_data(parsed.header, context))
        except InvalidTag:
            raise InvalidCiphertextException from None
        return plaintext, parsed.material_id

    def random(self, count: int) -> bytes:
        """``count`` bytes of the operating system's generator."""
        return os.urandom(count)

    # -- key material

    def new_material(self, key_id: str, spec: str, now: float, material: bytes | None = None) -> KeyMaterial:
        """Wrap key material for a key: the given one, or a new one of the spec's length.

        The ID tells equal materials of one key from others, and tells nobody without the root key anything else.
        """
        material = material or os.urandom(SPECS[spec].material_bytes)
        digest = hmac.digest(self._material_ids, _bound_to(key_id) + material, "sha256")
        material_id = digest.hex()
        wrapped = self._wrap(_bound_to("key material", key_id, material_id), material)
        return KeyMaterial(material_id, key_id, self._current, wrapped, now)

    def forget(self, key_id: str) -> None:
        """Drop a key's opened materials."""
        self._opened.pop(key_id, None)

    def keep_only(self, key_ids: Container[str]) -> None:
        """Drop the opened materials of all other keys: what is not cached is not heard of when it is deleted."""
        for key_id in list(self._opened):
            if key_id not in key_ids:
                self._opened.pop(key_id, None)

    def _material(self, key: AuthorizedKey, material_id: str) -> XAES256GCM:
        key_id = key.key.key_id
        opened = self._opened.get(key_id)
        if opened is not None and material_id in opened:
            return opened[material_id]
        material = key.materials[material_id]
        secret = self._unwrap(
            material.keyring_version, _bound_to("key material", key_id, material_id), material.wrapped
        )
        aead = XAES256GCM(secret)
        while len(self._opened) >= _OPENED:
            self._opened.pop(next(iter(self._opened)), None)
        self._opened.setdefault(key_id, {})[material_id] = aead
        return aead

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


def new_access_key_id() -> str:
    """20 characters in AWS's form (IAM user guide, "IAM identifiers")."""
    return "AKIA" + _base32(16)


def new_principal_id() -> str:
    return "AIDA" + _base32(17)


def new_secret() -> str:
    """A secret access key: 40 characters, 240 random bits."""
    return secrets.token_urlsafe(30)


def _base32(length: int) -> str:
    return "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(length))
