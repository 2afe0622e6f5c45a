# SPDX-License-Identifier: Apache-2.0
"""Who signed for many Regions at once is looked up and verified like everybody."""

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from callers import Known, cached, caller, issued
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sigv4_requests import MISMATCH, SECRET, received, request_of
from sigv4a_requests import private_key, signed_asymmetrically
from stored import ACCOUNT, NOW, REGION

from keyquorum.errors import (
    InvalidSignatureException,
)
from keyquorum.keyring import access_key_without_secret
from keyquorum.model import ASSUMED_ROLE, USER, Principal


def test_the_public_key_follows_from_the_secret_and_is_kept(known: Known) -> None:
    authenticator = known.authenticator()
    http = signed_asymmetrically(regions="eu-*,us-east-1")
    found = caller(authenticator, http)
    assert (found.arn, found.region_set) == (f"arn:aws:iam::{ACCOUNT}:root", ("eu-*", "us-east-1"))
    credential = cached(authenticator)
    assert credential is not None
    assert credential.public_key is not None
    assert credential.derived == {}
    with pytest.raises(InvalidSignatureException, match=MISMATCH[:40]):
        caller(authenticator, request_of(http.headers, b"another body"))


def test_a_request_for_many_regions_acts_where_it_says_if_it_is_signed_for_that(known: Known) -> None:
    authenticator = known.authenticator()
    found = caller(authenticator, signed_asymmetrically(regions="us-east-1,eu-*"))
    assert authenticator.in_region(found, None).region == REGION
    assert authenticator.in_region(found, "eu-west-1").region == "eu-west-1"
    for region in ("ap-south-1", "xeu-west-1", "us-east-11"):
        with pytest.raises(InvalidSignatureException):
            authenticator.in_region(found, region)


def test_a_region_that_there_is_not_is_not_covered_by_any(known: Known) -> None:
    authenticator = known.authenticator(regions=frozenset({REGION}))
    found = caller(authenticator, signed_asymmetrically(regions="*"))
    assert authenticator.in_region(found, REGION).region == REGION
    with pytest.raises(InvalidSignatureException, match="valid region"):
        authenticator.in_region(found, "eu-west-1")


def test_of_an_access_key_without_a_secret_only_the_public_key_is_known(known: Known) -> None:
    public = private_key("AKIACAROL", SECRET).public_key()
    stored = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    carol = Principal("AIDAcarol", ACCOUNT, USER, "carol")
    access_key = access_key_without_secret("AKIACAROL", carol.principal_id, stored, NOW)
    assert access_key is not None
    with known.store.database.write() as txn:
        known.store.identities.insert(txn, carol)
        known.store.access_keys.insert(txn, access_key, carol)
    authenticator = known.authenticator()
    unproven = Credentials("AKIACAROL", SECRET)
    request = AWSRequest("POST", "http://localhost:8085/", data=b"{}", headers={"X-Amz-Target": "T.ListKeys"})
    SigV4Auth(unproven, "kms", REGION).add_auth(request)
    for _ in range(2):
        with pytest.raises(InvalidSignatureException, match=MISMATCH[:40]):
            caller(authenticator, received(request))
    signed = signed_asymmetrically(key=private_key("AKIACAROL"), access_key_id="AKIACAROL")
    assert caller(authenticator, signed).principal_id == "AIDAcarol"


def test_a_session_signs_for_many_regions_too(known: Known, role: Principal) -> None:
    credentials = issued(known, role)
    key = private_key(credentials.access_key_id, credentials.secret)
    authenticator = known.authenticator()
    signed = signed_asymmetrically(token=credentials.token, key=key, access_key_id=credentials.access_key_id)
    assert caller(authenticator, signed).kind == ASSUMED_ROLE
    other = ec.generate_private_key(ec.SECP256R1())
    forged = signed_asymmetrically(token=credentials.token, key=other, access_key_id=credentials.access_key_id)
    with pytest.raises(InvalidSignatureException):
        caller(authenticator, forged)
