# SPDX-License-Identifier: Apache-2.0
"""Attacks on signature verification: only what was signed verifies, and all of it was signed."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from sigv4_requests import (
    ACCESS_KEY_ID,
    BODY,
    MISMATCH,
    SECRET,
    at,
    authorized,
    check,
    refusal,
    replaced,
    request_of,
    signed_by_botocore,
    stamp,
)

from keyquorum.authn import sigv4
from keyquorum.authn.canonical import canonical_request
from keyquorum.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
)

# -- what must verify


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8085/",
        "http://localhost/",
        "https://kms.us-east-1.amazonaws.com/",
        "https://kms.example.com:443/",
        "http://127.0.0.1:80/",
        "http://[::1]:8085/",
        "https://[2001:db8::1]/",
        "http://localhost:8085/a/b%20c/?x=1&b=%2F&a=%20&x=0",
    ],
)
def test_botocore_is_understood(url: str) -> None:
    request = signed_by_botocore(url)
    signed = check(request, now=at(request))
    assert (signed.access_key_id, signed.region, signed.service) == (ACCESS_KEY_ID, "us-east-1", "kms")
    assert signed.scope == stamp(request)[:8] + b"/us-east-1/kms/aws4_request"
    assert signed.session_token is None
    assert signed.headers[b"x-amz-target"] == b"TrentService.Encrypt"


@pytest.mark.parametrize("region", ["us-gov-west-1", "ap-southeast-2", "us-isob-east-1", "eusc-de-east-1"])
def test_regions(region: str) -> None:
    request = signed_by_botocore(region=region)
    assert check(request, now=at(request)).region == region


def test_session_token_is_returned_and_not_shown() -> None:
    request = signed_by_botocore(token="c2VjcmV0IHNlc3Npb24=")
    signed = check(request, now=at(request))
    assert signed.session_token == b"c2VjcmV0IHNlc3Npb24="
    assert "c2Vj" not in repr(signed)
    assert signed.signature.decode() not in repr(signed)


def test_another_service_for_its_route() -> None:
    request = signed_by_botocore(service="sts", body=b"Action=GetCallerIdentity&Version=2011-06-15")
    assert check(request, now=at(request), service=b"sts").service == "sts"


@pytest.mark.parametrize("body", [b"", b"\0\xff" * 5000])
def test_bodies(body: bytes) -> None:
    request = signed_by_botocore(body=body)
    check(request, now=at(request))


def test_order_of_headers_and_of_parameters_is_free() -> None:
    request = signed_by_botocore()
    check(request_of(request.headers[::-1]), now=at(request))

    def reorder(value: bytes) -> bytes:
        algorithm, _, parameters = value.partition(b" ")
        return algorithm + b" " + b",".join(part.strip() for part in reversed(parameters.split(b",")))

    check(authorized(request, reorder), now=at(request))
    check(authorized(request, lambda value: value.replace(b", ", b",")), now=at(request))


def test_blanks_around_and_runs_of_spaces_inside_of_values_do_not_count() -> None:
    request = signed_by_botocore(extra={"X-Amz-Meta": "one two"})
    check(replaced(request, b"x-amz-meta", b" \t one   two\t"), now=at(request))
    for other in (b"one\ttwo", b"onetwo", b"one two ,", b"one\x0btwo", b"one \x0ctwo"):
        assert refusal(replaced(request, b"x-amz-meta", other))[1] == MISMATCH


def test_date_header_serves_where_there_is_no_x_amz_date() -> None:
    """botocore signs so when the caller sets Date; AWS reads either of the two headers."""
    request = signed_by_botocore(extra={"Date": "to be replaced"})
    date = dict(request.headers)[b"date"]
    assert b"x-amz-date" not in dict(request.headers)
    sent = parsedate_to_datetime(date.decode()).replace(tzinfo=UTC)
    basic = sent.strftime("%Y%m%dT%H%M%SZ").encode()
    assert check(request, now=sent.timestamp()).timestamp == basic
    for other in (basic, sent.strftime("%a, %d %b %Y %H:%M:%S GMT").encode()):
        changed = replaced(request, b"date", other)
        assert sigv4.parse(changed, b"kms", sent.timestamp()).timestamp == basic
        assert refusal(changed, now=sent.timestamp()) == (InvalidSignatureException, MISMATCH)


# -- what was signed must arrive unchanged


@pytest.mark.parametrize("position", range(0, len(BODY), 7))
def test_changed_body(position: int) -> None:
    request = signed_by_botocore()
    body = bytearray(BODY)
    body[position] ^= 1
    assert refusal(request_of(request.headers, bytes(body))) == (InvalidSignatureException, MISMATCH)


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY[:-1]])
def test_body_of_another_length(body: bytes) -> None:
    request = signed_by_botocore()
    assert refusal(request_of(request.headers, body)) == (InvalidSignatureException, MISMATCH)


@pytest.mark.parametrize("name", [b"host", b"content-type", b"x-amz-target", b"x-amz-security-token"])
@pytest.mark.parametrize("change", [lambda v: v + b"x", lambda v: v.swapcase(), lambda v: v[:-1], lambda v: b""])
def test_changed_header(name: bytes, change: Callable[[bytes], bytes]) -> None:
    request = signed_by_botocore("http://localhost/", token="token")
    assert refusal(replaced(request, name, change)) == (InvalidSignatureException, MISMATCH)


@pytest.mark.parametrize("name", [b"host", b"content-type", b"x-amz-target"])
def test_signed_header_that_is_absent(name: bytes) -> None:
    request = signed_by_botocore()
    headers = [header for header in request.headers if header[0] != name]
    assert refusal(request_of(headers)) == (InvalidSignatureException, MISMATCH)


@pytest.mark.parametrize(
    ("method", "target"), [(b"GET", b"/"), (b"post", b"/"), (b"POST", b"/a"), (b"POST", b"/?a"), (b"POST", b"/%2e")]
)
def test_replay_to_another_method_or_target(method: bytes, target: bytes) -> None:
    request = signed_by_botocore()
    replayed = request_of(request.headers, target=target, method=method)
    assert refusal(replayed) == (InvalidSignatureException, MISMATCH)


def test_one_second_later_is_another_request() -> None:
    request = signed_by_botocore()
    later = datetime.fromtimestamp(at(request) + 1, UTC).strftime("%Y%m%dT%H%M%SZ").encode()
    other = replaced(request, b"x-amz-date", later)
    other = authorized(other, lambda value: value.replace(stamp(request)[:8], later[:8]))
    assert refusal(other) == (InvalidSignatureException, MISMATCH)


def test_another_secret() -> None:
    request = signed_by_botocore()
    with pytest.raises(InvalidSignatureException, match="does not match"):
        check(request, now=at(request), secret=SECRET[:-1])


@pytest.mark.parametrize(
    "signature", [b"0" * 64, b"\xff" * 64, b"0" * 63, b"0" * 65, b"a", b"UPPER", b"0" * 64 + b" 0" * 64]
)
def test_wrong_signature(signature: bytes) -> None:
    request = authorized(
        signed_by_botocore(),
        lambda value: value[:-64] + (value[-64:].upper() if signature == b"UPPER" else signature),
    )
    assert refusal(request) == (InvalidSignatureException, MISMATCH)


def test_key_of_another_day_region_or_service() -> None:
    request = signed_by_botocore()
    signed = sigv4.parse(request, b"kms", at(request))
    for scope in (
        ("20150830", "us-east-1", "kms"),
        (signed.date, "eu-west-1", "kms"),
        (signed.date, "us-east-1", "s3"),
    ):
        with pytest.raises(InvalidSignatureException):
            sigv4.verify(request, signed, sigv4.derive_key(SECRET, *scope))


def test_line_feed_cannot_move_text_from_one_header_to_another() -> None:
    """The canonical form of a header whose value bears a line feed would be that of two headers."""
    request = signed_by_botocore(extra={"X-Amz-A": "1", "X-Amz-B": "2"})
    merged = [
        (name, b"1\nx-amz-b:2" if name == b"x-amz-a" else value)
        for name, value in request.headers
        if name != b"x-amz-b"
    ]
    headers = [
        (name, value.replace(b"x-amz-a;x-amz-b", b"x-amz-a") if name == b"authorization" else value)
        for name, value in merged
    ]
    assert refusal(request_of(headers)) == (InvalidSignatureException, MISMATCH)
    injected = replaced(request, b"x-amz-a", b"1\nx")
    signed = sigv4.parse(injected, b"kms", at(request))
    with pytest.raises(InvalidSignatureException):
        canonical_request(injected, signed, b"")


# -- headers that are not covered, or that can be read in two ways


@pytest.mark.parametrize("name", ["X-Amz-Security-Token", "X-Amz-Target", "X-Amz-Anything", "X-Amz-Content-Sha256"])
def test_unsigned_x_amz_header(name: str) -> None:
    request = signed_by_botocore()
    headers = [header for header in request.headers if header[0] != name.lower().encode()]
    headers.append((name.lower().encode(), b"added"))
    headers = [
        (key, value.replace(b";x-amz-target", b"") if key == b"authorization" and "Target" in name else value)
        for key, value in headers
    ]
    text = f"'{name}' must be a 'SignedHeader' in the AWS Authorization."
    assert refusal(request_of(headers)) == (InvalidSignatureException, text)


def test_unsigned_host() -> None:
    request = authorized(signed_by_botocore(), lambda value: value.replace(b"host;", b""))
    text = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
    assert refusal(request) == (InvalidSignatureException, text)


@pytest.mark.parametrize(
    "name", [b"host", b"authorization", b"content-type", b"x-amz-date", b"x-amz-target", b"x-amz-q"]
)
@pytest.mark.parametrize("first", [True, False])
def test_header_that_comes_twice(name: bytes, first: bool) -> None:
    request = signed_by_botocore(extra={"X-Amz-Q": "1"})
    again = (name, dict(request.headers)[name])
    headers = [again, *request.headers] if first else [*request.headers, again]
    text = f"The request has more than one '{name.title().decode()}' header."
    assert refusal(request_of(headers)) == (InvalidSignatureException, text)


def test_other_header_that_comes_twice_is_joined() -> None:
    request = signed_by_botocore(extra={"X-Other": "1,2  3"})
    headers = [header for header in request.headers if header[0] != b"x-other"]
    assert check(request_of([*headers, (b"x-other", b" 1"), (b"x-other", b"2  3 ")]), now=at(request))
    assert refusal(request_of([*headers, (b"x-other", b"2 3"), (b"x-other", b"1")]))[1] == MISMATCH


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.replace(b"host;", b"Host;"),
        lambda value: value.replace(b"x-amz-target", b"X-Amz-Target"),
        lambda value: value.replace(b"host;", b"host;absent;"),
        lambda value: value.replace(b"host;", b"host;host;"),
        lambda value: value.replace(b"host;x-amz-date", b"x-amz-date;host"),
        lambda value: value.replace(b"content-type;", b"content-type ;"),
        lambda value: value.replace(b"content-type;", b""),
        lambda value: value.replace(b"Credential=", b"credential="),
        lambda value: value.replace(b"SignedHeaders=", b"signedheaders="),
        lambda value: value.replace(b"Signature=", b"signature="),
        lambda value: value.replace(b"Signature=", b"Signature= "),
        lambda value: value.replace(b", Signature", b", Signature=" + b"0" * 64 + b", Signature"),
        lambda value: value + b", Signature=" + b"0" * 64,
        lambda value: value + value,
        lambda value: value.replace(b"Credential=", b"Credential=a/b/c/d/e, Credential="),
        lambda value: value.replace(b"SignedHeaders=", b"SignedHeaders=host, SignedHeaders="),
        lambda value: value.replace(b"HMAC-SHA256 ", b"HMAC-SHA256\t"),
        lambda value: value.lower(),
        lambda value: value.replace(b"aws4_request", b"AWS4_REQUEST"),
        lambda value: value.replace(b"us-east-1", b"us-east-1 "),
        lambda value: value.replace(b"/kms/", b"/KMS/"),
        lambda value: value.replace(b"/kms/", b"/kms%2F/"),
    ],
)
def test_games_with_the_authorization_header(change: Callable[[bytes], bytes]) -> None:
    request = signed_by_botocore()
    changed = authorized(request, change)
    assert changed != request
    code, message = refusal(changed)
    assert code in (IncompleteSignatureException, InvalidSignatureException)
    assert dict(request.headers)[b"authorization"][-64:].decode() not in message


# -- the payload


@pytest.mark.parametrize(
    "claim",
    [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        hashlib.sha256(b"another body").hexdigest(),
        hashlib.sha256(BODY).hexdigest().upper(),
        "",
    ],
)
def test_payload_hash_is_computed_and_never_believed(claim: str) -> None:
    """botocore puts the claim into the canonical request, as a lenient server would: the signature itself is right."""
    request = signed_by_botocore(extra={"X-Amz-Content-SHA256": claim})
    text = "The provided 'x-amz-content-sha256' header does not match what was computed."
    assert refusal(request) == (InvalidSignatureException, text)


def test_right_payload_hash_is_accepted() -> None:
    request = signed_by_botocore(extra={"X-Amz-Content-SHA256": hashlib.sha256(BODY).hexdigest()})
    check(request, now=at(request))
