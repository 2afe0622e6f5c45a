# SPDX-License-Identifier: Apache-2.0
"""AWS's own Signature Version 4A suite (awslabs/aws-c-auth, tests/aws-signing-test-suite/v4a).

ECDSA signatures are made with a random number, so that they can be verified and not made again. Of signatures in the
query string, which we refuse, canonical form and string to sign are compared.
"""

import json
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from signing_suite import CASES, S3_ONLY, SAME_UNDER_BOTH, SERVICE, TOKEN_ADDED_AFTERWARDS, Case, read_request, tampered

from keyquorum.authn import sigv4, sigv4a
from keyquorum.authn.canonical import canonical_request, joined, string_to_sign
from keyquorum.errors import IncompleteSignatureException, InvalidSignatureException
from keyquorum.model import HttpRequest

START = b"AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/20150830/service/aws4_request"
REGIONS = (b"x-amz-region-set", b"us-east-1")
ONLY_REQUESTS = ["get-vanilla-query-order-key", "get-vanilla-query-order-value"]  # published without what they sign to


def key(case: Case) -> ec.EllipticCurvePublicKey:
    return sigv4a.derive_public_key(case.credentials["access_key_id"], case.credentials["secret_access_key"])


@pytest.fixture
def case(request: pytest.FixtureRequest, vectors_dir: Path) -> Case:
    return Case(vectors_dir / "sigv4a" / request.param)


def test_no_case_is_overlooked(vectors_dir: Path) -> None:
    published = {path.name for path in (vectors_dir / "sigv4a").iterdir() if path.is_dir()}
    assert published == {*CASES, *S3_ONLY, *SAME_UNDER_BOTH, *ONLY_REQUESTS}


@pytest.mark.parametrize("case", [*CASES, *S3_ONLY, *SAME_UNDER_BOTH], indirect=True)
def test_public_key(case: Case) -> None:
    published = json.loads(case.read("public-key.json"))
    assert published.keys() == {"X", "Y"}
    numbers = key(case).public_numbers()
    assert (numbers.x, numbers.y) == (int(published["X"], 16), int(published["Y"], 16))


@pytest.mark.parametrize("case", [*CASES, *SAME_UNDER_BOTH], indirect=True)
def test_each_step_of_signing(case: Case) -> None:
    """From the unsigned request: canonical request and string to sign are those of the suite, whose signature fits."""
    request = case.unsigned(START, [REGIONS])
    signed = sigv4.parse(request, SERVICE, case.now)
    canonical = canonical_request(request, signed, case.payload_hash())
    assert canonical == case.read("header-canonical-request.txt")
    assert string_to_sign(signed, canonical) == case.read("header-string-to-sign.txt")
    claimed = msgspec.structs.replace(signed, signature=case.read("header-signature.txt"))
    sigv4a.verify(request, claimed, key(case))
    with pytest.raises(InvalidSignatureException):
        sigv4a.verify(request, signed, key(case))


@pytest.mark.parametrize("case", [*CASES, *SAME_UNDER_BOTH], indirect=True)
def test_signed_request_verifies_and_no_other_does(case: Case) -> None:
    request = case.signed()
    signed = sigv4.parse(request, SERVICE, case.now)
    assert (signed.access_key_id, signed.region) == (case.credentials["access_key_id"], "")
    assert signed.region_set == (case.context["region"],)
    assert signed.session_token == (case.token.encode() if case.token else None)
    sigv4a.verify(request, signed, key(case))

    with pytest.raises(InvalidSignatureException):
        sigv4a.verify(request, signed, sigv4a.derive_public_key("AKIDEXAMPLE", "another"))
    for changed in tampered(request):
        claims = sigv4.parse(changed, SERVICE, case.now)
        with pytest.raises(InvalidSignatureException):
            sigv4a.verify(changed, claims, key(case))


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
        sigv4a.verify(request, signed, key(case))


@pytest.mark.parametrize("case", [*CASES, *SAME_UNDER_BOTH], indirect=True)
def test_query_string(case: Case) -> None:
    published = read_request(case.read("query-signed-request.txt"))
    target, _, signature = published.target.partition(b"&X-Amz-Signature=")
    assert signature
    if case.directory.name == TOKEN_ADDED_AFTERWARDS:
        target = b"&".join(part for part in target.split(b"&") if not part.startswith(b"X-Amz-Security-Token="))
    request = HttpRequest(published.method, target, published.headers, published.body, published.peer)
    names, payload_hash = case.read("query-canonical-request.txt").rsplit(b"\n", 2)[1:]
    # Where the claims come from differs; the canonical form of what they cover does not.
    header = sigv4.parse(case.unsigned(START, [REGIONS]), SERVICE, case.now)
    headers = joined(request.headers)
    signed = msgspec.structs.replace(header, headers=headers, signed_headers=tuple(names.split(b";")))
    canonical = canonical_request(request, signed, payload_hash)
    assert canonical == case.read("query-canonical-request.txt")
    assert string_to_sign(signed, canonical) == case.read("query-string-to-sign.txt")
    with pytest.raises(IncompleteSignatureException, match="Query-string authentication is not supported"):
        sigv4.parse(published, SERVICE, case.now)
