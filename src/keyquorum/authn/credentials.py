# SPDX-License-Identifier: Apache-2.0
"""From a request to its caller: the access key is looked up, the signature verified, nothing is believed before that.

A derived signing key is kept only once it has verified a request, with the credential that it belongs to, and goes when
that goes. The result of a verification is never kept.
"""

import hmac
from typing import Final, NoReturn

import msgspec
import sqlalchemy as sa

from keyquorum.authn import sigv4
from keyquorum.errors import (
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
    WouldBlock,
)
from keyquorum.keyring import Keyring
from keyquorum.model import ROOT, Caller, HttpRequest, Principal
from keyquorum.store.cache import Cache
from keyquorum.store.store import Store

_CACHED: Final = 4096
_DERIVED: Final = 16


class Credential(msgspec.Struct):
    """An access key, opened. ``derived``: credential scope -> signing key, and the caller that it proves, for scopes
    that have verified."""

    access_key_id: str
    principal: Principal
    secret: str
    derived: dict[bytes, tuple[hmac.HMAC, Caller]]

    def __repr__(self) -> str:
        return f"Credential({self.access_key_id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential holds a secret and is not pickled")


class Authenticator:
    """``stand_in``: whom unknown access keys and unsigned requests stand for, in development only; else None.
    ``regions``: the only ones that there are, or None for any."""

    def __init__(
        self, store: Store, keyring: Keyring, stand_in: Caller | None = None, regions: frozenset[str] | None = None
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._stand_in = stand_in
        self._regions = regions
        self._cache: Cache[Credential] = Cache(store.database.generations, _CACHED)

    def authenticate(self, http: HttpRequest, service: bytes, now: float, *, may_block: bool) -> Caller:
        """The caller, proven. ``now``: the machine's own clock. Raises as ``sigv4`` does, UnrecognizedClientException
        for an unknown access key, and WouldBlock."""
        try:
            signed = sigv4.parse(http, service, now)
        except MissingAuthenticationTokenException:
            if self._stand_in is None or _is_from_a_page(http):
                raise
            return self._stand_in
        if self._regions is not None and signed.region not in self._regions:
            raise InvalidSignatureException("Credential should be scoped to a valid region. ")
        name = signed.access_key_id
        credential = self._cache.get(name)
        if credential is None:
            try:
                credential = self._store.fetch(self._cache, name, lambda c: self._load(c, name), may_block=may_block)
            except WouldBlock:
                raise WouldBlock("strangers") from None
        if credential is None or signed.session_token is not None:
            if credential is None and self._stand_in is not None and not _is_from_a_page(http):
                return msgspec.structs.replace(self._stand_in, region=signed.region)
            # No session has been issued yet, so every session token is somebody else's.
            raise UnrecognizedClientException("The security token included in the request is invalid.")
        derived = credential.derived.get(signed.scope)
        if derived is not None:
            key, caller = derived
            sigv4.verify(http, signed, key)
            return caller
        key = sigv4.derive_key(credential.secret, signed.date, signed.region, signed.service)
        sigv4.verify(http, signed, key)
        caller = _caller(credential, signed.region)
        if len(credential.derived) >= _DERIVED:
            credential.derived.clear()
        credential.derived[signed.scope] = key, caller
        return caller

    def sweep(self) -> None:
        self._cache.sweep()

    def clear(self) -> None:
        self._cache.clear()

    def _load(self, connection: sa.Connection, access_key_id: str) -> Credential | None:
        found = self._store.identities.access_key(connection, access_key_id)
        if found is None:
            return None
        access_key, principal = found
        return Credential(access_key_id, principal, self._keyring.secret_of(access_key), {})


def _caller(credential: Credential, region: str) -> Caller:
    principal = credential.principal
    return Caller(
        principal.account,
        region,
        principal.arn,
        principal.account if principal.kind == ROOT else principal.principal_id,
        principal.kind,
        credential.access_key_id,
    )


def _is_from_a_page(http: HttpRequest) -> bool:
    """Whether a browser sent this for a web page: it says so with every POST, and no SDK does. A page whose host name
    was made to resolve to this machine (DNS rebinding) must not become root of a development server."""
    return b"origin" in http.by_name or b"sec-fetch-site" in http.by_name
