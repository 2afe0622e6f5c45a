# SPDX-License-Identifier: Apache-2.0
"""AWS's own Signature Version 4 suite (awslabs/aws-c-auth, tests/aws-signing-test-suite/v4), header signing."""

import hmac
from pathlib import Path

import pytest
from signing_suite import CASES, S3_ONLY, SAME_UNDER_BOTH, SERVICE, TOKEN_ADDED_AFTERWARDS, Case, read_request, tampered

from keyquorum.authn import sigv4
from keyquorum.authn.canonical import canonical_request, string_to_sign
from keyquorum.errors import InvalidSignatureException

START = b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"


def key(case: Case, signed: sigv4.SignedRequest) -> hmac.HMAC:
    return sigv4.derive_key(case.credentials["secret_access_key"], signed.date, signed.region, signed.service)


@pytest.fixture
def case(request: pytest.FixtureRequest, vectors_dir: Path) -> Case:
    return Case(vectors_dir / "sigv4" / request.param)


def test_no_case_is_overlooked(vectors_dir: Path) -> None:
    published = {path.name for path in (vectors_dir / "sigv4").iterdir() if path.is_dir()}
    assert published == {*CASES, *S3_ONLY, *SAME_UNDER_BOTH}


@pytest.mark.parametrize("case", [*CASES, *SAME_UNDER_BOTH], indirect=True)
def test_each_step_of_signing(case: Case) -> None:
    """From the unsigned request: canonical request, string to sign and signature are those of the suite."""
    request = case.unsigned(START, [])
    signed = sigv4.parse(request, SERVICE, case.now)
    canonical = canonical_request(request, signed, case.payload_hash())
    assert canonical == case.read("header-canonical-request.txt")
    to_sign = string_to_sign(signed, canonical)
    assert to_sign == case.read("header-string-to-sign.txt")
    keyed = key(case, signed)
    keyed.update(to_sign)
    assert keyed.hexdigest().encode() == case.read("header-signature.txt")


@pytest.mark.parametrize("case", [*CASES, *SAME_UNDER_BOTH], indirect=True)
def test_signed_request_verifies_and_no_other_does(case: Case) -> None:
    request = case.signed()
    signed = sigv4.parse(request, SERVICE, case.now)
    assert (signed.access_key_id, signed.region) == (case.credentials["access_key_id"], case.context["region"])
    assert signed.session_token == (case.token.encode() if case.token else None)
    sigv4.verify(request, signed, key(case, signed))

    with pytest.raises(InvalidSignatureException):
        sigv4.verify(request, signed, sigv4.derive_key("another", signed.date, signed.region, signed.service))
    for changed in tampered(request):
        claims = sigv4.parse(changed, SERVICE, case.now)
        with pytest.raises(InvalidSignatureException):
            sigv4.verify(changed, claims, key(case, claims))


@pytest.mark.parametrize("case", [TOKEN_ADDED_AFTERWARDS], indirect=True)
def test_token_that_was_added_afterwards_is_refused(case: Case) -> None:
    with pytest.raises(InvalidSignatureException, match="'X-Amz-Security-Token' must be a 'SignedHeader'"):
        sigv4.parse(read_request(case.read("header-signed-request.txt")), SERVICE, case.now)


@pytest.mark.parametrize("case", S3_ONLY, indirect=True)
def test_path_signed_by_the_rule_of_s3_does_not_verify(case: Case) -> None:
    assert case.context["normalize"] is False
    request = case.signed()
    signed = sigv4.parse(request, SERVICE, case.now)
    with pytest.raises(InvalidSignatureException):
        sigv4.verify(request, signed, key(case, signed))
