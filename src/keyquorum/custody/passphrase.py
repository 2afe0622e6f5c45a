# SPDX-License-Identifier: Apache-2.0
"""A seal that people remember: a key from a passphrase by Argon2id (RFC 9106). Its costs are in the database, so they
are held to bounds before anything is computed: who can write there must not exhaust this machine, nor make it cheap."""

import hmac
import os
import unicodedata
from typing import Final

import msgspec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from keyquorum.custody.seal import IN_USE, KeySeal, SealError, require_kind
from keyquorum.model import SealedRoot

KIND: Final = "passphrase"
#: Characters of a new one.
SHORTEST: Final = 12


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``memory`` in KiB, ``salt`` in hexadecimal digits. The defaults are the second recommendation of RFC 9106,
    section 4, for machines whose memory is also for others."""

    salt: str
    iterations: int = 3
    lanes: int = 4
    memory: int = 64 * 1024

    def check(self) -> None:
        """Raises SealError."""
        for value, (least, most) in zip((self.iterations, self.lanes, self.memory), _BOUNDS, strict=True):
            if not least <= value <= most:
                raise SealError("the database asks for costs of Argon2id beyond all bounds: it was tampered with")


_BOUNDS: Final = ((3, 10), (1, 8), (64 * 1024, 1024 * 1024))
_SALT_BYTES: Final = 16


class PassphraseSeal:
    def __init__(self, passphrase: bytes) -> None:
        try:
            # One passphrase whatever keyboard it is typed on.
            self._passphrase = unicodedata.normalize("NFC", passphrase.decode()).encode()
        except UnicodeDecodeError:
            raise SealError("the passphrase is not UTF-8") from None

    def is_the_same_as(self, other: "PassphraseSeal") -> bool:
        return hmac.compare_digest(self._passphrase, other._passphrase)  # noqa: SLF001 - its own class

    def seal(self, root_key: bytes, role: str = IN_USE) -> SealedRoot:
        if len(self._passphrase.decode()) < SHORTEST:
            raise SealError(f"a new passphrase must have at least {SHORTEST} characters")
        costs = Costs(os.urandom(_SALT_BYTES).hex())
        return self._derived(costs, msgspec.json.encode(costs).decode()).seal(root_key, role)

    def open(self, sealed: SealedRoot, role: str = IN_USE) -> bytes:
        require_kind(sealed, KIND)
        parameters = sealed.parameters or ""
        try:
            costs = msgspec.json.decode(parameters, type=Costs)
        except msgspec.DecodeError as error:
            raise SealError("the parameters of the passphrase in the database are damaged") from error
        costs.check()
        return self._derived(costs, parameters).open(sealed, role)

    def _derived(self, costs: Costs, parameters: str) -> KeySeal:
        try:
            salt = bytes.fromhex(costs.salt)
        except ValueError:
            salt = b""
        if len(salt) != _SALT_BYTES:
            raise SealError("the parameters of the passphrase in the database are damaged")
        argon = Argon2id(
            salt=salt,
            length=KeySeal.KEY_BYTES,
            iterations=costs.iterations,
            lanes=costs.lanes,
            memory_cost=costs.memory,
        )
        return KeySeal(argon.derive(self._passphrase), KIND, parameters, "the passphrase")
