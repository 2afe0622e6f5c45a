# SPDX-License-Identifier: Apache-2.0
"""What signature verification answers to requests that are incomplete, malformed, late or arbitrary bytes."""

import base64
import hashlib
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sigv4_requests import (
    ACCESS_KEY_ID,
    Headers,
    at,
    authorized,
    check,
    refusal,
    replaced,
    request_of,
    signed_by_botocore,
    stamp,
)

from keyquorum.errors import (
    IncompleteSignatureException,
    InvalidSignatureException,
    KMSError,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)

# -- what is missing or malformed, each with its text


def missing(*names: str) -> str:
    return " ".join(f"Authorization header requires '{name}' parameter." for name in names)


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        (b"AWS4-HMAC-SHA256", missing("Credential", "Signature", "SignedHeaders")),
        (b"AWS4-HMAC-SHA256 ", missing("Credential", "Signature", "SignedHeaders")),
        (b"AWS4-HMAC-SHA256 Credential=a/b/c/d/e", missing("Signature", "SignedHeaders")),
        (b"AWS4-HMAC-SHA256 Credential=a, Signature=b", missing("SignedHeaders")),
        (b"AWS4-HMAC-SHA256 Signature=b, SignedHeaders=host", missing("Credential")),
        (
            b"AWS4-HMAC-SHA256 Credential=, Signature=, SignedHeaders=;",
            missing("Credential", "Signature", "SignedHeaders"),
        ),
        (b"AWS4-HMAC-SHA256 Other=1", missing("Credential", "Signature", "SignedHeaders")),
    ],
)
def test_missing_parameters(authorization: bytes, text: str) -> None:
    request = authorized(signed_by_botocore(), authorization)
    digest = base64.b64encode(hashlib.sha256(authorization).digest()).decode()
    text += f" (Hashed with SHA-256 and encoded with Base64) Authorization={digest}"
    assert refusal(request) == (IncompleteSignatureException, text)


def test_missing_date() -> None:
    request = signed_by_botocore()
    headers = [header for header in request.headers if header[0] != b"x-amz-date"]
    code, message = refusal(request_of(headers), now=at(request))
    assert code is IncompleteSignatureException
    assert message.startswith(
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. (Hashed"
    )


@pytest.mark.parametrize("authorization", [b"AWS4-HMAC-SHA256 Credential", b"AWS4-HMAC-SHA256 A=b, c, Signature=d"])
def test_parameter_without_equal_sign(authorization: bytes) -> None:
    code, message = refusal(authorized(signed_by_botocore(), authorization))
    assert code is IncompleteSignatureException
    assert message.startswith(
        "Invalid key=value pair (missing equal-sign) in Authorization header"
        " (hashed with SHA-256 and encoded with Base64): '"
    )


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        (b"AWS4-HMAC-SHA512 Credential=a", "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'."),
        (b"AWS4-ECDSA-P384-SHA384 Credential=a", "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P384-SHA384'."),
        (b"Bearer hunter2", "Unsupported AWS 'algorithm'."),
        (b"hunter2", "Unsupported AWS 'algorithm'."),
        (b"", "Unsupported AWS 'algorithm'."),
        (
            b"Credential=hunter2, Signature=hunter2",
            "Authorization header must begin with the algorithm name, which cannot include an equal-sign",
        ),
    ],
)
def test_algorithm(authorization: bytes, text: str) -> None:
    assert refusal(authorized(signed_by_botocore(), authorization)) == (IncompleteSignatureException, text)


def test_no_authorization() -> None:
    request = signed_by_botocore()
    headers = [header for header in request.headers if header[0] != b"authorization"]
    text = "Missing Authentication Token"
    assert refusal(request_of(headers)) == (MissingAuthenticationTokenException, text)
    assert refusal(request_of(headers, target=b"/?a=b&c")) == (MissingAuthenticationTokenException, text)


@pytest.mark.parametrize(
    "query", [b"X-Amz-Signature=0", b"a=b&x-amz-signature=0", b"X%2dAmz-Algorithm", b"%58-amz-signature="]
)
def test_query_string_authentication(query: bytes) -> None:
    request = signed_by_botocore()
    text = "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
    assert refusal(request_of(request.headers, target=b"/?" + query)) == (InvalidSignatureException, text)
    headers = [header for header in request.headers if header[0] != b"authorization"]
    text = "Query-string authentication is not supported. Use the Authorization header."
    assert refusal(request_of(headers, target=b"/?" + query)) == (IncompleteSignatureException, text)


@pytest.mark.parametrize(
    "scope", [b"{id}/{day}/us-east-1/kms", b"{id}/{day}/us-east-1/kms/aws4_request/", b"{id}", b"////" * 50]
)
def test_credential_of_four_or_six_parts(scope: bytes) -> None:
    request = signed_by_botocore()
    credential = scope.replace(b"{id}", ACCESS_KEY_ID.encode()).replace(b"{day}", stamp(request)[:8])
    changed = authorized(request, lambda value: re.sub(rb"Credential=[^,]+", b"Credential=" + credential, value))
    text = (
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term,"
        f" got '{credential[:64].decode()}'"
    )
    assert refusal(changed) == (IncompleteSignatureException, text)


REGION = "Credential should be scoped to a valid region. "
SERVICE = "Credential should be scoped to correct service: 'kms'. "


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"us-east-1", b"local", REGION),
        (b"us-east-1", b"", REGION),
        (b"us-east-1", b"US-EAST-1", REGION),
        (b"us-east-1", b"us-east-1\n", REGION),
        (b"us-east-1", b"us-east-\xc2\xb2", REGION),
        (b"us-east-1", b"a" * 30 + b"-b-1", REGION),
        (b"us-east-1/kms", b"us-east-1/s3", SERVICE),
        (b"us-east-1/kms", b"x/s3", REGION + SERVICE),
        (
            b"aws4_request",
            b"aws5_request",
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. ",
        ),
    ],
)
def test_scope(old: bytes, new: bytes, text: str) -> None:
    changed = authorized(signed_by_botocore(), lambda value: value.replace(old, new))
    assert refusal(changed) == (InvalidSignatureException, text)


@pytest.mark.parametrize("day", [b"20150830", b"", b"{day}0", b"{day}x", b"2015083", b"\xff"])
def test_scope_of_another_day(day: bytes) -> None:
    request = signed_by_botocore()
    today = stamp(request)[:8]
    wrong = day.replace(b"{day}", today)
    changed = authorized(request, lambda value: value.replace(today, wrong))
    text = (
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP:"
        f" '{wrong.decode('ascii', 'backslashreplace')}' != '{today.decode()}', from '{stamp(request).decode()}'."
    )
    assert refusal(changed) == (InvalidSignatureException, text)


@pytest.mark.parametrize("access_key_id", [b"", b"a" * 129, b"AKIA EXAMPLE", b"AKIA\xc3\xa9", b"AKIA-1", b"AKIA\n"])
def test_what_cannot_be_an_access_key_id(access_key_id: bytes) -> None:
    changed = authorized(signed_by_botocore(), lambda value: value.replace(ACCESS_KEY_ID.encode(), access_key_id))
    text = "The security token included in the request is invalid."
    assert refusal(changed) == (UnrecognizedClientException, text)


# -- time


def test_clock() -> None:
    request = signed_by_botocore()
    sent = at(request)

    def text(instant: float) -> str:
        return datetime.fromtimestamp(instant, UTC).strftime("%Y%m%dT%H%M%SZ")

    check(request, now=sent + 300)
    check(request, now=sent - 300)
    assert refusal(request, now=sent + 300.001) == (
        InvalidSignatureException,
        f"Signature expired: {text(sent)} is now earlier than {text(sent)} ({text(sent + 300)} - 5 min.)",
    )
    assert refusal(request, now=sent + 900) == (
        InvalidSignatureException,
        f"Signature expired: {text(sent)} is now earlier than {text(sent + 600)} ({text(sent + 900)} - 5 min.)",
    )
    assert refusal(request, now=sent - 301) == (
        InvalidSignatureException,
        f"Signature not yet current: {text(sent)} is still later than {text(sent - 1)} ({text(sent - 301)} + 5 min.)",
    )


def test_expiry_is_told_before_a_wrong_scope_key_or_signature() -> None:
    request = signed_by_botocore()
    for change in (
        lambda value: value[:-64] + b"0" * 64,
        lambda value: value.replace(b"us-east-1", b"x"),
        lambda value: value.replace(ACCESS_KEY_ID.encode(), b""),
    ):
        assert refusal(authorized(request, change), now=at(request) + 301)[1].startswith("Signature expired: ")


@pytest.mark.parametrize(
    "date",
    [b"20261301T000000Z", b"20260230T000000Z", b"20260101T246000Z", b"00000101T000000Z", b"2026-01-01T00:00:00Z",
     b"20260101T000000", b"20260101", b"20260101T000000z", b"20260101T000000+", b"\xb2" * 16, b"x" * 200],
)  # fmt: skip
def test_malformed_date(date: bytes) -> None:
    request = signed_by_botocore()
    text = (
        f"Date must be in ISO-8601 'basic format'. Got '{date[:64].decode('ascii', 'backslashreplace')}'."
        " See http://en.wikipedia.org/wiki/ISO_8601"
    )
    changed = replaced(request, b"x-amz-date", date)
    assert refusal(changed, now=at(request)) == (IncompleteSignatureException, text)


# -- whatever arrives


def test_oversized_authorization() -> None:
    request = authorized(
        signed_by_botocore(), lambda value: value.replace(b"Signed", b"X=" + b"y" * 5000 + b", Signed")
    )
    assert refusal(request) == (IncompleteSignatureException, "Authorization header is too long.")


def test_many_and_large_headers() -> None:
    request = signed_by_botocore()
    many = [(b"x-%d" % number, b"y" * 100) for number in range(2000)]
    again = [(b"cookie", b" a  b ")] * 2000
    check(request_of([*request.headers, *many, *again, (b"x-large", b"\xff" * 1_000_000)]), now=at(request))


pieces = st.sampled_from(
    [b"AWS4-HMAC-SHA256 ", b"Credential=", b"SignedHeaders=", b"Signature=", b"AKIAIOSFODNN7EXAMPLE", b"/", b"20150830",
     b"us-east-1", b"kms", b"aws4_request", b"host", b";", b",", b" ", b"=", b"x-amz-date", b"\xff", b"\n", b"0" * 64]
)  # fmt: skip
values = st.lists(pieces | st.binary(max_size=8), max_size=12).map(b"".join)
names = st.sampled_from([b"host", b"authorization", b"x-amz-date", b"date", b"x-amz-content-sha256", b"x-other", b""])
dates = st.just((b"x-amz-date", b"20150830T123600Z"))
targets = st.sampled_from([b"/", b"", b"*", b"/?X-Amz-Signature=1", b"/../%zz?%zz=%&&=", b"http://a/"]) | st.binary()


@given(st.lists(st.tuples(names, values) | dates | st.tuples(st.binary(), st.binary())), targets, st.binary())
def test_anything_is_answered_with_a_fault(headers: Headers, target: bytes, body: bytes) -> None:
    request = request_of(headers, body, target)
    with pytest.raises(KMSError) as caught:
        check(request, now=1440938160.0)
    assert len(caught.value.message or "") < 700


@given(st.binary(), values)
def test_well_formed_authorization_over_anything(target: bytes, value: bytes) -> None:
    """Past the parser: the signature is wrong whatever the rest is."""
    authorization = (
        b"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20150830/us-east-1/kms/aws4_request,"
        b" SignedHeaders=host;x-amz-date;x-other, Signature=" + b"0" * 64
    )
    date = b"20150830T123600Z"
    headers = [(b"host", value), (b"x-amz-date", date), (b"x-other", value), (b"authorization", authorization)]
    with pytest.raises(InvalidSignatureException):
        check(request_of(headers, target=b"/" + target), now=1440938160.0)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"host;", b"host;host;", "Authorization header repeats a name in its 'SignedHeaders' parameter."),
        (
            b"Credential=",
            b"Credential=a, Credential=",
            "Authorization header has more than one 'Credential' parameter.",
        ),
        (b"Signature=", b"Signature=a, Signature=", "Authorization header has more than one 'Signature' parameter."),
    ],
)
def test_repetition(old: bytes, new: bytes, text: str) -> None:
    changed = authorized(signed_by_botocore(), lambda value: value.replace(old, new))
    assert refusal(changed) == (IncompleteSignatureException, text)
