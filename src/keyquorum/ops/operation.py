# SPDX-License-Identifier: Apache-2.0
"""What an operation is to the request path: the keys that it names, and what it does once they are authorized."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from keyquorum.arns import ArnLayout
from keyquorum.authz.authorize import AuthorizedKey
from keyquorum.keyring import Keyring
from keyquorum.model import Caller, Key
from keyquorum.store.engine import Transaction
from keyquorum.store.store import Store

Keys = tuple[AuthorizedKey, ...]


class KeyUse(msgspec.Struct, frozen=True, gc=False):
    """One key that a request is about, and the permission that it needs on it.

    ``ref`` is what the caller sent; with ``found_in`` "ciphertext" it is a key ID that the server itself wrote there.
    ``alias``: whether an alias may stand for the key. ``row``: the row of the lifecycle table, if not the operation's.
    """

    permission: str
    ref: str
    alias: Literal["allowed", "refused"] = "refused"
    found_in: Literal["request", "ciphertext"] = "request"
    row: str | None = None


class Pages(Protocol):
    """Markers of lists, as ``wire.paging`` makes them."""

    def issue(self, scope: str, position: str) -> str: ...
    def read(self, scope: str, marker: str) -> str: ...


class Services(msgspec.Struct, frozen=True):
    """What operations work with. ``development``: the tags of test emulators choose key ID and key material."""

    store: Store
    keyring: Keyring
    pages: Pages
    layout: ArnLayout
    development: bool = False


class Call:
    """One request on its way. ``made`` collects keys that it creates, for its audit record."""

    __slots__ = ("caller", "made", "now", "request_id", "services", "txn")

    def __init__(self, services: Services, caller: Caller, now: float, request_id: str) -> None:
        self.services = services
        self.caller = caller
        self.now = now
        self.request_id = request_id
        self.txn: Transaction | None = None
        self.made: list[Key] = []

    def write(self) -> Transaction:
        """The transaction of an operation that changes something."""
        if self.txn is None:
            raise RuntimeError("an operation that is not marked as changing something tried to")
        return self.txn

    def arn(self, key: Key) -> str:
        return self.services.layout.key(key.region, key.account, key.key_id)


def no_keys(_request: Any) -> tuple[KeyUse, ...]:
    return ()


def no_check(_request: Any, _keys: Keys) -> None:
    return None


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """``run`` returns the response struct, or None for an empty answer.

    ``keys`` names what is to be authorized, and refuses arguments that cannot be looked up. ``check`` refuses what AWS
    refuses after the lookup and before usage and state. ``usage``: the KeyUsage that every key must have.
    ``changes``: it runs in a write transaction. ``waits``: it reads the database by itself.
    """

    name: str
    run: Callable[[Call, Any, Keys], Any]
    keys: Callable[[Any], tuple[KeyUse, ...]] = no_keys
    check: Callable[[Any, Keys], None] = no_check
    usage: str | None = None
    changes: bool = False
    waits: bool = False


def on_key(permission: str, *, alias: Literal["allowed", "refused"] = "refused") -> Callable[[Any], tuple[KeyUse, ...]]:
    """The keys of an operation that is about its KeyId and nothing else."""

    def keys(request: Any) -> tuple[KeyUse, ...]:
        return (KeyUse(permission, request.key_id, alias),)

    return keys
