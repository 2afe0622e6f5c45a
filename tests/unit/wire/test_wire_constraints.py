# SPDX-License-Identifier: Apache-2.0
"""Every constraint of the models on both sides of its edge, and AWS's wording of what fails."""

import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from boundaries import REORDERED

from keyquorum import api, iam_api, own_api, sts_api
from keyquorum.errors import ValidationException
from keyquorum.wire import constraints

ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

# One string for every pattern in the models that it must let pass; a new pattern needs a line here.
FITTING = {
    "[0-9]{12}": "111122223333",
    "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+": '{"Version": "2012-10-17"}\n\t\r\u00ff',
    "[\\u0020-\\u00FF]*": "a marker \u00ff",
    "[\\w]+": "default_1",
    "^(/[a-zA-Z0-9\\/_-]+/kms/xks/v\\d{1,2})$|^(/kms/xks/v\\d{1,2})$": "/prefix/kms/xks/v1",
    "^(com|eu)\\.amazonaws\\.vpce\\.([a-z]+-){2,3}\\d+\\.vpce-svc-[0-9a-z]+$": (
        "com.amazonaws.vpce.us-gov-east-1.vpce-svc-0123456789abcdef0"
    ),
    "^([A-Za-z0-9\\-]+)\\.([A-Za-z0-9\\-]+)(\\.[A-Za-z0-9\\-]+)+$": "service.amazonaws.com",
    "^([a-z]+-){2,3}\\d+$": "us-east-1",
    "^[A-Z2-7]+$": "ABCDEFGHIJ2345672345",
    "^[\\w+=,.@:/-]+$": "arn:aws:iam::111122223333:user/a+b=c,d.e@f",
    "^[a-f0-9]+$": "0123456789abcdef",
    "^[a-zA-Z0-9-_.]+$": "key-1_2.3",
    "^[a-zA-Z0-9:/_-]+$": "alias/example_key-1",
    "^[a-zA-Z0-9:/_\\s.-]+$": "about this\tmaterial: 1.0",
    "^[a-zA-Z0-9\\/+=]+$": "abcABC012/+=",
    "^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$": "arn:aws-us-gov:s3:us-gov-west-1:111122223333:a b/\u00e9",
    "^https://[a-zA-Z0-9.-]+$": "https://xks.example.com",
    "cluster-[2-7a-zA-Z]{11,16}": "cluster-234567abcdefg",
    "(\\u002F)|(\\u002F[\\u0021-\\u007E]+\\u002F)": "/a/b~!/",
    "((/[A-Za-z0-9\\.,\\+@=_-]+)*)/": "/a/b.c,d+e@f=g_h-i/",
    "[ -~]+": "a ~",
    "[A-Za-z0-9+/]+={0,2}": "AB+/ab09==",
    "[\\d]*": "123456",
    "[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*": "\u00e9\u4e2d\u00a0\u3000\u0661\u2167 \U0001d400_.:/=+-@",
    "[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+": "\u00e9\u4e2d\u00a0\u3000\u0661\u2167 \U0001d400_.:/=+-@",
    "[\\u0009\\u000A\\u000D\\u0020-\\u007E\\u00A1-\\u00FF]*": "a role\t\r\n~\u00ff",
    "[\\u0009\\u000A\\u000D\\u0020-\\u007E\\u0085\\u00A0-\\uD7FF\\uE000-\\uFFFD\\u10000-\\u10FFFF]+": f"{ARN}\u4e2d",
    "[\\u0020-\\u00FF]+": "a marker \u00ff",
    "[\\w+=,.@-]*": "a+b=c,d.e@f-g_0",
    "[\\w+=,.@-]+": "a+b=c,d.e@f-g_0",
    "[\\w+=,.@:\\/-]*": "a+b=c,d.e@f:g/h-i_0",
    "[\\w+=/:,.@-]*": "arn:aws:iam::111122223333:mfa/u",
    "[\\w+=/:,.@-]+": "arn:aws:iam::111122223333:mfa/u",
    "\\u002F[\\u0021-\\u007F]*": "/a/b\u007f",
    "v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?": "v12.a-1",
}

# What patterns do not let pass, where it is not what most do not.
FOREIGN: dict[str, tuple[str, ...]] = {
    pattern: ("\N{SNOWMAN}", "\u0301", "\u200b") for pattern in FITTING if "\\p{L}" in pattern
}
FOREIGN |= {pattern: ("\x01", "\U0001f511") for pattern in FITTING if "\\uE000" in pattern}
MOST = ("\N{SNOWMAN}", "\u0661")
#: Of AWS's models; what our own operations take has their tests.
OF_AWS = {shape: members for shape, members in constraints.MEMBERS.items() if shape not in own_api.CONSTRAINTS}
MEMBERS = [(shape, member) for shape, members in OF_AWS.items() for member in members]


def complaint(request: api.Shape) -> str:
    """What ``check`` says; empty if nothing."""
    try:
        constraints.check(request)
    except ValidationException as error:
        return error.message or "no message"
    return ""


def of_size(constraint: api.Constraint, size: int) -> Any:
    match constraint.kind:
        case "integer":
            return size
        case "string":
            return "a" * size
        case "blob":
            return b"a" * size
        case "list":
            nested = constraint.element and constraint.element.nested
            return [nested() if nested else "a"] * size
    raise NotImplementedError(constraint.kind)


def edges() -> Iterator[Any]:
    """(structure, member, element?, value inside, value outside, words)"""
    for shape, member in MEMBERS:
        for constraint, listed in ((member.constraint, False), (member.constraint.element, True)):
            if constraint is None:
                continue
            place = f"{shape.__name__}.{member.attribute}{'[]' if listed else ''}"
            measured = "value" if constraint.kind == "integer" else "length"
            if constraint.max is not None:
                inside, outside = (of_size(constraint, constraint.max + more) for more in (0, 1))
                words = f"Member must have {measured} less than or equal to {constraint.max}"
                yield pytest.param(shape, member, listed, inside, outside, words, id=f"{place}-max")
            if constraint.min:
                inside, outside = (of_size(constraint, constraint.min - less) for less in (0, 1))
                words = f"Member must have {measured} greater than or equal to {constraint.min}"
                yield pytest.param(shape, member, listed, inside, outside, words, id=f"{place}-min")
            # What IAM says in other words it says only if there is nothing else to say.
            if constraint.pattern and constraint.pattern not in constraints._IN_IAMS_WORDS:
                words = f"Member must satisfy regular expression pattern: {constraint.pattern}"
                inside = FITTING[constraint.pattern]
                for foreign in FOREIGN.get(constraint.pattern, MOST):
                    name = f"{place}-{foreign!a}"
                    yield pytest.param(shape, member, listed, inside, foreign + inside, words, id=name)
            for number, inside in enumerate(constraint.enum):
                worded = REORDERED.get(", ".join(sorted(constraint.enum)), ", ".join(constraint.enum))
                words = f"Member must satisfy enum value set: [{worded}]"
                outside = inside.swapcase() if number else ""
                yield pytest.param(shape, member, listed, inside, outside, words, id=f"{place}-{inside}")


@pytest.mark.parametrize(("shape", "member", "listed", "inside", "outside", "words"), list(edges()))
def test_the_edge_of_a_constraint(
    shape: type[api.Shape], member: api.Member, listed: bool, inside: Any, outside: Any, words: str
) -> None:
    good, bad = (complaint(shape(**{member.attribute: [value] if listed else value})) for value in (inside, outside))
    where = f"at '{member.name}' failed to satisfy constraint: "
    found = [violation.partition(where)[2] for violation in bad.split("Value ") if where in violation]
    if listed:
        assert where not in good
        assert len(found) == 1
        assert found[0].startswith("Member must satisfy constraint: [Member must ")
        assert words in found[0]
    else:
        assert where + words not in good
        assert words in [violation.removesuffix("; ") for violation in found]


@pytest.mark.parametrize("shape", list(OF_AWS), ids=lambda shape: shape.__name__)
def test_required_members_and_no_others_must_be_there(shape: type[api.Shape]) -> None:
    expected = [
        f"Value{'' if member.constraint.sensitive else ' null'} at '{member.name}' failed to satisfy constraint: "
        "Member must not be null"
        for member in constraints.MEMBERS[shape]
        if member.required
    ]
    plural = "" if len(expected) == 1 else "s"
    listed = f"{len(expected)} validation error{plural} detected: {'; '.join(expected)}"
    assert complaint(shape()) == (listed if expected else "")


ROLE = "arn:aws:iam::111122223333:role/R"
NAMED = "It must contain only alphanumeric characters and/or the following: +=,.@_-"
SLASHES = "It must begin and end with / and contain only alphanumeric characters and/or / characters."
FAIL = "failed to satisfy constraint: Member must"
GRANT_TOKEN_RULES = (
    "Member must have length less than or equal to 8192, Member must have length greater than or equal to 1"
)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            api.EncryptRequest(key_id="k", plaintext=bytes(4097)),
            f"1 validation error detected: Value at 'plaintext' {FAIL} have length less than or equal to 4096",
        ),
        (
            api.EncryptRequest(key_id="", plaintext=b""),
            f"2 validation errors detected: Value '' at 'keyId' {FAIL} have length greater than or equal to 1; "
            f"Value at 'plaintext' {FAIL} have length greater than or equal to 1",
        ),
        (
            api.EncryptRequest(),
            f"2 validation errors detected: Value null at 'keyId' {FAIL} not be null; "
            f"Value at 'plaintext' {FAIL} not be null",
        ),
        (
            api.EncryptRequest(key_id=ARN, plaintext=b"a", grant_tokens=["a", ""]),
            "1 validation error detected: Value '[a, ]' at 'grantTokens' failed to satisfy constraint: "
            f"Member must satisfy constraint: [{GRANT_TOKEN_RULES}]",
        ),
        (
            api.DescribeKeyRequest(key_id=ARN, grant_tokens=list("abcdefghijk")),
            "1 validation error detected: Value '[a, b, c, d, e, f, g, h, i, j, k]' at 'grantTokens' "
            f"{FAIL} have length less than or equal to 10",
        ),
        (
            api.ListKeysRequest(limit=0),
            f"1 validation error detected: Value '0' at 'limit' {FAIL} have value greater than or equal to 1",
        ),
        (
            api.GenerateDataKeyRequest(key_id=ARN, key_spec="AES_512", number_of_bytes=1025),
            f"2 validation errors detected: Value '1025' at 'numberOfBytes' {FAIL} have value "
            f"less than or equal to 1024; Value 'AES_512' at 'keySpec' {FAIL} satisfy enum "
            "value set: [AES_256, AES_128]",
        ),
        (
            api.TagResourceRequest(
                key_id=ARN,
                tags=[
                    api.Tag(tag_key="a", tag_value=""),
                    api.Tag(tag_key="a" * 129),
                ],
            ),
            f"2 validation errors detected: Value '{'a' * 129}' at 'tags.2.member.tagKey' "
            f"{FAIL} have length less than or equal to 128; "
            f"Value null at 'tags.2.member.tagValue' {FAIL} not be null",
        ),
        (
            api.CreateGrantRequest(
                key_id=ARN, operations=["Encrypt"], constraints=api.GrantConstraints(source_arn="arn:aws:s3:::a bucket")
            ),
            "1 validation error detected: Value 'arn:aws:s3:::a bucket' at 'constraints.sourceArn' "
            f"{FAIL} satisfy regular expression pattern: ^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{{12}}:.+$",
        ),
        (
            api.ListKeysRequest(resource_owners=["SELF", "NOBODY"]),
            "1 validation error detected: Value '[SELF, NOBODY]' at 'resourceOwners' failed to satisfy constraint: "
            "Member must satisfy constraint: [Member must satisfy enum value set: [SELF, OTHER_ACCOUNTS_VIA_RAM]]",
        ),
        (
            api.DecryptRequest(recipient=api.RecipientInfo(attestation_document=b"")),
            "1 validation error detected: Value at 'recipient.attestationDocument' "
            f"{FAIL} have length greater than or equal to 1",
        ),
        (
            api.CreateAliasRequest(alias_name="alias/a b" + "c" * 250, target_key_id="k"),
            f"2 validation errors detected: Value 'alias/a b{'c' * 250}' at 'aliasName' "
            f"{FAIL} have length less than or equal to 256; Value 'alias/a b{'c' * 250}' at 'aliasName' "
            f"{FAIL} satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
        ),
        (
            api.ConnectCustomKeyStoreRequest(custom_key_store_id="\N{GRINNING FACE}" * 33),
            f"1 validation error detected: Value '{chr(0x1F600) * 33}' at 'customKeyStoreId' "
            f"{FAIL} have length less than or equal to 64",
        ),
        (
            sts_api.AssumeRoleRequest(role_arn=ROLE, role_session_name="a b"),
            f"1 validation error detected: Value 'a b' at 'roleSessionName' {FAIL} satisfy regular expression pattern: "
            r"[\w+=,.@-]*",
        ),
        (
            sts_api.AssumeRoleWithWebIdentityRequest(role_arn=ROLE, role_session_name="it", web_identity_token="abc"),
            f"1 validation error detected: Value at 'webIdentityToken' {FAIL} have length greater than or equal to 4",
        ),
        (
            iam_api.TagUserRequest(user_name="u", tags=[iam_api.Tag(key="a!", value="")]),
            f"1 validation error detected: Value 'a!' at 'tags.1.member.key' {FAIL} satisfy regular expression "
            r"pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+",
        ),
        # The three that IAM words otherwise, and only after the rest.
        (iam_api.CreateUserRequest(user_name="a b", path="a"), f"The specified value for path is invalid. {SLASHES}"),
        (iam_api.CreateUserRequest(user_name="a b"), f"The specified value for userName is invalid. {NAMED}"),
        (
            iam_api.CreatePolicyRequest(policy_name="p", policy_document="{}", path="/a!/"),
            f"The specified value for path is invalid. {SLASHES}",
        ),
        (
            iam_api.CreateUserRequest(user_name="a " * 33, path="a"),
            f"1 validation error detected: Value '{'a ' * 33}' at 'userName' {FAIL} have length less than or equal to "
            "64",
        ),
    ],
)
def test_wording(request_: api.Shape, message: str) -> None:
    assert complaint(request_) == message


def test_a_small_mistake_made_often_is_not_answered_at_many_times_its_size() -> None:
    message = complaint(api.TagResourceRequest(key_id=ARN, tags=[api.Tag()] * 10_000))
    assert message.startswith("100 validation errors detected: ")
    assert len(message) < 10_000


def test_length_is_counted_in_utf_16_code_units() -> None:
    for text, units in (("\u00e9", 1), ("\N{SNOWMAN}", 1), ("\N{GRINNING FACE}", 2)):
        fitting = text * (64 // units)
        assert complaint(api.ConnectCustomKeyStoreRequest(custom_key_store_id=fitting)) == ""
        assert complaint(api.ConnectCustomKeyStoreRequest(custom_key_store_id=fitting + "a")) != ""


def test_a_trailing_newline_does_not_slip_past_a_pattern() -> None:
    assert "aliasName" in complaint(api.CreateAliasRequest(alias_name="alias/a\n", target_key_id="k"))


def test_no_secret_is_echoed() -> None:
    request = api.CreateCustomKeyStoreRequest(
        custom_key_store_name="s",
        key_store_password="SECRET",
        xks_proxy_authentication_credential=api.XksProxyAuthenticationCredentialType(
            access_key_id="SECRET!", raw_secret_access_key="SECRET!"
        ),
    )
    message = complaint(request)
    assert message.startswith("5 validation errors detected: Value at 'keyStorePassword' failed")
    assert "Value at 'xksProxyAuthenticationCredential.rawSecretAccessKey' failed" in message
    assert "SECRET" not in message


class Labelled(api.Shape, frozen=True, kw_only=True):
    labels: dict[str, str] | None = None


class Text(api.Shape, frozen=True, kw_only=True):
    text: str | None = None


def learn(monkeypatch: pytest.MonkeyPatch, shape: type[api.Shape], member: api.Member) -> None:
    """Have a structure of the test's own checked, for the test's time only."""
    monkeypatch.setattr(constraints, "MEMBERS", {shape: (member,)})
    constraints._plan.cache_clear()
    constraints._tests.cache_clear()


def test_maps_are_held_to_the_constraints_of_keys_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    short = api.Constraint(kind="string", max=3)
    labels = api.Constraint(kind="map", max=2, key=short, value=short)
    learn(monkeypatch, Labelled, api.Member("labels", "labels", labels))
    rule = "must satisfy constraint: [Member must have length less than or equal to 3]"
    assert complaint(Labelled(labels={"a": "b", "c": "ddd"})) == ""
    assert complaint(Labelled(labels={"four": "b", "c": "dddd"})) == (
        "2 validation errors detected: "
        f"Value '{{four=b, c=dddd}}' at 'labels' failed to satisfy constraint: Map keys {rule}; "
        f"Value '{{four=b, c=dddd}}' at 'labels' failed to satisfy constraint: Map value {rule}"
    )
    assert f"'labels' {FAIL} have length less than or equal to 2" in complaint(
        Labelled(labels=dict.fromkeys("abc", ""))
    )


@pytest.mark.parametrize("pattern", list(FITTING))
def test_no_pattern_runs_away(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that backtracks without bound would not come back from these before the test's time is up."""
    learn(monkeypatch, Text, api.Member("text", "text", api.Constraint(kind="string", pattern=pattern)))
    end = FOREIGN.get(pattern, MOST)[0] + "\n"
    for part in ("a", "a-", "a.", "/kms/xks/v1", "1", ":", "/", "/a", "="):
        assert complaint(Text(text=FITTING[pattern] + part * 10_000 + end))
        assert complaint(Text(text=part * 10_000 + end))


def test_requests_as_sdks_send_them_pass() -> None:
    context = {"purpose": "test", "\u00fc": "", "": "\N{GRINNING FACE}"}
    constraints.check(api.EncryptRequest(key_id=ARN, plaintext=b"a", encryption_context=context, dry_run=False))
    constraints.check(api.CreateKeyRequest(policy="{}", description="", tags=[], multi_region=True))
    constraints.check(
        api.ImportKeyMaterialRequest(key_id=ARN, import_token=b"t", encrypted_key_material=b"m", valid_to=1.5)
    )


def test_every_constrained_member_exists() -> None:
    for shape, members in OF_AWS.items():
        assert [member.attribute for member in members] == [field.name for field in msgspec.structs.fields(shape)]


def test_the_classes_of_characters_in_tags_are_javas() -> None:
    """Letters, spaces and numbers of Unicode, by Python's tables of their categories, and no others."""
    allowed = constraints._java(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+").fullmatch
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        expected = unicodedata.category(character)[0] in "LZN" or character in "_.:/=+-@"
        assert (allowed(character) is not None) == expected, hex(code)
