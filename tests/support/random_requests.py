# SPDX-License-Identifier: Apache-2.0
"""Random requests for a decision, with all that a decision is made from. They are valid, and so small and so alike that
their parts often meet: a policy that is about another action than the request proves nothing."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from asked import (
    ADMIN_SESSION,
    ALIAS_ARN,
    BOB,
    DEFAULT,
    FULL,
    OTHER,
    OTHER_ADMIN_SESSION,
    OTHER_ROLE,
    OTHER_ROOT,
    OTHER_ROOT_USER,
    OTHER_SESSION,
    ROOT_USER,
    SERVICE_S3,
    USER_ALICE,
    USER_BOB,
    Asked,
    Document,
    doc,
)
from policies import ACCOUNT, ALICE, KEY_ARN, ROLE, ROOT, SESSION

_T = TypeVar("_T")

ACTIONS = ["kms:Encrypt", "kms:Decrypt", "kms:CreateGrant", "kms:DescribeKey", "kms:TagResource", "kms:ReEncryptTo"]
PATTERNS = [*ACTIONS, "kms:*", "kms:*", "*", "kms:*crypt*", "KMS:?ncrypt", "kms:De*", "s3:*"]
ARNS = [ROOT, ACCOUNT, ALICE, ROLE, SESSION, OTHER_ROOT, BOB, OTHER_ROLE, OTHER_SESSION, "*"]
RESOURCES = [
    "*",
    "*",
    KEY_ARN,
    ALIAS_ARN,
    "arn:aws:kms:*:*:key/*",
    "arn:aws:kms:*:*:key/${x:v}*",
    "arn:aws:kms:*:*:key/${x:none, '1'}*",
    KEY_ARN[:-1] + "?",
]
CALLERS = [
    ROOT_USER,
    *[USER_ALICE] * 3,
    *[ADMIN_SESSION] * 3,
    OTHER_ROOT_USER,
    *[USER_BOB] * 2,
    *[OTHER_ADMIN_SESSION] * 2,
    SERVICE_S3,
]
VALUES = ["", "a", "A", "ab", "a*", "*b", "a*b?", "*", "?", "1", "b?"]
VALUES += ["${x:v}", "${x:v, 'a'}", "${x:none, 'a'}", "${*}", "${x:many}", "${aws:TagKeys, 'b'}"]
CONTEXT_VALUES = ["", "a", "A", "ab", "b", "a*", "1", "01", "*", "aabb"]
GRANTEES = [ROOT, ALICE, ROLE, SESSION, OTHER_ROOT, BOB, OTHER_ROLE, "s3.amazonaws.com"]
OPERATIONS = ["Encrypt", "Decrypt", "CreateGrant", "DescribeKey", "ReEncryptTo", "RetireGrant"]
TEXT = ["Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase", "Like", "NotLike"]
ORDER = ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"]


def asked(random: Random) -> Asked:
    """A request, about a key or about none, or to retire a grant."""
    request = Asked(
        who=random.choice(CALLERS),
        action=random.choice(ACTIONS),
        key_policy=None if _once_in(random, 8) else _key_policy(random),
        identity=tuple(_document(random) for _ in range(random.choice([0, 1, 1, 1, 2]))),
        boundary=_limit(random) if _once_in(random, 4) else None,
        sessions=tuple(_limit(random) for _ in range(random.choice([0, 0, 0, 1, 2]))),
        grants=tuple(_grant(random) for _ in range(random.choice([0, 0, 1, 1, 2]))),
        context=_context(random),
        encryption_context=_pairs(random),
        creates=None if _once_in(random, 3) else _terms(random),
    )
    if request.key_policy is not None and _once_in(random, 6):
        return request.but(action="kms:RetireGrant", retires=None if _once_in(random, 4) else _grant(random))
    return request


def denials(random: Random) -> Document:
    """An identity policy that only denies."""
    denying = _document(random)
    return {**denying, "Statement": [{**said, "Effect": "Deny"} for said in denying["Statement"]]}


def _once_in(random: Random, times: int) -> bool:
    return random.randrange(times) == 0


def _some(random: Random, values: Sequence[_T], most: int = 3) -> list[_T]:
    return [random.choice(values) for _ in range(random.randint(1, most))]


def _document(random: Random, principals: bool = False) -> Document:
    statements = [_statement(random, principals) for _ in range(random.randint(1, 3))]
    return doc(*statements, version=random.choice(["2012-10-17", "2012-10-17", "2008-10-17"]))


def _limit(random: Random) -> Document:
    """A document that is often about everything: what nearly all requests fail tells little of the rest."""
    return random.choice([FULL, _document(random)])


def _key_policy(random: Random) -> Document:
    made = _document(random, principals=True)
    return {**made, "Statement": [*DEFAULT["Statement"], *made["Statement"]]} if _once_in(random, 3) else made


def _statement(random: Random, principals: bool) -> Document:
    said: Document = {"Effect": random.choice(["Allow", "Allow", "Allow", "Deny"]), "Resource": "*"}
    said["NotAction" if _once_in(random, 5) else "Action"] = _some(random, PATTERNS)
    if principals:
        name = "NotPrincipal" if said["Effect"] == "Deny" and _once_in(random, 2) else "Principal"
        said[name] = {"AWS": _some(random, ARNS, 4)}
        if _once_in(random, 4):
            said[name] = random.choice(["*", {"Service": "s3.amazonaws.com"}, {"AWS": ROOT}, {"AWS": OTHER_ROOT}])
    elif _once_in(random, 2):
        del said["Resource"]
        said["NotResource" if _once_in(random, 4) else "Resource"] = _some(random, RESOURCES, 2)
    if _once_in(random, 2):
        said["Condition"] = {}
        for _ in range(random.choice([1, 1, 2])):
            said["Condition"].update(random.choice(_CONDITIONS)(random))
    return said


def _text(random: Random) -> Document:
    quantifier = random.choice(["", "", "ForAnyValue:", "ForAllValues:"])
    operator = f"{quantifier}String{random.choice(TEXT)}{random.choice(['', 'IfExists'])}"
    return {operator: {random.choice(["x:v", "X:V", "x:many", "x:none", "aws:TagKeys"]): _some(random, VALUES)}}


def _number(random: Random) -> Document:
    return {f"Numeric{random.choice(ORDER)}": {"x:n": _some(random, ["1", "2", "1.0", "1e0", -1])}}


def _date(random: Random) -> Document:
    times = ["2026", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00+01:00", "1772366400", "2027-01"]
    return {f"Date{random.choice(ORDER)}": {"aws:CurrentTime": _some(random, times)}}


def _address(random: Random) -> Document:
    networks = ["10.0.0.0/8", "10.1.2.3", "2001:db8::/32", "0.0.0.0/0", "::/0"]
    return {random.choice(["IpAddress", "NotIpAddress"]): {"aws:SourceIp": _some(random, networks)}}


def _arn(random: Random) -> Document:
    operator = random.choice(["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike", "ArnLikeIfExists"])
    arns = [ALICE, "arn:aws:iam::*:user/*", "arn:aws:iam::${x:v}:user/*", "*", "arn:aws:*:*:*:role/*"]
    return {operator: {"aws:PrincipalArn": _some(random, arns)}}


def _flag(random: Random) -> Document:
    values = random.choice([["true"], ["false"], [True], ["true", "false"]])
    return {random.choice(["Bool", "BoolIfExists"]): {random.choice(["x:flag", "x:none"]): values}}


def _bytes(random: Random) -> Document:
    return {"BinaryEquals": {"x:b": _some(random, ["YQ==", "YWI=", ""])}}


def _null(random: Random) -> Document:
    return {"Null": {random.choice(["x:v", "x:none", "aws:TagKeys"]): _some(random, ["true", "false"])}}


_CONDITIONS: list[Callable[[Random], Document]] = [_text, _text, _number, _date, _address, _arn, _flag, _bytes, _null]


def _context(random: Random) -> dict[str, Any]:
    always = {"aws:CurrentTime": "2026-03-01T12:00:00Z", "x:flag": random.choice(["true", "false"])}
    sometimes: dict[str, Any] = {
        "x:v": random.choice(CONTEXT_VALUES),
        "X:v": random.choice(CONTEXT_VALUES),
        "x:many": _some(random, CONTEXT_VALUES) if random.random() < 0.8 else [],
        "aws:TagKeys": _some(random, CONTEXT_VALUES) if random.random() < 0.8 else [],
        "x:n": random.choice(["1", "2", "x"]),
        "x:b": random.choice(["YQ==", "YWI=", "?"]),
        "aws:SourceIp": random.choice(["10.1.2.3", "192.0.2.1", "2001:db8::1", "::ffff:10.1.2.3"]),
        "aws:PrincipalArn": random.choice([ALICE, ROLE, BOB]),
    }
    return {**always, **{key: value for key, value in sometimes.items() if _once_in(random, 2)}}


def _pairs(random: Random) -> dict[str, str]:
    return {random.choice(["a", "A", "b"]): random.choice(["1", "2"]) for _ in range(random.randrange(3))}


def _constraints(random: Random) -> Document:
    if _once_in(random, 2):
        return {}
    return {f"EncryptionContext{random.choice(['Equals', 'Subset'])}": _pairs(random)}


def _terms(random: Random) -> Document:
    return {"operations": sorted(set(_some(random, OPERATIONS, 4))), "constraints": _constraints(random)}


def _grant(random: Random) -> Document:
    retiring = random.choice([None, None, ROOT, ALICE, ROLE, BOB, OTHER_ROOT])
    issuer = random.choice([ACCOUNT, ACCOUNT, OTHER])
    return {**_terms(random), "grantee": random.choice(GRANTEES), "retiring": retiring, "issuer": issuer}
