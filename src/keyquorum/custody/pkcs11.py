# SPDX-License-Identifier: Apache-2.0
"""A seal in an HSM: an AES-256 key that cannot leave its token, reached through PKCS #11. The token encrypts the root
key itself, with AES-GCM (PKCS #11 v2.40, CKM_AES_GCM); what is authenticated along with it names the key.

Module, token and label are the configuration's; of the database only the key's CKA_ID is taken, to tell keys of one
label apart. A session is opened for each use and closed after it, so that a token may go and come back. A wrong PIN is
never tried again: a token locks itself after a few.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from keyquorum.custody.seal import IN_USE, SealAway, SealError, bound, require_kind
from keyquorum.model import SealedRoot

KIND: Final = "pkcs11"
_NONCE: Final = 12
_TAG_BITS: Final = 128
_ID: Final = 8


class Where(NamedTuple):
    """``module``: the HSM's shared library, which is loaded into this process. ``label``: of the key."""

    module: Path
    token: str
    label: str


class KeyName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which key, as the database has it. ``id``: CKA_ID in hexadecimal digits."""

    token: str
    label: str
    id: str


class Pkcs11Seal:
    """``key_id``: the key to seal with; None for that of the row, or a new one."""

    def __init__(self, where: Where, pin: bytes, key_id: bytes | None = None) -> None:
        self._where = where
        self._pin = pin
        self._key_id = key_id

    def seal(self, root_key: bytes, role: str = IN_USE) -> SealedRoot:
        key_id = self._key_id
        if key_id is None:
            raise SealError("no key of the token was chosen to seal with")
        where = self._where
        parameters = msgspec.json.encode(KeyName(where.token, where.label, key_id.hex())).decode()
        row = SealedRoot(b"", KIND, parameters)
        nonce = os.urandom(_NONCE)
        with self._session() as session:
            box = _run(_key(session, where, key_id).encrypt, root_key, nonce, bound(row, role))
        return row._replace(sealed=nonce + box)

    def open(self, sealed: SealedRoot, role: str = IN_USE) -> bytes:
        require_kind(sealed, KIND)
        try:
            name = msgspec.json.decode(sealed.parameters or "", type=KeyName)
            key_id = bytes.fromhex(name.id)
        except (msgspec.DecodeError, ValueError) as error:
            raise SealError("what the database says of the HSM's key is damaged") from error
        pkcs11 = _library()
        nonce, box = sealed.sealed[:_NONCE], sealed.sealed[_NONCE:]
        with self._session() as session:
            key = _key(session, self._where, key_id)
            try:
                return _run(key.decrypt, box, nonce, bound(sealed, role))
            except (pkcs11.GeneralError, pkcs11.EncryptedDataInvalid, pkcs11.EncryptedDataLenRange) as error:
                # SoftHSM has one error for a wrong tag and for a broken token: one that still encrypts is not broken.
                _run(key.encrypt, b"", os.urandom(_NONCE), b"")
                raise SealError("the HSM's key does not open the root key of this data directory") from error

    def make_key(self) -> "Pkcs11Seal":
        """A new key in the token, of this label, that cannot be extracted; and the seal that uses it."""
        pkcs11 = _library()
        attribute, key_id = pkcs11.Attribute, os.urandom(_ID)
        cannot = dict.fromkeys(
            (attribute.EXTRACTABLE, attribute.WRAP, attribute.UNWRAP, attribute.SIGN, attribute.VERIFY), False
        )
        can = dict.fromkeys((attribute.SENSITIVE, attribute.PRIVATE, attribute.ENCRYPT, attribute.DECRYPT), True)
        with self._session(writes=True) as session:
            session.generate_key(
                pkcs11.KeyType.AES, 256, id=key_id, label=self._where.label, store=True, template={**can, **cannot}
            )
        return Pkcs11Seal(self._where, self._pin, key_id)

    def destroy_key(self, sealed: SealedRoot) -> None:
        """Remove the key that a row names, for good."""
        name = msgspec.json.decode(sealed.parameters or "", type=KeyName)
        with self._session(writes=True) as session:
            _key(session, self._where, bytes.fromhex(name.id)).destroy()

    @contextmanager
    def _session(self, *, writes: bool = False) -> Iterator[Any]:
        pkcs11 = _library()
        where = self._where
        if not where.module.is_file():
            raise SealError(f"there is no PKCS #11 module {where.module}")
        fatal = (pkcs11.PinIncorrect, pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.PinInvalid, pkcs11.PinLenRange)
        try:
            library = pkcs11.lib(str(where.module))
            # Which slots hold a token is looked up when a module is initialized, and not always again.
            library.reinitialize()
            with library.get_token(token_label=where.token).open(user_pin=self._pin.decode(), rw=writes) as session:
                yield session
        except fatal as error:
            raise SealError(f"the token {where.token!r} does not take the PIN: {type(error).__name__}") from error
        except pkcs11.MechanismInvalid as error:
            raise SealError(f"the token {where.token!r} has no AES-GCM") from error
        except pkcs11.PKCS11Error as error:
            name = type(error).__name__
            raise SealAway(f"the token {where.token!r} cannot be reached through {where.module}: {name}") from error


def _library() -> Any:
    try:
        import pkcs11
    except ImportError as error:
        raise SealError("a seal in an HSM needs the extra pkcs11: pip install 'keyquorum[pkcs11]'") from error
    return pkcs11


def _key(session: Any, where: Where, key_id: bytes) -> Any:
    """Raises SealError if it is not there, or could be copied out of the token."""
    pkcs11 = _library()
    try:
        key = session.get_key(
            object_class=pkcs11.ObjectClass.SECRET_KEY, key_type=pkcs11.KeyType.AES, label=where.label, id=key_id
        )
    except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned) as error:
        raise SealError(f"the token {where.token!r} has no key {where.label!r} with ID {key_id.hex()}") from error
    if key[pkcs11.Attribute.EXTRACTABLE] or not key[pkcs11.Attribute.SENSITIVE]:
        raise SealError(f"the key {where.label!r} of the token {where.token!r} can be extracted: it is no seal")
    return key


def _run(operation: Any, data: bytes, nonce: bytes, associated: bytes) -> bytes:
    from pkcs11.mechanisms import GCMParams

    mechanism = _library().Mechanism.AES_GCM
    return bytes(operation(data, mechanism=mechanism, mechanism_param=GCMParams(nonce, associated, _TAG_BITS)))
