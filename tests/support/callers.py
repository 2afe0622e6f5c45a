# SPDX-License-Identifier: Apache-2.0
"""A store with a root and a user whose access keys are known, temporary credentials, and what an authenticator makes
of requests."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from sigv4_requests import ACCESS_KEY_ID, SECRET, received, replaced, request_of
from stored import ACCOUNT, MAC, NOW, REGION, database, keyring

from keyquorum import sessions
from keyquorum.authn.credentials import Authenticator, Credential
from keyquorum.keyring import Keyring
from keyquorum.model import ROLE, ROOT, USER, Caller, HttpRequest, Principal, Session
from keyquorum.store.store import Store

STAND_IN = Caller(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ROOT)
UNSIGNED = request_of([(b"host", b"localhost"), (b"x-amz-target", b"TrentService.ListKeys")])


class Known(NamedTuple):
    store: Store
    keyring: Keyring

    def authenticator(self, stand_in: Caller | None = None, regions: frozenset[str] | None = None) -> Authenticator:
        return Authenticator(self.store, self.keyring, REGION, stand_in, regions)

    def insert(self, principal: Principal) -> None:
        with self.store.database.write() as txn:
            self.store.identities.insert(txn, principal)


@contextmanager
def callers() -> Iterator[Known]:
    """A root whose access key is botocore's example, and a user."""
    with database(None) as opened:
        store, ring = Store(opened, MAC), keyring()
        for kind, name, access_key_id in ((ROOT, ROOT, ACCESS_KEY_ID), (USER, "alice", "AKIAALICE")):
            principal = Principal(f"AIDA{name}", ACCOUNT, kind, name)
            with opened.write() as txn:
                store.identities.insert(txn, principal)
                access_key = ring.new_access_key(access_key_id, principal.principal_id, SECRET, NOW)
                store.access_keys.insert(txn, access_key, principal)
        yield Known(store, ring)


def caller(authenticator: Authenticator, http: HttpRequest, *, may_block: bool = True) -> Caller:
    return authenticator.authenticate(http, b"kms", time.time(), NOW, may_block=may_block)


def cached(authenticator: Authenticator, access_key_id: str = ACCESS_KEY_ID) -> Credential | None:
    return authenticator._cache.get(access_key_id)


def by(access_key_id: str, http: HttpRequest) -> HttpRequest:
    return replaced(http, b"authorization", lambda v: v.replace(ACCESS_KEY_ID.encode(), access_key_id.encode()))


ROLE_OF_TESTS = Principal("AROATESTS", ACCOUNT, ROLE, "tests", path="/ci/")
SESSION = Session("run-1", NOW - 100, NOW + 100, tags=(("team", "blue"),))


class Temporary(NamedTuple):
    access_key_id: str
    secret: str
    token: str

    def signed(self, service: str = "kms", **changes: Any) -> HttpRequest:
        request = AWSRequest("POST", "http://localhost:8085/", data=b"{}", headers={"X-Amz-Target": "T.ListKeys"})
        credentials = Credentials(*self._replace(**changes))
        SigV4Auth(credentials, service, REGION).add_auth(request)
        return received(request)


def issued(known: Known, principal: Principal, session: Session = SESSION, ring: Keyring | None = None) -> Temporary:
    temporary, token = sessions.issue(ring or known.keyring, ACCOUNT, principal.principal_id, session)
    assert temporary.access_key_id.startswith("ASIA")
    return Temporary(temporary.access_key_id, temporary.secret, token)
