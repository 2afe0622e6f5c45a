# SPDX-License-Identifier: Apache-2.0
"""The lock-out safety check: it says what the evaluator will say of the next PutKeyPolicy."""

from typing import Any

import pytest
from asked import ADMIN_SESSION, FULL, OTHER, ROOT_USER, USER_ALICE, USER_BOB, Asked, Who
from decisions import subject_of
from policies import ABSENT, ACCOUNT, ALICE, KEY_ARN, MFA, ROLE, ROOT, SESSION, allow, deny, document

from keyquorum.authz import evaluate
from keyquorum.authz.compiled import Compiled, Request
from keyquorum.authz.lockout import allows_put_key_policy
from keyquorum.authz.matching import Context
from keyquorum.authz.policy import parse_key_policy


@pytest.mark.parametrize(
    ("statements", "who", "allowed"),
    [
        ([allow({"AWS": ROOT})], USER_ALICE, True),
        ([allow({"AWS": ACCOUNT}, "kms:Put*")], ADMIN_SESSION, True),
        ([allow({"AWS": ROOT}, "KMS:putkeypolicy")], ROOT_USER, True),
        ([allow("*", "*")], USER_ALICE, True),
        ([allow({"AWS": ROOT}, ["kms:Get*", "kms:P?tKeyPolicy"])], USER_ALICE, True),
        ([allow({"AWS": ROOT}, ABSENT, NotAction="kms:Decrypt")], USER_ALICE, True),
        ([allow({"AWS": ROOT}, ABSENT, NotAction="kms:Put*")], USER_ALICE, False),
        ([allow({"AWS": ROOT}, "kms:Encrypt")], USER_ALICE, False),
        ([allow({"AWS": ROOT}, "s3:*")], USER_ALICE, False),
        ([allow({"AWS": ROOT}, ["kms:PutKeyPolic", "kms:PutKeyPolicy?", "kms:*KeyPolicyX"])], USER_ALICE, False),
        ([allow({"AWS": ROOT}, "kms:**Key*y")], USER_ALICE, True),
        ([allow({"AWS": ROOT}, "kms:" + "*?" * 15_000)], USER_ALICE, False),
        ([allow({"AWS": ALICE})], USER_ALICE, True),
        ([allow({"AWS": ALICE})], ADMIN_SESSION, False),
        ([allow({"AWS": ROLE})], ADMIN_SESSION, True),
        ([allow({"AWS": SESSION})], ADMIN_SESSION, True),
        ([allow({"AWS": SESSION + "2"})], ADMIN_SESSION, False),
        ([allow({"AWS": f"arn:aws:iam::{OTHER}:role/admin"})], ADMIN_SESSION, False),
        ([allow({"AWS": OTHER})], USER_ALICE, False),
        ([allow({"AWS": ROOT})], USER_BOB, False),
        ([allow({"Service": "s3.amazonaws.com"})], USER_ALICE, False),
        ([allow({"AWS": ROOT}, Condition=MFA)], USER_ALICE, False),
        ([allow({"AWS": ROOT}), deny({"AWS": ALICE})], USER_ALICE, False),
        ([allow({"AWS": ROOT}), deny({"AWS": ALICE})], ADMIN_SESSION, True),
        ([allow({"AWS": ROOT}), deny({"AWS": ROLE}, "kms:Put*")], ADMIN_SESSION, False),
        ([allow({"AWS": ROOT}), deny("*", "kms:Decrypt")], USER_ALICE, True),
        ([allow({"AWS": ROOT}), deny("*", ABSENT, NotAction="kms:Decrypt")], USER_ALICE, False),
        ([allow({"AWS": ROOT}), deny("*", Condition=MFA)], USER_ALICE, True),
        ([allow({"AWS": ROOT}), deny(ABSENT, NotPrincipal={"AWS": [ROOT, ALICE]})], USER_ALICE, True),
        ([allow({"AWS": ROOT}), deny(ABSENT, NotPrincipal={"AWS": [ROOT, ROLE]})], USER_ALICE, False),
        ([allow({"AWS": ROOT}), deny(ABSENT, NotPrincipal={"AWS": ALICE})], USER_ALICE, False),
        ([deny({"AWS": OTHER})], USER_ALICE, False),
        ([allow({"AWS": ROOT}), deny(ABSENT, NotPrincipal={"AWS": [ROOT, ROLE]})], ADMIN_SESSION, False),
        ([allow({"AWS": ROOT}), deny(ABSENT, NotPrincipal={"AWS": [ROOT, ROLE, SESSION]})], ADMIN_SESSION, True),
        ([allow({"AWS": ROOT}), deny(ABSENT, NotPrincipal={"AWS": [ROOT]})], ROOT_USER, True),
    ],
)
def test_who_could_change_the_key_policy_again(statements: list[Any], who: Who, allowed: bool) -> None:
    policy = parse_key_policy(document(*statements))
    subject = subject_of(Asked(who=who, identity=(FULL,)))
    assert allows_put_key_policy(policy, subject, ACCOUNT) is allowed
    if not any(s.conditions for s in policy.statements):
        request = Request("kms:PutKeyPolicy", (KEY_ARN,), ACCOUNT, Context())
        assert evaluate.on_key(request, subject, Compiled(policy)).allowed is allowed


def test_a_boundary_makes_a_deny_to_all_but_reach_its_author() -> None:
    policy = parse_key_policy(document(allow({"AWS": ROOT}), deny(ABSENT, NotPrincipal={"AWS": [ROOT, ALICE]})))
    assert allows_put_key_policy(policy, subject_of(Asked()), ACCOUNT)
    assert not allows_put_key_policy(policy, subject_of(Asked(boundary=FULL)), ACCOUNT)


def test_a_name_that_is_bound_to_somebody_else_is_not_the_authors() -> None:
    policy = parse_key_policy(document(allow({"AWS": ALICE})))
    assert allows_put_key_policy(policy, subject_of(Asked()), ACCOUNT, {ALICE: USER_ALICE.unique_id})
    assert not allows_put_key_policy(policy, subject_of(Asked()), ACCOUNT, {ALICE: "AIDAOLD"})
