# SPDX-License-Identifier: Apache-2.0
"""Forms to requests: the shapes that a form can have, and those that are hostile."""

import contextlib
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyquorum import iam_api, sts_api
from keyquorum.errors import SerializationException, ValidationException
from keyquorum.wire import query

ROLE = "arn:aws:iam::111122223333:role/R"


def create_user(body: str) -> iam_api.CreateUserRequest:
    request = query.decode(iam_api.CreateUserRequest, f"UserName=u&{body}".encode())
    assert isinstance(request, iam_api.CreateUserRequest)
    return request


def tags(body: str) -> list[tuple[str | None, str | None]] | None:
    found = create_user(body).tags
    return None if found is None else [(tag.key, tag.value) for tag in found]


def test_parameters_are_decoded() -> None:
    body = b"Action=CreateUser&Version=2010-05-08&UserName=a%2Bb&Tags.member.1.Key=%C3%A9+1&Tags.member.1.Value="
    tag = iam_api.Tag(key="\u00e9 1", value="")
    assert query.decode(iam_api.CreateUserRequest, body) == iam_api.CreateUserRequest(user_name="a+b", tags=[tag])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("A=1", None),
        ("Tags=", []),
        ("Tags.member.1.Key=a&Tags.member.1.Value=b", [("a", "b")]),
        (
            "Tags.member.10.Key=c&Tags.member.2.Key=b&Tags.member.9.Key=a&"
            "Tags.member.2.Value=2&Tags.member.9.Value=9&Tags.member.10.Value=10",
            [("b", "2"), ("a", "9"), ("c", "10")],
        ),
        ("Tags.member.999999999.Key=a&Tags.member.999999999.Value=b", [("a", "b")]),
        ("Tags.member.7.Key=a&Tags.member.7.Value=b&Tags.member.7.Colour=red", [("a", "b")]),
    ],
)
def test_lists(body: str, expected: object) -> None:
    assert tags(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        "Tags=SECRET",
        "Tags=&Tags.member.1.Key=a",
        "Tags.1.Key=SECRET",
        "Tags.Tag.1.Key=SECRET",
        "Tags.member=SECRET",
        "Tags.member=SECRET&Tags.member.1.Key=a",
        "Tags.member.1=SECRET",
        "Tags.member.1=&Tags.member.1.Key=a",
        "Tags.member.0.Key=SECRET",
        "Tags.member.01.Key=SECRET",
        "Tags.member.-1.Key=SECRET",
        "Tags.member.%D9%A1.Key=SECRET",
        "Tags.member.99999999999.Key=SECRET",
        "Tags.member.Key=SECRET",
        "Tags..Key=SECRET",
        "Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.2.Key=SECRET",
        "Tags.member.1.Key.member.1=SECRET",
        "Path.a=SECRET",
        "Path=/&Path.member.1=SECRET",
    ],
)
def test_other_forms_of_lists_and_structures_are_refused_not_ignored(body: str) -> None:
    """An entry that is not read may be a restriction: a session policy, a condition."""
    with pytest.raises(SerializationException) as caught:
        create_user(body)
    assert caught.value.message
    assert "SECRET" not in caught.value.message


def test_a_list_of_texts() -> None:
    body = b"UserName=u&TagKeys.member.2=b&TagKeys.member.1=a"
    assert query.decode(iam_api.UntagUserRequest, body) == iam_api.UntagUserRequest(user_name="u", tag_keys=["a", "b"])


def test_a_member_in_lower_case() -> None:
    body = urlencode({"RoleArn": ROLE, "RoleSessionName": "it", "PolicyArns.member.1.arn": ROLE}).encode()
    request = query.decode(sts_api.AssumeRoleRequest, body)
    assert isinstance(request, sts_api.AssumeRoleRequest)
    assert request.policy_arns == [sts_api.PolicyDescriptorType(arn=ROLE)]


@pytest.mark.parametrize("text", ["900", "+900", "0900"])
def test_integers(text: str) -> None:
    body = urlencode({"DurationSeconds": text}).encode()
    assert query.decode(sts_api.GetSessionTokenRequest, body) == sts_api.GetSessionTokenRequest(duration_seconds=900)


@pytest.mark.parametrize("text", ["", "9e2", "900.0", " 900", "9_00", "\u0669\u0660\u0660", "2147483648", "9" * 5000])
def test_what_is_no_integer(text: str) -> None:
    with pytest.raises(SerializationException):
        query.decode(sts_api.GetSessionTokenRequest, urlencode({"DurationSeconds": text}).encode())


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_booleans(text: str, value: bool) -> None:
    base = {"PolicyArn": "arn:aws:iam::111122223333:policy/P", "PolicyDocument": "{}"}
    request = query.decode(iam_api.CreatePolicyVersionRequest, urlencode({**base, "SetAsDefault": text}).encode())
    assert isinstance(request, iam_api.CreatePolicyVersionRequest)
    assert request.set_as_default is value
    with pytest.raises(SerializationException):
        query.decode(iam_api.CreatePolicyVersionRequest, urlencode({**base, "SetAsDefault": text + "1"}).encode())


def test_our_own_members_of_requests() -> None:
    body = urlencode({"AccessKeyId": "AKIA0123456789ABCDEF", "PublicKey": "MFkwEwYHKoZIzj0CAQ+/AA=="}).encode()
    assert query.decode(iam_api.CreateAccessKeyRequest, body) == iam_api.CreateAccessKeyRequest(
        access_key_id="AKIA0123456789ABCDEF", public_key="MFkwEwYHKoZIzj0CAQ+/AA=="
    )
    body = urlencode({"Url": "https://idp.example", "JWKS": '{"keys": []}'}).encode()
    assert query.decode(iam_api.CreateOpenIDConnectProviderRequest, body) == iam_api.CreateOpenIDConnectProviderRequest(
        url="https://idp.example", jwks='{"keys": []}'
    )


@pytest.mark.parametrize(
    "body",
    [
        b"Action",
        b"Action=a&",
        b"&Action=a",
        b"Action=%ff",
        b"Action=\xff",
        b"A=a&A=SECRET",
        b"A=SECRET&A=SECRET",
        b"A=SECRET&%41=SECRET",
        b"&".join(b"a%d=SECRET" % n for n in range(513)),
    ],
)
def test_bad_bodies_are_refused_without_echo(body: bytes) -> None:
    with pytest.raises(ValidationException) as caught:
        query.decode(sts_api.GetCallerIdentityRequest, body)
    assert caught.value.message
    assert "SECRET" not in caught.value.message


def test_a_name_of_many_steps_is_only_unknown() -> None:
    assert create_user("a" + ".a" * 50_000 + "=1") == iam_api.CreateUserRequest(user_name="u")


@given(st.binary(max_size=100))
def test_any_bytes_give_a_request_or_a_fault(body: bytes) -> None:
    with contextlib.suppress(SerializationException, ValidationException):
        query.decode(iam_api.CreateUserRequest, body)


_STEPS = st.sampled_from(["UserName", "Tags", "member", "1", "2", "0", "Key", "Value", "", "Path", "x"])


@given(st.dictionaries(st.lists(_STEPS, min_size=1, max_size=10).map(".".join), st.sampled_from(["", "/", "a"])))
def test_any_names_give_a_request_or_a_fault(form: dict[str, str]) -> None:
    with contextlib.suppress(SerializationException, ValidationException):
        query.decode(iam_api.CreateUserRequest, urlencode(form).encode())


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"Action=A&Version=B", "B"),
        (b"Version=B", "B"),
        (b"Version=B&Version=C", "B"),
        (b"Version=%42+&A=1", "B "),
        (b"Version=&A=1", ""),
        (b"MyVersion=B&A=Version=B", ""),
        (b"Version", ""),
        (b"", ""),
        (b"Version=" + b"B" * 100_000, "B" * 64),
        (b"Version=%ff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_peek_reads_one_parameter(body: bytes, value: str) -> None:
    assert query.peek(body, "Version") == value
