# SPDX-License-Identifier: Apache-2.0
"""Who signed a request is looked up, verified, and believed only then; development's stand-in is for strangers only.
So is who signed it with temporary credentials, or for many Regions at once."""

import base64
import time
from typing import Any

import pytest
from callers import SESSION, STAND_IN, UNSIGNED, Known, Temporary, by, cached, caller, issued
from sigv4_requests import ACCESS_KEY_ID, MISMATCH, SECRET, replaced, request_of, signed_by_botocore
from stored import ACCOUNT, NOW, REGION, keyring

from keyquorum.authn.credentials import Authenticator
from keyquorum.errors import (
    ExpiredTokenException,
    InvalidSignatureException,
    KMSError,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
    WouldBlock,
)
from keyquorum.model import ASSUMED_ROLE, ROLE, ROOT, USER, Caller, HttpRequest, Principal, Session


def test_the_caller_is_who_the_access_key_belongs_to_and_acts_where_it_signed_for(known: Known) -> None:
    authenticator = known.authenticator()
    assert caller(authenticator, signed_by_botocore(region="eu-west-1")) == Caller(
        ACCOUNT, "eu-west-1", f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, ROOT, ACCESS_KEY_ID, "AIDARoot"
    )
    with pytest.raises(InvalidSignatureException):
        caller(authenticator, replaced(signed_by_botocore(), b"x-amz-target", b"TrentService.Decrypt"))


def test_a_user_is_known_by_its_unique_id(known: Known) -> None:
    assert caller(known.authenticator(), by("AKIAALICE", signed_by_botocore())) == Caller(
        ACCOUNT, REGION, f"arn:aws:iam::{ACCOUNT}:user/alice", "AIDAalice", USER, "AKIAALICE", "AIDAalice"
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


def waits_among(authenticator: Authenticator, http: HttpRequest) -> str:
    with pytest.raises(WouldBlock) as caught:
        caller(authenticator, http, may_block=False)
    return caught.value.where


def test_a_change_makes_nobody_a_stranger(known: Known) -> None:
    """Whoever has signed before, and idled since, does not wait behind a flood when the account's identities change."""
    authenticator = known.authenticator()
    caller(authenticator, signed_by_botocore())
    with known.store.database.write() as txn:
        txn.touch(f"iam:{ACCOUNT}")
    assert waits_among(authenticator, signed_by_botocore()) == "callers"
    authenticator.write_uses()
    authenticator.sweep()
    assert waits_among(authenticator, signed_by_botocore()) == "callers"
    assert waits_among(authenticator, by("AKIAALICE", signed_by_botocore())) == "strangers"


def test_an_access_key_that_never_signed_or_is_gone_is_a_strangers(known: Known) -> None:
    authenticator = known.authenticator()
    with pytest.raises(InvalidSignatureException):
        caller(authenticator, request_of(signed_by_botocore().headers, b"another body"))
    authenticator._cache.clear()
    assert waits_among(authenticator, signed_by_botocore()) == "strangers"
    caller(authenticator, signed_by_botocore())
    with known.store.database.write() as txn:
        txn.touch(f"iam:{ACCOUNT}")
        txn.connection.exec_driver_sql(f"DELETE FROM access_keys WHERE access_key_id = '{ACCESS_KEY_ID}'")
    with pytest.raises(UnrecognizedClientException):
        caller(authenticator, signed_by_botocore())
    assert waits_among(authenticator, signed_by_botocore()) == "strangers"


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
        txn.touch(f"iam:{ACCOUNT}")
        txn.connection.exec_driver_sql(f"DELETE FROM access_keys WHERE access_key_id = '{ACCESS_KEY_ID}'")
    with pytest.raises(WouldBlock):
        caller(authenticator, signed_by_botocore(), may_block=False)
    with pytest.raises(UnrecognizedClientException):
        caller(authenticator, signed_by_botocore())
    authenticator.sweep()
    assert authenticator._cache._entries == {}


# -- temporary credentials


def test_the_session_of_a_role_is_the_caller(known: Known, role: Principal) -> None:
    credentials = issued(known, role)
    for _ in range(2):
        assert caller(known.authenticator(), credentials.signed()) == Caller(
            ACCOUNT,
            REGION,
            f"arn:aws:sts::{ACCOUNT}:assumed-role/tests/run-1",
            "AROATESTS:run-1",
            ASSUMED_ROLE,
            credentials.access_key_id,
            "AROATESTS",
            f"arn:aws:iam::{ACCOUNT}:role/ci/tests",
            SESSION,
        )


def test_the_session_of_a_user_is_the_user(known: Known) -> None:
    session = Session("", NOW, NOW + 900)
    alice = caller(
        known.authenticator(), issued(known, Principal("AIDAalice", ACCOUNT, USER, "alice"), session).signed()
    )
    assert (alice.kind, alice.arn, alice.session) == (USER, f"arn:aws:iam::{ACCOUNT}:user/alice", session)


@pytest.mark.parametrize("service", ["kms", "sts", "iam"])
def test_a_users_session_is_none_for_iam_without_a_second_factor(known: Known, service: str) -> None:
    """STS API reference, GetSessionToken."""
    signed = issued(known, Principal("AIDAalice", ACCOUNT, USER, "alice"), Session("", NOW, NOW + 900)).signed(service)
    authenticator = known.authenticator()
    if service != "iam":
        authenticator.authenticate(signed, service.encode(), time.time(), NOW, may_block=True)
        return
    with pytest.raises(UnrecognizedClientException):
        authenticator.authenticate(signed, b"iam", time.time(), NOW, may_block=True)


def test_a_roles_session_may_ask_iam(known: Known, role: Principal) -> None:
    signed = issued(known, role).signed("iam")
    assert known.authenticator().authenticate(signed, b"iam", time.time(), NOW, may_block=True).kind == ASSUMED_ROLE


def test_a_session_ends_at_its_second(known: Known, role: Principal) -> None:
    signed = issued(known, role).signed()
    authenticator = known.authenticator()
    authenticator.authenticate(signed, b"kms", time.time(), SESSION.expires_at - 0.001, may_block=True)
    with pytest.raises(ExpiredTokenException):
        authenticator.authenticate(signed, b"kms", time.time(), SESSION.expires_at, may_block=True)


def test_a_forged_request_does_not_learn_that_a_session_is_over(known: Known, role: Principal) -> None:
    signed = issued(known, role, Session("run-1", NOW - 100, NOW - 1)).signed()
    with pytest.raises(InvalidSignatureException):
        caller(known.authenticator(), request_of(signed.headers, b"another body"))


def _flipped(token: str, place: int) -> str:
    raw = bytearray(base64.b64decode(token))
    raw[place] ^= 1
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize("place", [0, 3, 4, 27, 28, 100, -17, -16, -1])
def test_a_token_with_a_bit_changed_is_nobodys(known: Known, role: Principal, place: int) -> None:
    """Version, nonce, content and tag."""
    credentials = issued(known, role)
    with pytest.raises(UnrecognizedClientException):
        caller(known.authenticator(), credentials.signed(token=_flipped(credentials.token, place)))


@pytest.mark.parametrize(
    "change", [lambda t: t[:-4], lambda t: t[4:], lambda t: "", lambda t: t + "AAAA", lambda t: "é"]
)
def test_a_token_that_is_cut_or_longer_is_nobodys(known: Known, role: Principal, change: Any) -> None:
    credentials = issued(known, role)
    http = replaced(credentials.signed(), b"x-amz-security-token", change(credentials.token).encode())
    with pytest.raises(UnrecognizedClientException):
        caller(known.authenticator(), http)


def test_a_token_has_one_spelling(known: Known, role: Principal) -> None:
    """Base64 leaves bits over at the end of some texts: they do not make another token."""
    for name in ("ab", "abc", "abcd"):
        credentials = issued(known, role, Session(name, NOW, NOW + 900))
        body = credentials.token.rstrip("=")
        if body == credentials.token:
            continue
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        other = alphabet[alphabet.index(body[-1]) ^ 1]
        respelled = body[:-1] + other + credentials.token[len(body) :]
        assert base64.b64decode(respelled) == base64.b64decode(credentials.token)
        with pytest.raises(UnrecognizedClientException):
            caller(known.authenticator(), credentials.signed(token=respelled))


def test_a_token_of_another_server_is_nobodys(known: Known, role: Principal) -> None:
    with pytest.raises(UnrecognizedClientException):
        caller(known.authenticator(), issued(known, role, ring=keyring()).signed())


def test_a_token_goes_with_its_own_access_key_alone(known: Known, role: Principal) -> None:
    """Each of two holders of sessions tries the other's token, and the other's name."""
    mine, theirs = issued(known, role), issued(known, role, Session("run-2", NOW, NOW + 900))
    for authenticator in (known.authenticator(), known.authenticator(STAND_IN)):
        for _ in range(2):
            with pytest.raises(UnrecognizedClientException):
                caller(authenticator, mine.signed(token=theirs.token))
            with pytest.raises(InvalidSignatureException):
                caller(authenticator, mine.signed(access_key_id=theirs.access_key_id, token=theirs.token))
            caller(authenticator, theirs.signed())


def test_a_session_key_is_nobody_without_its_token_and_a_users_key_with_one(known: Known, role: Principal) -> None:
    credentials = issued(known, role)
    unsigned = [pair for pair in signed_by_botocore().headers if pair[0] != b"x-amz-security-token"]
    http = replaced(
        request_of(unsigned),
        b"authorization",
        lambda v: v.replace(ACCESS_KEY_ID.encode(), credentials.access_key_id.encode()),
    )
    with pytest.raises(UnrecognizedClientException):
        caller(known.authenticator(), http)
    for token in (credentials.token, "IQoJb3JpZ2luX2Vj"):
        for authenticator in (known.authenticator(), known.authenticator(STAND_IN)):
            with pytest.raises(UnrecognizedClientException):
                caller(authenticator, signed_by_botocore(token=token))


def test_a_session_dies_with_its_role_even_if_another_gets_the_name(known: Known, role: Principal) -> None:
    signed = issued(known, role).signed()
    for authenticator in (known.authenticator(), known.authenticator(STAND_IN)):
        caller(authenticator, signed)
    with known.store.database.write() as txn:
        known.store.identities.delete(txn, role)
        known.store.identities.insert(txn, Principal("AROANEXT", ACCOUNT, ROLE, "tests", path="/ci/"))
    for authenticator in (known.authenticator(), known.authenticator(STAND_IN)):
        with pytest.raises(UnrecognizedClientException):
            caller(authenticator, signed)


def test_in_development_credentials_of_elsewhere_stand_for_the_root(known: Known) -> None:
    elsewhere = Temporary("ASIAELSEWHERE", SECRET, "IQoJb3JpZ2luX2Vj").signed()
    assert caller(known.authenticator(STAND_IN), elsewhere) == STAND_IN
    with pytest.raises(UnrecognizedClientException):
        caller(known.authenticator(), elsewhere)


@pytest.mark.parametrize("is_cached", [False, True])
def test_an_access_key_is_no_session_token(known: Known, is_cached: bool) -> None:
    """Of an access key and a token, neither is found by what the other is called."""
    authenticator = known.authenticator()
    if is_cached:
        caller(authenticator, signed_by_botocore())
    with pytest.raises(UnrecognizedClientException):
        caller(authenticator, Temporary(ACCESS_KEY_ID, SECRET, ACCESS_KEY_ID).signed())


def test_whoever_has_a_token_that_opens_does_not_wait_among_strangers(known: Known, role: Principal) -> None:
    signed = issued(known, role).signed()
    authenticator = known.authenticator()
    with pytest.raises(WouldBlock) as caught:
        caller(authenticator, signed, may_block=False)
    assert caught.value.where == "callers"
    caller(authenticator, signed)
    caller(authenticator, signed, may_block=False)


# -- the last use


def test_the_last_use_of_an_access_key_is_written_down(known: Known) -> None:
    authenticator = known.authenticator()
    caller(authenticator, signed_by_botocore(region="eu-west-1"))
    with pytest.raises(InvalidSignatureException):
        caller(authenticator, request_of(by("AKIAALICE", signed_by_botocore()).headers, b"another body"))
    authenticator.write_uses()
    assert authenticator.used == {}
    with known.store.database.read() as connection:
        assert known.store.access_keys.last_use(connection, ACCESS_KEY_ID) == (ACCESS_KEY_ID, NOW, "kms", "eu-west-1")
        assert known.store.access_keys.last_use(connection, "AKIAALICE") is None
