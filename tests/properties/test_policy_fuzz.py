# SPDX-License-Identifier: Apache-2.0
"""Whatever text claims to be a policy, it is parsed or refused with one of two faults."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from policies import (
    ABSENT,
    ACCOUNT,
    IDENTITY_STATEMENT,
    KEY_STATEMENT,
    MFA,
    ROLE,
    ROOT,
    SESSION,
    allow,
    but,
    deny,
    document,
)

from keyquorum.authz.compiled import ROLE as ASSUMED_ROLE
from keyquorum.authz.compiled import Subject
from keyquorum.authz.lockout import allows_put_key_policy
from keyquorum.authz.policy import default_key_policy, parse_identity_policy, parse_key_policy
from keyquorum.errors import KMSError, LimitExceededException, MalformedPolicyDocumentException

CALLER = Subject(ASSUMED_ROLE, SESSION, ACCOUNT, "AROAADMIN:laptop", role_arn=ROLE, role_id="AROAADMIN")
VALID = [
    default_key_policy(ACCOUNT),
    document(
        allow(
            {"AWS": [ROLE, SESSION], "Service": "s3.amazonaws.com"},
            Sid="a",
            Condition={**MFA, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        ),
        deny(
            ABSENT,
            ABSENT,
            NotPrincipal="*",
            NotAction=["kms:D*"],
            Condition={"DateLessThan": {"aws:CurrentTime": "2026"}},
        ),
    ),
    document(but(IDENTITY_STATEMENT, Condition={"NumericLessThan": {"kms:x": 1}, "ArnLike": {"aws:SourceArn": "*"}})),
]
FRAGMENT = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        '"',
        ":",
        ",",
        "*",
        "\\ud800",
        "\\u0000",
        "null",
        "1e400",
        "-",
        "Allow",
        "Not",
        "IfExists",
        "arn:",
        "/",
    ]
)


def survives(text: str) -> None:
    for parse in (parse_key_policy, parse_identity_policy):
        try:
            policy = parse(text)
        except KMSError as fault:
            assert type(fault) in (MalformedPolicyDocumentException, LimitExceededException)  # noqa: PT017 - parsing may succeed
            (fault.message or "").encode()
        else:
            assert hash(policy) == hash(parse(text))
            if parse is parse_key_policy:
                allows_put_key_policy(policy, CALLER, ACCOUNT)


@given(st.text() | st.text('{}[]",:*aA\\u0d8 \n'))
def test_any_text(text: str) -> None:
    survives(text)


@given(st.sampled_from(VALID), st.integers(0, 700), st.integers(0, 40), FRAGMENT | st.text(max_size=4))
def test_a_mutated_policy(text: str, start: int, length: int, replacement: str) -> None:
    survives(text[:start] + replacement + text[start + length :])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["*", ROOT, "kms:*", "Allow", "true"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["AWS", "Service", "StringEquals", "Bool", "DateEquals", "aws:x", ""]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(st.sampled_from([*KEY_STATEMENT, "NotPrincipal", "NotAction", "NotResource", "Condition", "Sid"]), JSON)
def test_an_element_of_any_shape(element: str, value: Any) -> None:
    survives(document(but(KEY_STATEMENT, **{element: value})))
    survives(document(but(IDENTITY_STATEMENT, **{element: value})))
