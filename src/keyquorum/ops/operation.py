# SPDX-License-Identifier: Apache-2.0
"""What an operation is to the request path: the keys that it names, and what it does once they are authorized."""

from collections.abc import Callable, Iterable
from math import inf
from typing import Any, Literal, Protocol

import msgspec

from keyquorum.arns import ArnLayout
from keyquorum.audit.lookup import Counted, Found, Place, Wanted
from keyquorum.authz.authorize import AuthorizedKey
from keyquorum.authz.compiled import Subject
from keyquorum.errors import WouldBlock
from keyquorum.keyring import Keyring
from keyquorum.model import Caller, HttpRequest, Key, KeyRecord, Principal
from keyquorum.own_api import GetStatusResponse
from keyquorum.quotas import Quotas
from keyquorum.store.engine import Transaction
from keyquorum.store.store import Store
from keyquorum.store.usage import Use

Keys = tuple[AuthorizedKey, ...]

#: The values of a condition key; None where the request does not have it.
Values = tuple[str, ...] | None


class KeyUse(msgspec.Struct, frozen=True, gc=False):
    """One key that a request is about, and the permission that it needs on it.

    ``ref`` is what the caller sent; with ``found_in`` "ciphertext" it is a key ID that the server itself wrote there.
    ``alias``: whether an alias may stand for the key. ``row``: the row of the lifecycle table, if not the operation's.
    ``by``: whether the key's policy decides, or the caller's account alone. ``grant_id``: the grant that is to be
    retired, which then decides.
    """

    permission: str
    ref: str
    alias: Literal["allowed", "refused"] = "refused"
    found_in: Literal["request", "ciphertext"] = "request"
    row: str | None = None
    by: Literal["key", "account"] = "key"
    grant_id: str | None = None


class Need(msgspec.Struct, frozen=True, gc=False):
    """A permission that identity-based policies must give, since what it is about has no policy: an account, an alias,
    an identity. ``resource`` is its ARN, ``other_arns`` are further spellings of it, ``context`` are condition keys, in
    lower case, that this operation has beside those of every request. ``shown``: what a refusal calls it, if not by its
    ARN."""

    permission: str
    resource: str | None = None
    other_arns: tuple[str, ...] = ()
    context: tuple[tuple[str, Values], ...] = ()
    shown: str | None = None


class Pages(Protocol):
    """Markers of lists, as ``wire.paging`` makes them."""

    def issue(self, scope: str, position: str) -> str: ...
    def read(self, scope: str, marker: str) -> str: ...


class UsageLog(Protocol):
    """What is known of the last use of keys, the last second of it included."""

    def last(self, key: Key) -> Use | None: ...


class Events(Protocol):
    """The audit log, as ``audit.lookup`` reads it."""

    def look(self, wanted: Wanted, most: int, budget: int, places: list[Place] | None = None) -> Found: ...
    def count(self, wanted: Wanted, period: int, budget: int) -> Counted: ...


class Services(msgspec.Struct, frozen=True):
    """What operations work with. ``development``: the tags of test emulators choose key ID and key material.
    ``regions``: the Regions that there are, or None for any. ``events`` and ``status``: what a running server tells of
    itself."""

    store: Store
    keyring: Keyring
    pages: Pages
    usage: UsageLog
    layout: ArnLayout
    quotas: Quotas
    regions: frozenset[str] | None = None
    development: bool = False
    events: Events | None = None
    status: Callable[[], GetStatusResponse] | None = None


class Access(Protocol):
    """Decisions that an operation asks for itself, because what they are about is found on its way. Each raises
    AccessDeniedException. ``subject`` is who asks."""

    @property
    def subject(self) -> Subject: ...
    def key(self, use: KeyUse, record: KeyRecord, *, one_of_many: bool = False) -> AuthorizedKey: ...
    def account(self, need: Need) -> None: ...
    def role(self, permission: str, role: Principal, context: Iterable[tuple[str, Values]] = ()) -> None: ...


class Call:
    """One request on its way. ``http`` is None for what the system does by itself. ``access`` is there once the keys
    are authorized. ``made`` collects keys that it creates, for its audit record. ``prepared`` is what the operation
    made ready before its transaction. ``may_wait``: whether waiting is allowed in this thread. ``until``: when it
    is too late to act on what was cached for it, on the clock ``uptime``."""

    __slots__ = (
        "access",
        "caller",
        "http",
        "made",
        "may_wait",
        "now",
        "prepared",
        "request_id",
        "services",
        "txn",
        "until",
    )

    access: Access

    def __init__(
        self,
        services: Services,
        caller: Caller,
        now: float,
        request_id: str,
        http: HttpRequest | None = None,
        *,
        may_wait: bool,
    ) -> None:
        self.http = http
        self.services = services
        self.caller = caller
        self.now = now
        self.request_id = request_id
        self.may_wait = may_wait
        self.prepared: Any = None
        self.txn: Transaction | None = None
        self.made: list[Key] = []
        self.until = inf

    def wait(self, *, computing: bool = False) -> None:
        """Say that the answer needs a wait, ``computing`` for as long as a second; raises WouldBlock where that is not
        allowed."""
        if not self.may_wait:
            raise WouldBlock("computing" if computing else "callers")

    def write(self) -> Transaction:
        """The transaction of an operation that changes something."""
        if self.txn is None:
            raise RuntimeError("an operation that is not marked as changing something tried to")
        return self.txn

    def arn(self, key: Key) -> str:
        return self.services.layout.key(key.region, key.account, key.key_id)


def no_keys(_call: Call, _request: Any) -> tuple[KeyUse, ...]:
    return ()


def no_needs(_call: Call, _request: Any) -> tuple[Need, ...]:
    return ()


def no_check(_call: Call, _request: Any, _keys: Keys) -> None:
    return None


def never(_request: Any) -> bool:
    return False


def always(_request: Any) -> bool:
    return True


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """``run`` returns the response struct, or None for an empty answer.

    ``keys`` names the keys that are to be authorized, and refuses arguments that cannot be looked up; ``needs`` names
    the permissions that are about no key. An operation without either is refused to everybody, unless it is ``open``,
    which is for what AWS lets every caller do. ``check`` refuses what AWS
    refuses after the lookup and before usage and state. ``usage``: the KeyUsage that every key must have.
    ``changes``: it runs in a write transaction. ``prepare`` makes ready, once the request was authorized and outside
    the transaction, what takes long; the request is then authorized again inside. ``waits``: it reads the database by
    itself. ``computes``: whether a request will take up to a second of a processor. ``tracked``: a success is the key's
    last usage.
    """

    name: str
    run: Callable[[Call, Any, Keys], Any]
    keys: Callable[[Call, Any], tuple[KeyUse, ...]] = no_keys
    needs: Callable[[Call, Any], tuple[Need, ...]] = no_needs
    open: bool = False
    check: Callable[[Call, Any, Keys], None] = no_check
    prepare: Callable[[Call, Any, Keys], Any] | None = None
    usage: str | None = None
    changes: bool = False
    waits: bool = False
    computes: Callable[[Any], bool] = never
    tracked: bool = False


def on_key(
    permission: str, *, alias: Literal["allowed", "refused"] = "refused"
) -> Callable[[Call, Any], tuple[KeyUse, ...]]:
    """The keys of an operation that is about its KeyId and nothing else."""

    def keys(_call: Call, request: Any) -> tuple[KeyUse, ...]:
        return (KeyUse(permission, request.key_id, alias),)

    return keys


def in_account(permission: str) -> Callable[[Call, Any], tuple[Need, ...]]:
    """The needs of an operation that is about nothing but the caller's account."""
    needs = (Need(permission),)
    return lambda _call, _request: needs
