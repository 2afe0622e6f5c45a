# SPDX-License-Identifier: Apache-2.0
"""The only door to ``crypto``: what turns an authorized key, or a wrapped secret, into its use.

Root key -> keyring keys (versioned) -> key material and access keys' secrets. Every wrapped blob is bound to what it
is for and whose it is, so that rows cannot be swapped. Opened material is kept with the record that it belongs to, and
goes when that goes.

Keyring keys come and go while a server runs: what is wrapped is always wrapped under the newest (docs/adr/0022).
"""

import asyncio
import hmac
import logging
import os
import secrets
import threading
from typing import Any, Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from keyquorum import blob, lifecycle
from keyquorum.authz.authorize import AuthorizedKey
from keyquorum.crypto import apart, importing, software
from keyquorum.crypto.provider import Agreement, Encapsulation, Encrypter, Mac, PublicHalf, Signer
from keyquorum.crypto.xaes import KEY_SIZE, NONCE_SIZE, XAES256GCM
from keyquorum.custody.root import RootKey
from keyquorum.errors import IncorrectKeyException, IntegrityError, InvalidCiphertextException, WouldBlock
from keyquorum.model import GROUP, ROLE, AccessKey, KeyMaterial

_log = logging.getLogger(__name__)


def _bound_to(*parts: str) -> bytes:
    """Additional data that names purpose and owner, each part with its length."""
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


class Source(Protocol):
    """Where keyring keys are kept, and come and go."""

    def moved(self) -> bool:
        """Whether any may have come or gone since they were loaded; answers from memory."""

    def load(self) -> dict[int, bytes]:
        """Version -> wrapped keyring key. Raises KMSError if they cannot be had."""


class Keyring:
    """``wrapped``: version -> wrapped keyring key; the highest version wraps what is new. ``source`` is where they
    are from, unless they never change."""

    def __init__(self, root: RootKey, wrapped: dict[int, bytes], source: Source | None = None) -> None:
        self._root = root
        self._source = source
        self._learning = threading.Lock()
        self._keys: dict[int, XAES256GCM] = {}
        self._learn(wrapped)
        self._material_ids = root.derive("material id")

    @property
    def version(self) -> int:
        """Of the keyring key that wraps what is new."""
        return max(self._keys)

    def follow(self) -> None:
        """Learn which keyring keys have come or gone, if any may have. Raises WouldBlock on an event loop, which must
        not wait for the database; IntegrityError for a keyring key that is not ours; KMSError."""
        if self._source is not None and self._source.moved():
            if _is_event_loop():
                raise WouldBlock
            self.refresh()

    def refresh(self) -> None:
        """Learn which keyring keys there are. Raises as ``follow`` does; what was known stays."""
        if self._source is not None:
            with self._learning:
                self._learn(self._source.load())

    def _learn(self, wrapped: dict[int, bytes]) -> None:
        if self._keys and max(wrapped, default=0) < self.version:
            # Somebody has removed it. To wrap under an older one again is what they may be after.
            _log.error("keyring key %d is not in the database any more", self.version)
            return
        keys = {v: self._keys.get(v) or XAES256GCM(self._root.unwrap_keyring_key(v, w)) for v, w in wrapped.items()}
        if not keys:
            raise IntegrityError("there is no keyring key")
        self._keys = keys

    def next_key(self, version: int) -> bytes:
        """A new keyring key of this version, wrapped."""
        return self._root.wrap_keyring_key(version, os.urandom(KEY_SIZE))

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
        version, sealed = self._wrap(_bound_to(purpose), content)
        return version.to_bytes(4, "big") + sealed

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
        version, wrapped = self._wrap(_bound_to("key material", key_id, material_id), material)
        return KeyMaterial(material_id, key_id, region, lifecycle.CURRENT, version, wrapped, now)

    def check_material(self, material: KeyMaterial) -> None:
        """Raises IntegrityError unless the key material opens; it is used for nothing."""
        self._unwrapped(material)

    def rewrap_material(self, material: KeyMaterial) -> KeyMaterial:
        """The same key material under the newest keyring key, in as many bytes. Raises IntegrityError."""
        if material.wrapped is None:
            return msgspec.structs.replace(material, keyring_version=self.version)
        bound = _bound_to("key material", material.key_id, material.material_id)
        version, wrapped = self._wrap(bound, self._unwrapped(material))
        return msgspec.structs.replace(material, keyring_version=version, wrapped=wrapped)

    def _unwrapped(self, material: KeyMaterial) -> bytes:
        if material.wrapped is None:
            raise IntegrityError(f"key {material.key_id} is in use without its key material")
        bound = _bound_to("key material", material.key_id, material.material_id)
        return self._unwrap(material.keyring_version, bound, material.wrapped)

    # -- access keys

    def new_access_key(self, access_key_id: str, principal_id: str, secret: str, now: float) -> AccessKey:
        version, wrapped = self._wrap(_bound_to("secret access key", access_key_id, principal_id), secret.encode())
        return AccessKey(access_key_id, principal_id, version, wrapped, now)

    def rewrap_access_key(self, access_key: AccessKey) -> AccessKey:
        """The same secret under the newest keyring key. Raises IntegrityError."""
        bound = _bound_to("secret access key", access_key.access_key_id, access_key.principal_id)
        version, wrapped = self._wrap(bound, self.secret_of(access_key).encode())
        return msgspec.structs.replace(access_key, keyring_version=version, wrapped_secret=wrapped)

    def secret_of(self, access_key: AccessKey) -> str:
        """The secret access key, to verify a signature with."""
        bound = _bound_to("secret access key", access_key.access_key_id, access_key.principal_id)
        return self._unwrap(access_key.keyring_version, bound, access_key.wrapped_secret).decode()

    # -- wrapping

    def _wrap(self, bound: bytes, secret: bytes) -> tuple[int, bytes]:
        """The version of the newest keyring key, and the secret under it."""
        self.follow()
        keys, nonce = self._keys, os.urandom(NONCE_SIZE)
        version = max(keys)
        return version, nonce + keys[version].encrypt(nonce, secret, bound)

    def _unwrap(self, version: int, bound: bytes, wrapped: bytes) -> bytes:
        if version not in self._keys:
            self.follow()  # made a moment ago, by another process
        try:
            return self._keys[version].decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], bound)
        except (InvalidTag, KeyError, ValueError) as error:
            raise IntegrityError("a wrapped secret does not open for what its row says it is") from error


def _is_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


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
