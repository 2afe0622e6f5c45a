# SPDX-License-Identifier: Apache-2.0
"""What decides besides the cases of the policy suite: the order of asking, layouts of ARNs, trust, and the tables."""

import json
from dataclasses import replace
from typing import Any

import oracle
import pytest
from asked import BOB, DEFAULT, FULL, OTHER, OTHER_ROOT, USER_ALICE, USER_BOB, WEB, Asked, by, doc, grant, statement
from botocore import loaders  # the pinned model is the source of the table
from decisions import compiled_grant, decide, key_policy, request_of, subject_of
from policies import ACCOUNT, ALICE, KEY_ARN, ROLE, ROOT

from keyquorum.authz import evaluate
from keyquorum.authz.compiled import Compiled, Request
from keyquorum.authz.cross_account import CROSS_ACCOUNT
from keyquorum.authz.decision import Source
from keyquorum.authz.grants import CompiledGrant
from keyquorum.authz.policy import parse_key_policy

CLOSED = doc(by({"AWS": ROLE}, "kms:GetKeyPolicy"))
DENY = doc(statement("Deny"))


@pytest.mark.parametrize(
    ("asked", "asks"),
    [
        (Asked(key_policy=DEFAULT, identity=(FULL,)), 0),
        (Asked(key_policy=doc(by({"AWS": ALICE}))), 0),
        (Asked(key_policy=DEFAULT, identity=(DENY,)), 0),
        (Asked(key_policy=doc(by("*", effect="Deny"))), 0),
        (Asked(key_policy=DEFAULT), 1),
        (Asked(key_policy=CLOSED, identity=(FULL,)), 1),
        (Asked(key_policy=doc(by({"AWS": OTHER_ROOT})), who=USER_BOB), 1),
        (Asked(key_policy=doc(by({"AWS": OTHER_ROOT})), who=USER_BOB, identity=(DENY,)), 0),
        (Asked(key_policy=DEFAULT, who=USER_BOB, identity=(FULL,), action="kms:DisableKey"), 0),
    ],
)
def test_grants_are_asked_for_only_where_no_policy_allows_it(asked: Asked, asks: int) -> None:
    asked_for: list[int] = []

    def grants() -> list[CompiledGrant]:
        asked_for.append(1)
        return [compiled_grant(grant(asked.who.arn, "Encrypt"))]

    assert asked.key_policy is not None
    decision = evaluate.on_key(request_of(asked), subject_of(asked), key_policy(asked.key_policy), grants)
    assert len(asked_for) == asks
    assert (decision.source is Source.GRANT) is (asks == 1)


def test_the_decision_names_the_grant() -> None:
    decision = decide(Asked(key_policy=CLOSED, grants=(grant(BOB, "Encrypt"), grant(ALICE, "Encrypt"))))
    assert (decision.source, decision.grant_id) == (Source.GRANT, "g1")


def test_all_of_an_account_as_a_resource_is_all_that_has_no_key() -> None:
    """KMS: Permissions reference, "or to an account-specific variation"."""
    everything = f"arn:aws:kms:eu-west-1:{ACCOUNT}:*"
    asked = Asked(action="kms:CreateKey", resource=None, owner=None)
    for pattern, allowed in (
        (everything, True),
        (everything.replace(ACCOUNT, OTHER), False),
        ("arn:aws:kms:*:*:key/*", False),
    ):
        subject = subject_of(asked.but(identity=(doc(statement(resource=pattern)),)))
        request = Request("kms:CreateKey", ("*", everything), None, request_of(asked).context)
        assert evaluate.on_account(request, subject).allowed is allowed


def test_a_policy_is_understood_in_both_layouts_of_an_arn() -> None:
    other = f"arn:aws:verenc:{ACCOUNT}:key/{KEY_ARN[-36:]}"
    for deny in (KEY_ARN, other, f"arn:aws:verenc:{ACCOUNT}:key/*"):
        subject = subject_of(Asked(identity=(FULL, doc(statement("Deny", resource=deny)))))
        request = Request("kms:Encrypt", (KEY_ARN, other), ACCOUNT, request_of(Asked()).context)
        assert not evaluate.on_key(request, subject, key_policy(DEFAULT)).allowed


@pytest.mark.parametrize(
    ("who", "trusted", "allowed"),
    [
        (WEB, {"Federated": WEB.federated}, True),
        (WEB, {"Federated": "accounts.google.com"}, False),
        (WEB, {"AWS": ROOT}, False),
        (USER_ALICE, {"Federated": WEB.federated}, False),
    ],
)
def test_a_token_is_trusted_by_its_provider(who: Any, trusted: Any, allowed: bool) -> None:
    """IAM: Principal, web identity session principals."""
    asked = Asked(who=who, action="sts:AssumeRoleWithWebIdentity", key_policy=doc(by(trusted, "sts:*")), resource=ROLE)
    assert decide(asked).allowed is oracle.allows(asked) is allowed


def test_the_operations_that_work_across_accounts_are_those_of_the_model() -> None:
    model = loaders.Loader().load_service_model("kms", "service-2")
    found = {
        name
        for name, operation in model["operations"].items()
        if "Cross-account use</b>: Yes" in operation["documentation"].replace("\n", " ")
    }
    assert len(found) == 21
    permissions = {f"kms:{name}" for name in found - {"ReEncrypt"}} | {"kms:ReEncryptFrom", "kms:ReEncryptTo"}
    assert {name for name in CROSS_ACCOUNT if name.startswith("kms:")} == permissions


def test_what_is_remembered_of_one_subject_is_not_said_of_another() -> None:
    """One policy made ready, asked by many: among them a user made again, and one that has got a boundary."""
    not_alice = {"Effect": "Deny", "NotPrincipal": {"AWS": [ALICE, ROOT]}, "Action": "kms:*", "Resource": "*"}
    bound = Compiled(parse_key_policy(json.dumps(doc(by({"AWS": ALICE})))), {ALICE: USER_ALICE.unique_id})
    sparing = key_policy(doc(by({"AWS": [ALICE, ROOT]}), not_alice))
    request = request_of(Asked())
    alice, limited = subject_of(Asked()), subject_of(Asked(boundary=FULL))
    again = subject_of(Asked(who=replace(USER_ALICE, unique_id="AIDAAGAIN")))
    for _ in range(2):
        assert [evaluate.on_key(request, who, bound).allowed for who in (alice, again)] == [True, False]
        assert [evaluate.on_key(request, who, sparing).allowed for who in (alice, limited)] == [True, False]
        for i in range(1000):
            other = subject_of(Asked(who=replace(USER_BOB, account=ACCOUNT, arn=f"{ALICE}{i}", unique_id=f"AIDA{i}")))
            assert not evaluate.on_key(request, other, bound).allowed
