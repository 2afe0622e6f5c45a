# SPDX-License-Identifier: Apache-2.0
"""Who signed a request is looked up, verified, and believed only then; development's stand-in is for strangers only."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from sigv4_requests import ACCESS_KEY_ID, MISMATCH, SECRET, replaced, request_of, signed_by_botocore
from stored import ACCOUNT, MAC, NOW, REGION, database, keyring

from keyquorum.authn.credentials import Authenticator, Credential
from keyquorum.errors import (
    InvalidSignatureException,
    KMSError,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
    WouldBlock,
)
from keyquorum.keyring import Keyring
from keyquorum.model import ROOT, USER, Caller, HttpRequest, Principal
from keyquorum.store.store import Store

STAND_IN = Caller(ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ROOT)
UNSIGNED = request_of([(b"host", b"localhost"), (b"x-amz-target", b"TrentService.ListKeys")])


class Known(NamedTuple):
    store: Store
    keyring: Keyring

    def authenticator(self, stand_in: Caller | None = None) -> Authenticator:
        return Authenticator(self.store, self.keyring, stand_in)


@pytest.fixture
def known() -> Iterator[Known]:
    """A root whose access key is botocore's example, and a user."""
    with database(None) as opened:
        store, ring = Store(opened, MAC), keyring()
        for kind, name, access_key_id in ((ROOT, ROOT, ACCESS_KEY_ID), (USER, "alice", "AKIAALICE")):
            principal = Principal(f"AIDA{name}", ACCOUNT, kind, name)
            with opened.write() as txn:
                store.identities.insert_principal(txn, principal)
                access_key = ring.new_access_key(access_key_id, principal.principal_id, SECRET, NOW)
                store.identities.insert_access_key(txn, access_key)
        yield Known(store, ring)


def caller(authenticator: Authenticator, http: HttpRequest, *, may_block: bool = True) -> Caller:
    return authenticator.authenticate(http, b"kms", time.time(), may_block=may_block)


def cached(authenticator: Authenticator, access_key_id: str = ACCESS_KEY_ID) -> Credential | None:
    return authenticator._cache.get(access_key_id)


def by(access_key_id: str, http: HttpRequest) -> HttpRequest:
    return replaced(http, b"authorization", lambda v: v.replace(ACCESS_KEY_ID.encode(), access_key_id.encode()))


def test_the_caller_is_who_the_access_key_belongs_to_and_acts_where_it_signed_for(known: Known) -> None:
    authenticator = known.authenticator()
    assert caller(authenticator, signed_by_botocore(region="eu-west-1")) == Caller(
        ACCOUNT, "eu-west-1", f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ROOT, ACCESS_KEY_ID
    )
    with pytest.raises(InvalidSignatureException):
        caller(authenticator, replaced(signed_by_botocore(), b"x-amz-target", b"TrentService.Decrypt"))


def test_a_user_is_known_by_its_unique_id(known: Known) -> None:
    assert caller(known.authenticator(), by("AKIAALICE", signed_by_botocore())) == Caller(
        ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:user/alice", "AIDAalice", USER, "AKIAALICE"
    )


def test_a_signing_key_is_kept_only_once_it_has_verified_a_request(known: Known) -> None:
    authenticator = known.authenticator()
    good = signed_by_botocore()
    with pytest.raises(InvalidSignatureException, match=MISMATCH[:40]):
        caller(authenticator, request_of(good.headers, b"another body"))
    credential = cached(authenticator)
    assert credential is not None
    assert credential.derived == {}
    caller(authenticator, good)
    assert list(credential.derived) == [f"{time.strftime('%Y%m%d', time.gmtime())}/{REGION}/kms/aws4_request".encode()]
    with pytest.raises(InvalidSignatureException):
        caller(authenticator, request_of(good.headers, b"another body"))
    assert caller(authenticator, good, may_block=False).access_key_id == ACCESS_KEY_ID


def test_a_kept_signing_key_stands_for_its_own_caller_and_region(known: Known) -> None:
    authenticator = known.authenticator()
    for _ in range(2):
        for region in ("eu-west-1", REGION):
            assert caller(authenticator, signed_by_botocore(region=region)).region == region
            assert caller(authenticator, by("AKIAALICE", signed_by_botocore(region=region))).principal_id == "AIDAalice"


def test_signing_keys_of_many_regions_do_not_pile_up(known: Known) -> None:
    authenticator = known.authenticator()
    for number in range(40):
        caller(authenticator, signed_by_botocore(region=f"eu-west-{number}"))
    credential = cached(authenticator)
    assert credential is not None
    assert 0 < len(credential.derived) <= 16


def test_a_stranger_is_refused_and_leaves_nothing_behind(known: Known) -> None:
    authenticator = known.authenticator()
    for number in range(20):
        with pytest.raises(UnrecognizedClientException, match="security token included in the request is invalid"):
            caller(authenticator, by(f"AKIASTRANGER{number}", signed_by_botocore()))
    assert authenticator._cache._entries == {}
    with pytest.raises(MissingAuthenticationTokenException):
        caller(authenticator, UNSIGNED)


def test_nobody_has_a_session_yet_so_a_session_token_is_nobodys(known: Known) -> None:
    for authenticator in (known.authenticator(), known.authenticator(STAND_IN)):
        with pytest.raises(UnrecognizedClientException):
            caller(authenticator, signed_by_botocore(token="IQoJb3JpZ2luX2Vj"))


def test_the_stand_in_is_for_unknown_access_keys_and_unsigned_requests(known: Known) -> None:
    authenticator = known.authenticator(STAND_IN)
    assert caller(authenticator, UNSIGNED) == STAND_IN
    foreign = caller(authenticator, by("test", signed_by_botocore(region="ap-south-1")))
    assert foreign == Caller(ACCOUNT, "ap-south-1", STAND_IN.arn, ACCOUNT, ROOT)
    assert caller(authenticator, signed_by_botocore()).access_key_id == ACCESS_KEY_ID


@pytest.mark.parametrize(
    "says",
    [
        (b"origin", b"http://evil.example"),
        (b"origin", b"http://localhost"),
        (b"origin", b"null"),
        (b"origin", b""),
        (b"sec-fetch-site", b"same-origin"),
        (b"sec-fetch-site", b"cross-site"),
        (b"sec-fetch-site", b"none"),
    ],
    ids=lambda pair: b"-".join(pair).decode(),
)
def test_the_stand_in_is_not_for_web_pages(known: Known, says: tuple[bytes, bytes]) -> None:
    """A page whose host name was made to resolve to this machine is of the same origin: it needs no permission."""
    authenticator = known.authenticator(STAND_IN)
    with pytest.raises(MissingAuthenticationTokenException):
        caller(authenticator, request_of([*UNSIGNED.headers, says]))
    stranger = by("test", signed_by_botocore())
    with pytest.raises(UnrecognizedClientException):
        caller(authenticator, request_of([*stranger.headers, says], stranger.body))
    signed = signed_by_botocore()
    assert caller(authenticator, request_of([*signed.headers, says], signed.body)).access_key_id == ACCESS_KEY_ID


def test_an_access_key_that_is_looked_up_is_a_strangers_until_then(known: Known) -> None:
    """Whoever sent it waits where strangers do."""
    authenticator = known.authenticator()
    for http in (signed_by_botocore(), by("AKIASTRANGER", signed_by_botocore())):
        with pytest.raises(WouldBlock) as caught:
            caller(authenticator, http, may_block=False)
        assert caught.value.where == "strangers"


@pytest.mark.parametrize(
    "http",
    [
        request_of(signed_by_botocore().headers, b"another body"),
        replaced(signed_by_botocore(), b"authorization", b"AWS4-HMAC-SHA256 nonsense"),
        replaced(signed_by_botocore(), b"x-amz-date", b"20200101T000000Z"),
    ],
    ids=["wrong signature", "malformed", "old"],
)
def test_the_stand_in_is_not_for_a_bad_signature_of_a_known_access_key(known: Known, http: HttpRequest) -> None:
    with pytest.raises(KMSError):
        caller(known.authenticator(STAND_IN), http)


def test_an_access_key_that_is_not_cached_waits_for_the_database(known: Known) -> None:
    authenticator = known.authenticator()
    with pytest.raises(WouldBlock):
        caller(authenticator, signed_by_botocore(), may_block=False)
    caller(authenticator, signed_by_botocore())
    caller(authenticator, signed_by_botocore(), may_block=False)
    authenticator.clear()
    with pytest.raises(WouldBlock):
        caller(authenticator, signed_by_botocore(), may_block=False)


def test_a_credential_goes_with_its_signing_keys_when_its_access_key_changes(known: Known) -> None:
    authenticator = known.authenticator()
    caller(authenticator, signed_by_botocore())
    with known.store.database.write() as txn:
        txn.touch(ACCESS_KEY_ID)
        txn.connection.exec_driver_sql(f"DELETE FROM access_keys WHERE access_key_id = '{ACCESS_KEY_ID}'")
    with pytest.raises(WouldBlock):
        caller(authenticator, signed_by_botocore(), may_block=False)
    with pytest.raises(UnrecognizedClientException):
        caller(authenticator, signed_by_botocore())
    authenticator.sweep()
    assert authenticator._cache._entries == {}
