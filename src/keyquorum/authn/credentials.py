# SPDX-License-Identifier: Apache-2.0
"""From a request to its caller: the access key is looked up, or the session token opened, the signature verified, and
nothing is believed before that.

A derived signing key is kept only once it has verified a request, with the credential that it belongs to, and goes when
that goes. The result of a verification is never kept.

Under SigV4A nobody signs for one Region: ``in_region`` says, once the request has been read, which one it is for.
"""

import hmac
from collections.abc import Callable
from typing import Final, Literal, NoReturn

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from keyquorum import sessions
from keyquorum.authn import sigv4, sigv4a
from keyquorum.authn.canonical import SIGV4A, SignedRequest, mismatch
from keyquorum.errors import (
    ExpiredTokenException,
    IntegrityError,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
    WouldBlock,
)
from keyquorum.keyring import Keyring
from keyquorum.model import (
    ASSUMED_ROLE,
    ROLE,
    ROOT,
    AccessKey,
    Caller,
    HttpRequest,
    Principal,
    Session,
    identities_name,
)
from keyquorum.store.access_keys import LastUse
from keyquorum.store.cache import Cache
from keyquorum.store.store import Store

_CACHED: Final = 4096
_DERIVED: Final = 16
_BATCH: Final = 500

Pool = Literal["strangers", "callers"]


class Credential(msgspec.Struct):
    """An access key, or temporary credentials, opened. ``secret`` is None for an access key of which only the public
    key is known. ``derived``: credential scope -> signing key, and the caller that it proves, for scopes that have
    verified. ``public_key`` is what SigV4A verifies with, once it is known."""

    access_key_id: str
    principal: Principal
    secret: str | None
    derived: dict[bytes, tuple[hmac.HMAC, Caller]] = {}
    session: Session | None = None
    public_key: ec.EllipticCurvePublicKey | None = None

    def __repr__(self) -> str:
        return f"Credential({self.access_key_id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential holds a secret and is not pickled")


class Authenticator:
    """``region`` is the Region of requests that are signed for many and name none. ``stand_in``: whom unknown access
    keys and unsigned requests stand for, in development only; else None. ``regions``: the only ones that there are, or
    None for any. ``used``: access key ID -> its last use, as far as it is not written."""

    def __init__(
        self,
        store: Store,
        keyring: Keyring,
        region: str,
        stand_in: Caller | None = None,
        regions: frozenset[str] | None = None,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._region = region
        self._stand_in = stand_in
        self._regions = regions
        # Two caches, so that what one kind of credential is called can never be found as another's.
        self._cache: Cache[Credential] = Cache(store.database.generations, _CACHED)
        self._session_cache: Cache[Credential] = Cache(store.database.generations, _CACHED)
        self.caches = {"access_keys": self._cache, "sessions": self._session_cache}
        self._proved: dict[str, None] = {}  # access keys that have verified a request: no strangers' any more
        self.used: dict[str, LastUse] = {}

    def authenticate(
        self, http: HttpRequest, service: bytes, machine_time: float, now: float, *, may_block: bool
    ) -> Caller:
        """The caller, proven. ``machine_time`` is what signatures are held against, ``now`` what sessions are.

        Raises as ``sigv4`` does, UnrecognizedClientException for an unknown access key or session token,
        ExpiredTokenException, and WouldBlock.
        """
        try:
            signed = sigv4.parse(http, service, machine_time)
        except MissingAuthenticationTokenException:
            if self._stand_in is None or _is_from_a_page(http):
                raise
            return self._stand_in
        if signed.algorithm != SIGV4A:
            self._check(signed.region)
        if signed.session_token is None:
            credential = self._long_term(signed.access_key_id, may_block=may_block)
        else:
            credential = self._temporary(signed.access_key_id, signed.session_token, may_block=may_block)
        if credential is None:
            return self._stranger(http, signed, may_block=may_block)
        caller = self._proven(http, signed, credential)
        session = credential.session
        if session is None:
            name = credential.access_key_id
            self.used[name] = LastUse(name, now, signed.service, caller.region)
            if name not in self._proved:
                if len(self._proved) >= _CACHED:
                    self._proved.clear()
                self._proved[name] = None
        elif now >= session.expires_at:
            raise ExpiredTokenException("The security token included in the request is expired")
        elif service == b"iam" and not caller.is_for_iam:
            raise _unknown()
        return caller

    def in_region(self, caller: Caller, region: str | None) -> Caller:
        """``caller`` where its request is to act: in the Region that it names, if it names one. Raises
        InvalidSignatureException if that is none of those that were signed for."""
        region = region or self._region
        self._check(region)
        if not sigv4a.covers(caller.region_set, region):
            raise InvalidSignatureException(f"The X-Amz-Region-Set that was signed does not cover {region}.")
        return msgspec.structs.replace(caller, region=region)

    def write_uses(self) -> None:
        """Write down the last uses of access keys, in batches, so that nobody waits long for the write lock."""
        noted = list(self.used.items())
        for start in range(0, len(noted), _BATCH):
            batch = noted[start : start + _BATCH]
            with self._store.database.write() as txn:
                self._store.access_keys.record(txn, [use for _, use in batch])
            for name, use in batch:
                if self.used.get(name) is use:  # else it was used again meanwhile
                    self.used.pop(name, None)

    def sweep(self) -> None:
        self._cache.sweep()
        self._session_cache.sweep()

    def clear(self) -> None:
        self._cache.clear()
        self._session_cache.clear()
        self._proved.clear()
        self.used.clear()

    def _check(self, region: str) -> None:
        if self._regions is not None and region not in self._regions:
            raise InvalidSignatureException("Credential should be scoped to a valid region. ")

    def _stranger(self, http: HttpRequest, signed: SignedRequest, *, may_block: bool) -> Caller:
        """Nobody, but in development. It takes a token that does not open for one of another server."""
        if self._stand_in is None or _is_from_a_page(http):
            raise _unknown()
        if signed.session_token is not None and self._long_term(signed.access_key_id, may_block=may_block) is not None:
            raise _unknown()
        region = signed.region or self._region
        return msgspec.structs.replace(self._stand_in, region=region, region_set=signed.region_set)

    def _proven(self, http: HttpRequest, signed: SignedRequest, credential: Credential) -> Caller:
        if signed.algorithm == SIGV4A:
            if credential.public_key is None:
                credential.public_key = sigv4a.derive_public_key(credential.access_key_id, credential.secret or "")
            sigv4a.verify(http, signed, credential.public_key)
            return msgspec.structs.replace(_caller(credential, self._region), region_set=signed.region_set)
        known = credential.derived.get(signed.scope)
        if known is not None:
            key, caller = known
            sigv4.verify(http, signed, key)
            return caller
        if credential.secret is None:
            raise mismatch("the access key signs with SigV4A alone")
        key = sigv4.derive_key(credential.secret, signed.date, signed.region, signed.service)
        sigv4.verify(http, signed, key)
        caller = _caller(credential, signed.region)
        if len(credential.derived) >= _DERIVED:
            credential.derived.clear()
        credential.derived[signed.scope] = key, caller
        return caller

    def _long_term(self, access_key_id: str, *, may_block: bool) -> Credential | None:
        """A change to the account's identities makes nobody a stranger who was known before."""
        credential = self._fetch(
            self._cache,
            access_key_id,
            lambda c: self._load(c, access_key_id),
            "callers" if access_key_id in self._proved else "strangers",
            may_block=may_block,
        )
        if credential is None:
            self._proved.pop(access_key_id, None)
        return credential

    def _temporary(self, access_key_id: str, token: bytes, *, may_block: bool) -> Credential | None:
        """The credential that a session token stands for, or None for one that was not issued here. One that was, and
        is of another access key, or of a user or role that is gone, is refused."""
        name = token.decode("latin-1")
        credential = self._session_cache.get(name)
        if credential is None:
            temporary = sessions.open_token(self._keyring, token)
            if temporary is None:
                return None
            # Whoever has a token that opens is no stranger.
            credential = self._fetch(
                self._session_cache, name, lambda c: self._of_session(c, temporary), "callers", may_block=may_block
            )
        if credential is None or credential.access_key_id != access_key_id:
            raise _unknown()
        return credential

    def _fetch(
        self,
        cache: Cache[Credential],
        name: str,
        load: Callable[[sa.Connection], Credential | None],
        pool: Pool,
        *,
        may_block: bool,
    ) -> Credential | None:
        try:
            return self._store.fetch(
                cache, name, load, may_block=may_block, under=lambda c: identities_name(c.principal.account)
            )
        except WouldBlock:
            raise WouldBlock(pool) from None

    def _load(self, connection: sa.Connection, access_key_id: str) -> Credential | None:
        access_key = self._store.access_keys.load(connection, access_key_id)
        if access_key is None or access_key.status != "Active":
            return None
        principal = self._store.identities.by_id(connection, access_key.principal_id)
        if principal is None:
            raise IntegrityError(f"access key {access_key_id} has lost its principal")
        if access_key.public_key is None:
            return Credential(access_key_id, principal, self._keyring.secret_of(access_key))
        return Credential(access_key_id, principal, None, public_key=_public_key(access_key))

    def _of_session(self, connection: sa.Connection, temporary: sessions.Temporary) -> Credential | None:
        """None once the user or role is gone: one that was made again under its name has another ID."""
        principal = self._store.identities.by_id(connection, temporary.identity_id)
        if principal is None or principal.account != temporary.account:
            return None
        return Credential(temporary.access_key_id, principal, temporary.secret, session=temporary.session)


def _unknown() -> UnrecognizedClientException:
    return UnrecognizedClientException("The security token included in the request is invalid.")


def _public_key(access_key: AccessKey) -> ec.EllipticCurvePublicKey:
    key = load_der_public_key(access_key.public_key or b"")
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise IntegrityError(f"the public key of access key {access_key.access_key_id} is of another type")
    return key


def _caller(credential: Credential, region: str) -> Caller:
    principal, session = credential.principal, credential.session
    account, unique_id = principal.account, principal.principal_id
    if principal.kind == ROLE and session is not None:
        return Caller(
            account,
            region,
            f"arn:aws:sts::{account}:assumed-role/{principal.name}/{session.name}",
            f"{unique_id}:{session.name}",
            ASSUMED_ROLE,
            credential.access_key_id,
            unique_id,
            principal.arn,
            session,
        )
    shown = account if principal.kind == ROOT else unique_id
    return Caller(
        account, region, principal.arn, shown, principal.kind, credential.access_key_id, unique_id, None, session
    )


def _is_from_a_page(http: HttpRequest) -> bool:
    """Whether a browser sent this for a web page: it says so with every POST, and no SDK does. A page whose host name
    was made to resolve to this machine (DNS rebinding) must not become root of a development server."""
    return b"origin" in http.by_name or b"sec-fetch-site" in http.by_name
