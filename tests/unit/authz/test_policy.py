# SPDX-License-Identifier: Apache-2.0
"""What a policy document may say, what it says once parsed, and how a bad one is refused."""

import json
from typing import Any

import pytest
from policies import (
    ABSENT,
    ACCOUNT,
    ALICE,
    IDENTITY_STATEMENT,
    KEY_ARN,
    KEY_STATEMENT,
    ROLE,
    ROOT,
    SESSION,
    but,
    document,
)

from keyquorum.authz.condition_elements import Condition
from keyquorum.authz.document import SYNTAX
from keyquorum.authz.policy import (
    DUPLICATE_SID,
    MAX_BYTES,
    MAX_TRUST_CHARACTERS,
    VERSION,
    Policy,
    Statement,
    default_key_policy,
    parse_identity_policy,
    parse_key_policy,
    parse_trust_policy,
)
from keyquorum.authz.principals import INVALID_PRINCIPALS, INVALID_SERVICES, NO_PRINCIPAL, Principals
from keyquorum.errors import LimitExceededException, MalformedPolicyDocumentException


def key(**changes: Any) -> Statement:
    return parse_key_policy(document(but(KEY_STATEMENT, **changes))).statements[0]


def identity(**changes: Any) -> Statement:
    return parse_identity_policy(document(but(IDENTITY_STATEMENT, **changes))).statements[0]


def condition(operator: str, value: Any) -> tuple[Condition, ...]:
    return key(Condition={operator: {"kms:ViaService": value}}).conditions


# -- what a valid document becomes


def test_the_default_key_policy_is_the_document_aws_attaches() -> None:
    text = default_key_policy(ACCOUNT)
    assert text.startswith(
        '{\n  "Version" : "2012-10-17",\n  "Id" : "key-default-1",\n  "Statement" : [ {\n    "Sid" : '
    )
    assert text.endswith('    "Action" : "kms:*",\n    "Resource" : "*"\n  } ]\n}')
    assert parse_key_policy(text) == Policy(
        (
            Statement(
                effect="Allow",
                sid="Enable IAM User Permissions",
                principals=Principals(accounts=frozenset({ACCOUNT})),
                actions=("kms:*",),
                resources=("*",),
            ),
        ),
        "2012-10-17",
        "key-default-1",
    )


def test_the_default_key_policy_of_another_partition() -> None:
    text = default_key_policy(ACCOUNT, "aws-us-gov")
    assert f"arn:aws-us-gov:iam::{ACCOUNT}:root" in text
    assert parse_key_policy(text).statements[0].principals == Principals(accounts=frozenset({ACCOUNT}))


def test_without_a_version_a_policy_is_of_the_older_one() -> None:
    assert parse_key_policy(json.dumps({"Statement": KEY_STATEMENT})).version == "2008-10-17"


def test_statements_keep_their_order_and_empty_sids_may_repeat() -> None:
    policy = parse_key_policy(document(*[but(KEY_STATEMENT, Sid=sid) for sid in ("b", "a", "", "")]))
    assert [s.sid for s in policy.statements] == ["b", "a", "", ""]


@pytest.mark.parametrize(
    ("principal", "parsed"),
    [
        ("*", Principals(anyone=True)),
        ({"AWS": "*"}, Principals(anyone=True)),
        ({"AWS": ACCOUNT}, Principals(accounts=frozenset({ACCOUNT}))),
        ({"AWS": [ACCOUNT, ROOT]}, Principals(accounts=frozenset({ACCOUNT}))),
        ({"AWS": [ALICE, ROLE]}, Principals(arns=frozenset({ALICE, ROLE}))),
        ({"AWS": SESSION}, Principals(arns=frozenset({SESSION}))),
        (
            {"AWS": f"arn:aws-cn:sts::{ACCOUNT}:federated-user/bob"},
            Principals(arns=frozenset({f"arn:aws-cn:sts::{ACCOUNT}:federated-user/bob"})),
        ),
        (
            {"AWS": [], "Service": ["events.amazonaws.com", "logs.eu-west-1.amazonaws.com"]},
            Principals(services=frozenset({"events.amazonaws.com", "logs.eu-west-1.amazonaws.com"})),
        ),
        (
            {"Federated": ["accounts.google.com", f"arn:aws:iam::{ACCOUNT}:saml-provider/corp"]},
            Principals(federated=frozenset({"accounts.google.com", f"arn:aws:iam::{ACCOUNT}:saml-provider/corp"})),
        ),
    ],
)
def test_principals_are_sorted_by_kind(principal: Any, parsed: Principals) -> None:
    assert key(Principal=principal).principals == parsed
    inverted = key(Principal=ABSENT, NotPrincipal=principal, Effect="Deny")
    assert (inverted.principals, inverted.not_principals) == (None, parsed)


@pytest.mark.parametrize(
    ("action", "parsed"),
    [
        ("*", ("*",)),
        ("KMS:Put*", ("kms:put*",)),
        (
            ["kms:Encrypt", "kms:?ecrypt", "s3:GetObject", "*:Get*"],
            ("kms:encrypt", "kms:?ecrypt", "s3:getobject", "*:get*"),
        ),
    ],
)
def test_actions_compare_in_lower_case(action: Any, parsed: tuple[str, ...]) -> None:
    assert (key(Action=action).actions, key(Action=action).not_actions) == (parsed, None)
    inverted = identity(Action=ABSENT, NotAction=action)
    assert (inverted.actions, inverted.not_actions) == (None, parsed)


@pytest.mark.parametrize(
    "resource", ["*", KEY_ARN, f"arn:aws:kms:*:{ACCOUNT}:key/*", f"arn:aws:verenc:{ACCOUNT}:key/x"]
)
def test_an_identity_policy_names_resources(resource: str) -> None:
    assert identity(Resource=[resource]).resources == (resource,)
    inverted = identity(Resource=ABSENT, NotResource=resource)
    assert (inverted.resources, inverted.not_resources) == (None, (resource,))


@pytest.mark.parametrize(
    ("operator", "value", "values"),
    [
        ("StringEquals", "s3.eu-west-1.amazonaws.com", ("s3.eu-west-1.amazonaws.com",)),
        ("StringEqualsIgnoreCase", ["a", "B"], ("a", "B")),
        ("StringLike", "${aws:username", ("${aws:username",)),
        ("StringNotLike", "\u65e5\u672c", ("\u65e5\u672c",)),
        ("StringEquals", 1.50, ("1.5",)),
        ("NumericLessThanEquals", [3600, "-1.5e3"], ("3600", "-1.5e3")),
        ("DateGreaterThan", "2026-01-31T23:59:59Z", ("2026-01-31T23:59:59Z",)),
        (
            "DateLessThan",
            ["2026", "2026-02", "2026-02-28", 1700000000],
            ("2026", "2026-02", "2026-02-28", "1700000000"),
        ),
        ("DateEquals", "2026-01-31T10:00:00.123+02:00", ("2026-01-31T10:00:00.123+02:00",)),
        ("Bool", True, ("true",)),
        ("Bool", "False", ("False",)),
        ("Null", False, ("false",)),
        ("BinaryEquals", "QmluYXJ5", ("QmluYXJ5",)),
        ("IpAddress", ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"], ("10.0.0.0/8", "2001:db8::/32", "192.0.2.7")),
        ("NotIpAddress", "192.0.2.7/24", ("192.0.2.7/24",)),
        ("ArnLike", ["*", "arn:aws:iam::*:role/*", KEY_ARN], ("*", "arn:aws:iam::*:role/*", KEY_ARN)),
    ],
)
def test_condition_values_are_text(operator: str, value: Any, values: tuple[str, ...]) -> None:
    assert condition(operator, value) == (Condition(operator, "kms:ViaService", values),)


@pytest.mark.parametrize(
    ("written", "parsed"),
    [
        ("StringEqualsIfExists", Condition("StringEquals", "kms:ViaService", ("x",), if_exists=True)),
        ("ForAnyValue:StringLike", Condition("StringLike", "kms:ViaService", ("x",), "ForAnyValue")),
        (
            "ForAllValues:StringNotEqualsIfExists",
            Condition("StringNotEquals", "kms:ViaService", ("x",), "ForAllValues", if_exists=True),
        ),
    ],
)
def test_an_operator_is_taken_apart(written: str, parsed: Condition) -> None:
    assert condition(written, "x") == (parsed,)


def test_every_key_of_every_operator_is_one_condition() -> None:
    block = {"StringEquals": {"kms:ViaService": "a", "kms:EncryptionContext:App id": ["b"]}, "Null": {"aws:a": "true"}}
    assert [(c.operator, c.key) for c in key(Condition=block).conditions] == [
        ("StringEquals", "kms:ViaService"),
        ("StringEquals", "kms:EncryptionContext:App id"),
        ("Null", "aws:a"),
    ]
    assert key(Condition={}).conditions == ()


# -- what is refused


def refusal(parse: Any, text: str) -> str | None:
    with pytest.raises(MalformedPolicyDocumentException) as caught:
        parse(text)
    assert type(caught.value) is MalformedPolicyDocumentException
    return caught.value.message


@pytest.mark.parametrize("parse", [parse_key_policy, parse_identity_policy])
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "[]",
        "null",
        '"*"',
        "{}",
        '{"Statement": []}',
        '{"Statement": null}',
        '{"Statement": ["*"]}',
        '{"Statement": 1}',
        "[" * MAX_BYTES,
        '{"a":' * 6_000,
        '{"Statement": ' + "9" * 30_000 + "}",
        '{"Statement": 1e999999999}',
        '{"Statement": NaN}',
        '{"Statement": -Infinity}',
        "\ufeff{}",
        '{"Id": "\u65e5"}',
        '{"Id": "\x00"}',
        '{"Id": "\ud800"}',
    ],
    ids=range(21),
)
def test_text_that_is_no_policy(parse: Any, text: str) -> None:
    assert refusal(parse, text) == SYNTAX


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(KEY_STATEMENT, Version="2012-10-18"), VERSION),
        (document(KEY_STATEMENT, Version=20121017), SYNTAX),
        (document(KEY_STATEMENT, Id=7), SYNTAX),
        (document(KEY_STATEMENT, Comment="x"), SYNTAX),
        (document(KEY_STATEMENT, version="2012-10-17"), SYNTAX),
        (document(but(KEY_STATEMENT, Sid="a"), but(KEY_STATEMENT, Sid="a")), DUPLICATE_SID),
        (document(KEY_STATEMENT)[:-1] + ', "Statement": []}', SYNTAX),
        (document(KEY_STATEMENT).replace('"Effect": "Allow"', '"Effect": "Deny", "Effect": "Allow"'), SYNTAX),
        (document(but(KEY_STATEMENT, Sid="@")).replace("@", "\\ud800"), SYNTAX),
    ],
)
def test_a_document_is_refused(text: str, message: str) -> None:
    assert refusal(parse_key_policy, text) == message


def test_a_100_000_deep_document_is_too_long_before_it_is_too_deep() -> None:
    with pytest.raises(LimitExceededException):
        parse_key_policy("[" * 100_000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Effect": ABSENT}, SYNTAX),
        ({"Effect": "allow"}, SYNTAX),
        ({"Effect": ["Allow"]}, SYNTAX),
        ({"Sid": 1}, SYNTAX),
        ({"Sid": None}, SYNTAX),
        ({"Extra": 1}, SYNTAX),
        ({"Principal": ABSENT}, NO_PRINCIPAL),
        ({"Principal": {}}, NO_PRINCIPAL),
        ({"Principal": []}, NO_PRINCIPAL),
        ({"Principal": {"AWS": []}}, NO_PRINCIPAL),
        ({"NotPrincipal": "*"}, SYNTAX),
        ({"Principal": ABSENT, "NotPrincipal": {"AWS": ROOT}}, SYNTAX),  # with Allow it "is not supported"
        ({"Principal": ROOT}, INVALID_PRINCIPALS),
        ({"Principal": ["*"]}, INVALID_PRINCIPALS),
        ({"Principal": None}, INVALID_PRINCIPALS),
        (
            {"Principal": {"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}},
            INVALID_PRINCIPALS,
        ),
        ({"Principal": {"aws": ROOT}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": 111122223333}}, SYNTAX),
        ({"Principal": {"AWS": "11112222333"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": "\u0661" * 12}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": ROOT + "\n"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": "AIDACKCEVSQ6C2EXAMPLE"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:*"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/*"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/te*m/alice"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:group/admins"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": "arn:aws:iam::*:root"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/admin"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/*"}}, INVALID_PRINCIPALS),
        ({"Principal": {"AWS": [ROOT, ""]}}, INVALID_PRINCIPALS),
        ({"Principal": {"Service": "s3"}}, INVALID_SERVICES),
        ({"Principal": {"Service": "*"}}, INVALID_SERVICES),
        ({"Principal": {"Federated": "*"}}, INVALID_PRINCIPALS),
        ({"Action": ABSENT}, "Missing required field Action"),
        ({"Action": []}, "Missing required field Action"),
        ({"NotAction": "kms:Decrypt"}, SYNTAX),
        ({"Action": 1}, SYNTAX),
        ({"Action": ["kms:*", None]}, SYNTAX),
        ({"Action": "Encrypt"}, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
        ({"Action": "kms:a:b"}, "Actions/Condition can contain only one colon."),
        ({"Action": "kms:"}, SYNTAX),
        ({"Action": "kms:[a]"}, SYNTAX),
        ({"Resource": ABSENT}, "Missing required field Resource"),
        ({"Resource": []}, "Missing required field Resource"),
        ({"Resource": {}}, SYNTAX),
        ({"Resource": KEY_ARN}, 'The Resource of a key policy statement must be "*".'),
        ({"Resource": ["*", KEY_ARN]}, 'The Resource of a key policy statement must be "*".'),
        ({"Resource": ""}, 'The Resource of a key policy statement must be "*".'),
        ({"Resource": ABSENT, "NotResource": "*"}, SYNTAX),
        ({"Condition": []}, SYNTAX),
        ({"Condition": None}, SYNTAX),
        ({"Condition": {"StringEquals": "x"}}, SYNTAX),
        ({"Condition": {"StringEquals": {"ViaService": "x"}}}, SYNTAX),
        ({"Condition": {"StringEquals": {"": "x"}}}, SYNTAX),
    ],
)
def test_a_key_policy_statement_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refusal(parse_key_policy, document(but(KEY_STATEMENT, **changes))) == message


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("StringMatches", "x"),
        ("stringequals", "x"),
        ("StringEqualsIfExistsIfExists", "x"),
        ("ForSomeValues:StringEquals", "x"),
        ("ForAnyValue:ForAllValues:StringEquals", "x"),
        ("IfExists", "x"),
        ("", "x"),
        ("NullIfExists", "true"),
        ("ForAnyValue:Null", "true"),
        ("StringEquals", None),
        ("StringEquals", {}),
        ("StringEquals", []),
        ("StringEquals", [["x"]]),
        ("NumericEquals", "ten"),
        ("NumericEquals", True),
        ("NumericEquals", "1e999"),
        ("NumericEquals", "0x10"),
        ("DateEquals", "yesterday"),
        ("DateEquals", "2026-02-30"),
        ("DateEquals", "2026-13"),
        ("DateEquals", "2026-01-01T25:00:00Z"),
        ("Bool", "yes"),
        ("Bool", 1),
        ("Null", "null"),
        ("BinaryEquals", "*"),
        ("BinaryEquals", "\u00ff"),
        ("IpAddress", "10.0.0.0/33"),
        ("IpAddress", "10.0.0.0/255.0.0.0"),
        ("IpAddress", "10.0.0"),
        ("IpAddress", "fe80::1%eth0"),
        ("ArnEquals", "admin"),
    ],
)
def test_a_condition_is_refused(operator: str, value: Any) -> None:
    text = document(but(KEY_STATEMENT, Condition={operator: {"kms:ViaService": value}}))
    assert refusal(parse_key_policy, text) == SYNTAX


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Principal": "*"}, "Policy document should not specify a principal."),
        ({"NotPrincipal": "*"}, "Policy document should not specify a principal."),
        ({"Sid": "with space"}, None),
        ({"Action": ABSENT}, "Policy statement must contain actions."),
        ({"Resource": ABSENT}, "Policy statement must contain resources."),
        ({"Resource": []}, "Policy statement must contain resources."),
        ({"NotResource": "*"}, SYNTAX),
        ({"Resource": "key/*"}, 'Resource key/* must be in ARN format or "*".'),
        ({"Resource": "arn:aws:kms"}, 'Resource arn:aws:kms must be in ARN format or "*".'),
        ({"Resource": ""}, 'Resource  must be in ARN format or "*".'),
        ({"Resource": 5}, SYNTAX),
    ],
)
def test_an_identity_policy_statement_is_refused(changes: dict[str, Any], message: str | None) -> None:
    said = refusal(parse_identity_policy, document(but(IDENTITY_STATEMENT, **changes)))
    assert message is None or said == message


def test_the_size_limit_is_in_bytes() -> None:
    text = document(but(KEY_STATEMENT, Sid="@"))
    assert parse_key_policy(text + " " * (MAX_BYTES - len(text)))
    with pytest.raises(LimitExceededException):
        parse_key_policy(text + " " * (MAX_BYTES - len(text) + 1))
    with pytest.raises(LimitExceededException):
        parse_key_policy(text.replace("@", "\u00e9" * (MAX_BYTES // 2)))


# -- set operators in key policies


OVERLY_PERMISSIVE = (
    "OverlyPermissiveCondition:EncryptionContext: Using the ForAllValues set operator with a single-valued condition "
    "key matches requests without the specified encryption context or with an unspecified encryption context. To fix, "
    "remove ForAllValues."
)


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
@pytest.mark.parametrize("key_", ["kms:EncryptionContext:App", "KMS:encryptioncontext:App", "aws:RequestTag/Stage"])
def test_for_all_values_of_a_single_valued_key_is_refused(key_: str, effect: str) -> None:
    """KMS developer guide, "Using set operators with condition keys"."""
    block = {"ForAllValues:StringLike": {key_: "*"}}
    said = refusal(parse_key_policy, document(but(KEY_STATEMENT, Effect=effect, Condition=block)))
    if "tag" not in key_.lower():
        assert said == OVERLY_PERMISSIVE
    else:
        assert said is not None
        assert said.startswith("OverlyPermissiveCondition: ")
        assert " the specified tag or " in said


def test_elsewhere_set_operators_are_accepted() -> None:
    for block in (
        {"ForAllValues:StringLike": {"kms:EncryptionContextKeys": "a"}},
        {"ForAnyValue:StringLike": {"kms:EncryptionContext:App": "a"}},
        {"ForAllValues:StringEquals": {"kms:ResourceAliases": "alias/a"}},
    ):
        assert key(Condition=block).conditions
    assert identity(Condition={"ForAllValues:StringLike": {"kms:EncryptionContext:App": "a"}}).conditions


# -- trust policies

TRUST_STATEMENT: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"}


def test_a_trust_policy_names_principals_and_no_resource() -> None:
    said = parse_trust_policy(document(but(TRUST_STATEMENT, Condition={"StringEquals": {"sts:ExternalId": "x"}})))
    assert said.statements == (
        Statement(
            effect="Allow",
            principals=Principals(accounts=frozenset({ACCOUNT})),
            actions=("sts:assumerole",),
            conditions=(Condition("StringEquals", "sts:ExternalId", ("x",)),),
        ),
    )
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/id.example/team"
    for principal in ("*", {"Service": "ec2.amazonaws.com"}, {"Federated": provider}, {"AWS": [ROLE, SESSION]}):
        for action in ("sts:AssumeRoleWithWebIdentity", ["sts:AssumeRole", "sts:TagSession"], "sts:*"):
            assert parse_trust_policy(document(but(TRUST_STATEMENT, Principal=principal, Action=action)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Resource": "*"}, "Has prohibited field Resource"),
        ({"NotResource": "*"}, "Has prohibited field NotResource"),
        ({"Principal": ABSENT, "NotPrincipal": {"AWS": ROOT}}, "Has prohibited field NotPrincipal"),
        ({"Principal": ABSENT}, "Missing required field Principal"),
        ({"Principal": {}}, "Missing required field Principal"),
        ({"Principal": ROOT}, INVALID_PRINCIPALS),
        ({"Action": ABSENT}, "Missing required field Action"),
        ({"Action": "kms:Encrypt"}, "AssumeRole policy may only specify STS AssumeRole actions."),
        ({"Action": ["sts:AssumeRole", "*"]}, "AssumeRole policy may only specify STS AssumeRole actions."),
        ({"Action": "*:AssumeRole"}, "AssumeRole policy may only specify STS AssumeRole actions."),
        ({"Sid": "with space"}, None),
        ({"Effect": "allow"}, SYNTAX),
        ({"Extra": 1}, SYNTAX),
    ],
)
def test_a_trust_policy_statement_is_refused(changes: dict[str, Any], message: str | None) -> None:
    said = refusal(parse_trust_policy, document(but(TRUST_STATEMENT, **changes)))
    assert message is None or said == message


def test_the_size_of_a_trust_policy_is_in_characters_that_are_not_white_space() -> None:
    text = document(but(TRUST_STATEMENT, Sid="@"))
    room = MAX_TRUST_CHARACTERS - len("".join(text.split())) + 1
    assert parse_trust_policy(text.replace("@", "a" * room) + "\n\t " * 9_000)
    with pytest.raises(LimitExceededException, match="ACLSizePerRole: 2048"):
        parse_trust_policy(text.replace("@", "a" * (room + 1)))
    for parse in (parse_trust_policy, parse_identity_policy):
        with pytest.raises(LimitExceededException):
            parse(text + " " * 131_072)
