# SPDX-License-Identifier: Apache-2.0
"""What somebody would try who wants a decision to come out otherwise."""

import json

import oracle
import pytest
from asked import ADMIN_SESSION, DEFAULT, FULL, SERVICE_S3, USER_ALICE, USER_BOB, Asked, by, doc, grant, statement
from decisions import compiled_grant, context_of, decide, key_policy, request_of, subject_of
from policies import ACCOUNT, ALICE, KEY_ARN, ROLE, ROOT, SESSION

from keyquorum.authz import evaluate
from keyquorum.authz.compiled import Compiled
from keyquorum.authz.grants import CompiledGrant
from keyquorum.authz.matching import fold
from keyquorum.authz.policy import parse_key_policy
from keyquorum.model import Grant

APP = "kms:EncryptionContext:app"
K, LONG_S, DOTLESS = "\u212a", "\u017f", "\u0131"


def check(asked: Asked, allowed: bool) -> None:
    assert decide(asked).allowed is allowed
    assert oracle.allows(asked) is allowed


@pytest.mark.parametrize("lookalike", [K, LONG_S, DOTLESS, "\u0130", "\uff4b", "\u043a"])
def test_no_lookalike_is_the_letter(lookalike: str) -> None:
    for letter in "ksi":
        assert fold(lookalike) != letter
        assert fold(lookalike.upper()) == fold(lookalike.upper())
    condition = {"StringEqualsIgnoreCase": {APP: "kiss"}}
    value = lookalike + "iss" if lookalike in (K, "\uff4b", "\u043a") else f"k{lookalike}ss"
    for effect in ("Allow", "Deny"):
        policies = (doc(statement(effect, Condition=condition)), *((FULL,) if effect == "Deny" else ()))
        check(Asked(key_policy=DEFAULT, identity=policies, context={APP: value}), effect == "Deny")


def test_no_lookalike_is_the_key_of_a_condition_or_a_constraint() -> None:
    said = doc(statement(Condition={"StringEquals": {"kms:EncryptionContext:key": "v"}}))
    check(Asked(key_policy=DEFAULT, identity=(said,), context={f"kms:EncryptionContext:{K}ey": "v"}), False)
    given = grant(ALICE, "Encrypt", constraints={"EncryptionContextEquals": {"key": "v"}})
    closed = doc(by({"AWS": ROLE}))
    check(Asked(key_policy=closed, grants=(given,), encryption_context={f"{K}ey": "v"}), False)
    check(Asked(key_policy=closed, grants=(given,), encryption_context={"KEY": "v"}), True)


def test_a_second_pair_that_differs_in_case_alone_opens_nothing() -> None:
    """Which of two values a condition key has must not be the sender's choice."""
    both = {APP: "pay", APP.upper(): "other"}
    allowing = doc(statement(Condition={"StringEquals": {APP: "pay"}}))
    check(Asked(key_policy=DEFAULT, identity=(allowing,), context=both), False)
    for operator in ("StringNotEquals", "StringNotLike", "StringNotEqualsIgnoreCase"):
        denying = doc(statement("Deny", Condition={operator: {APP: "pay"}}))
        check(Asked(key_policy=DEFAULT, identity=(FULL, denying), context=both), False)
    denying = doc(statement("Deny", Condition={"StringEquals": {APP: "other"}}))
    check(Asked(key_policy=DEFAULT, identity=(FULL, denying), context=both), False)
    resource = doc(statement(resource=f"arn:aws:kms:*:*:key/${{{APP}}}*"))
    check(Asked(key_policy=DEFAULT, identity=(resource,), context={APP: "1", APP.upper(): "2"}), False)
    defaulted = doc(statement(resource=f"arn:aws:kms:*:*:key/${{{APP}, '1'}}*"))
    check(Asked(key_policy=DEFAULT, identity=(defaulted,), context={}), True)
    check(Asked(key_policy=DEFAULT, identity=(defaulted,), context={APP: "8", APP.upper(): "9"}), False)


@pytest.mark.parametrize("value", ["*", "?", "${*}", "${aws:username}", "1234abcd-*", "../*"])
def test_a_value_that_the_caller_chooses_is_no_pattern(value: str) -> None:
    resource = doc(statement(resource="arn:aws:kms:*:*:key/${aws:PrincipalTag/key}"))
    check(Asked(key_policy=DEFAULT, identity=(resource,), context={"aws:PrincipalTag/key": value}), False)
    like = doc(statement(Condition={"StringLike": {"x:owner": "${aws:PrincipalTag/key}"}}))
    check(
        Asked(key_policy=DEFAULT, identity=(like,), context={"aws:PrincipalTag/key": value, "x:owner": "victim"}), False
    )


def test_the_order_of_an_encryption_context_does_not_matter_but_its_pairs_do() -> None:
    given = grant(ALICE, "Encrypt", constraints={"EncryptionContextEquals": {"a": "b", "c": "d"}})
    asked = Asked(key_policy=doc(by({"AWS": ROLE})), grants=(given,))
    for context, allowed in (
        ({"c": "d", "a": "b"}, True),
        ({"a": "b"}, False),
        ({"a": "d", "c": "b"}, False),
        ({"ab": "", "cd": ""}, False),
        ({"a": "bc", "d": ""}, False),
        ({"a": "b", "c": "d", "A": "b"}, False),
    ):
        check(asked.but(encryption_context=context), allowed)


@pytest.mark.parametrize(
    "arn",
    [
        ALICE.replace(":iam:", ":IAM:"),
        ALICE.upper(),
        ALICE + "/",
        ALICE.replace("alice", "al\u0456ce"),
        f"arn:aws:iam::{ACCOUNT}:user/team/../team/alice",
        SESSION,
    ],
)
def test_another_spelling_of_an_arn_is_another_principal(arn: str) -> None:
    who = subject_of(Asked())
    other = type(who)(who.kind, arn, who.account, "AIDAOTHER", policies=())
    assert not evaluate.on_key(request_of(Asked()), other, key_policy(doc(by({"AWS": ALICE})))).allowed


def test_a_user_made_again_under_the_same_name_gets_nothing() -> None:
    """API reference, PutKeyPolicy: principals bind to the unique ID."""
    text = doc(by({"AWS": [ALICE, ROLE, SESSION]}))
    policy = parse_key_policy(json.dumps(text))
    first = Compiled(policy, {ALICE: "AIDAALICE", ROLE: "AROAADMIN"})
    again = Compiled(policy, {ALICE: "AIDAOLD", ROLE: "AROAOLD"})
    gone = Compiled(policy, {})
    for asked in (Asked(), Asked(who=ADMIN_SESSION)):
        decided = [evaluate.on_key(request_of(asked), subject_of(asked), p).allowed for p in (first, again, gone)]
        assert decided == [True, False, False]
    denying = parse_key_policy(json.dumps(doc(by("*"), by({"AWS": ALICE}, effect="Deny"))))
    assert not evaluate.on_key(
        request_of(Asked()), subject_of(Asked()), Compiled(denying, {ALICE: "AIDAALICE"})
    ).allowed


def test_a_grant_binds_to_the_unique_id() -> None:
    stored = Grant("g", "k", "r", None, ALICE, None, ACCOUNT, ("Encrypt",), None, 0.0)
    closed = key_policy(doc(by({"AWS": ROLE})))
    for unique_id, allowed in (("AIDAALICE", True), ("AIDAOLD", False), (None, True)):
        granted = [CompiledGrant(stored, unique_id)]
        decision = evaluate.on_key(request_of(Asked()), subject_of(Asked()), closed, granted.copy)
        assert decision.allowed is allowed


def test_a_session_of_another_accounts_role_of_the_same_name_is_not_the_roles() -> None:
    foreign = SESSION.replace(ACCOUNT, USER_BOB.account)
    who = subject_of(Asked(who=ADMIN_SESSION, identity=(FULL,)))
    other = type(who)(
        who.kind,
        foreign,
        USER_BOB.account,
        "AROAX:laptop",
        ROLE.replace(ACCOUNT, USER_BOB.account),
        "AROAX",
        policies=who.policies,
    )
    for principal in (ROLE, SESSION, ROOT):
        assert not evaluate.on_key(request_of(Asked()), other, key_policy(doc(by({"AWS": principal})))).allowed


def test_a_service_is_no_deputy_for_whom_it_does_not_name() -> None:
    """KMS: "Using aws:SourceArn or aws:SourceAccount condition keys"."""
    principal = {"Service": "s3.amazonaws.com"}
    condition = {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::ours-*"}}

    asked = Asked(who=SERVICE_S3, key_policy=doc(by(principal, Condition=condition)))
    check(asked, False)
    check(asked.but(context={"aws:SourceArn": "arn:aws:s3:::theirs-1"}), False)
    check(asked.but(context={"aws:SourceArn": "arn:aws:s3:::ours-1"}), True)


def test_a_grant_token_in_the_request_proves_nothing() -> None:
    asked = Asked(key_policy=doc(by({"AWS": ROLE})), context={"kms:GrantToken": "token"})
    check(asked, False)


def test_a_request_without_values_is_not_a_request_with_any() -> None:
    context = context_of({"aws:TagKeys": []})
    assert not context["aws:tagkeys"]
    assert context["never:mentioned"] is None
    assert "never:mentioned" not in context


def test_numbers_and_times_that_no_policy_could_hold_match_nothing() -> None:
    for value in ("NaN", "sNaN", "Infinity", "9" * 65, "", "1_0x", "--1"):
        for operator in ("NumericLessThan", "NumericGreaterThan", "NumericEquals", "DateLessThan", "DateGreaterThan"):
            said = doc(statement(Condition={operator: {"x:n": "2020"}}))
            assert not decide(Asked(key_policy=DEFAULT, identity=(said,), context={"x:n": value})).allowed


def test_a_stored_grant_with_everything_still_allows_its_operations_alone() -> None:
    granted = compiled_grant(grant(ALICE, "Encrypt", "CreateGrant", "RetireGrant", retiring=ALICE))
    closed = key_policy(doc(by({"AWS": ROLE})))
    for action in ("kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:RevokeGrant", "kms:RetireGrant", "kms:encrypt*"):
        asked = Asked(action=action)
        assert not evaluate.on_key(request_of(asked), subject_of(asked), closed, lambda: [granted]).allowed


def test_who_asks_is_the_caller_and_not_what_the_request_says() -> None:
    asked = Asked(
        key_policy=doc(by("*", Condition={"StringEquals": {"aws:PrincipalAccount": ACCOUNT}})),
        who=USER_BOB,
        identity=(FULL,),
        context={"aws:PrincipalAccount": USER_BOB.account},
    )
    check(asked, False)
    check(asked.but(who=USER_ALICE, context={"aws:PrincipalAccount": ACCOUNT}), True)
    assert KEY_ARN in decide(asked.but(who=USER_ALICE)).message(ALICE, "kms:Encrypt", KEY_ARN)
