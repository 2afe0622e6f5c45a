# SPDX-License-Identifier: Apache-2.0
"""What the signer of AWS's own runtime (awscrt, behind botocore) signs by SigV4A verifies, which pins the key too."""

import os
import secrets
from collections.abc import Callable

import pytest
from botocore import auth, compat
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from sigv4_requests import ACCESS_KEY_ID, BODY, MISMATCH, SECRET, at, check, received, refusal, replaced

from keyquorum.authn import sigv4, sigv4a
from keyquorum.authn.canonical import SIGV4A
from keyquorum.errors import InvalidSignatureException
from keyquorum.model import HttpRequest

Sign = Callable[..., HttpRequest]


@pytest.fixture
def sign() -> Sign:
    if compat.awscrt is None:
        reason = "awscrt, without which botocore does not sign by SigV4A, is not installed"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    assert auth  # imported first: botocore.crt.auth and it import each other
    from botocore.crt.auth import CrtSigV4AsymAuth

    def signed_by_crt(
        url: str = "http://localhost:8085/",
        *,
        regions: str = "us-east-1",
        body: bytes = BODY,
        credentials: tuple[str, str, str | None] = (ACCESS_KEY_ID, SECRET, None),
    ) -> HttpRequest:
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.Encrypt"}
        request = AWSRequest("POST", url, data=body, headers=headers)
        CrtSigV4AsymAuth(Credentials(*credentials), "kms", regions).add_auth(request)
        return received(request)

    return signed_by_crt


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8085/",
        "https://kms.us-east-1.amazonaws.com/",
        "http://[::1]:8085/",
        "http://localhost:8085/a/b%20c/?x=1&b=%2F&a=%20&x=0",
    ],
)
@pytest.mark.parametrize("body", [BODY, b"", b"\0\xff" * 5000])
def test_awscrt_is_understood(sign: Sign, url: str, body: bytes) -> None:
    request = sign(url, body=body)
    signed = check(request, now=at(request))
    assert (signed.algorithm, signed.access_key_id, signed.region, signed.service) == (SIGV4A, ACCESS_KEY_ID, "", "kms")
    assert signed.region_set == ("us-east-1",)


def test_session_token_and_several_regions(sign: Sign) -> None:
    request = sign(regions="us-west-2,eu-*", credentials=(ACCESS_KEY_ID, SECRET, "c2Vzc2lvbg=="))
    signed = check(request, now=at(request))
    assert signed.session_token == b"c2Vzc2lvbg=="
    assert [sigv4a.covers(signed.region_set, region) for region in ("us-west-2", "eu-north-1", "us-east-1")] == [
        True,
        True,
        False,
    ]
    assert refusal(replaced(request, b"x-amz-region-set", b"*")) == (InvalidSignatureException, MISMATCH)


def test_keys_are_those_of_awscrt(sign: Sign) -> None:
    for _ in range(20):
        access_key_id, secret = "ASIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30)
        request = sign(credentials=(access_key_id, secret, None))
        signed = sigv4.parse(request, b"kms", at(request))
        sigv4a.verify(request, signed, sigv4a.derive_public_key(signed.access_key_id, secret))
