# SPDX-License-Identifier: Apache-2.0
"""What a caller is told of a refusal, and what an administrator is.

Wording: IAM user guide, "Troubleshoot access denied error messages"; recorded answers of AWS KMS.
"""

import pytest
from asked import ADMIN_SESSION, DEFAULT, FULL, NOTHING, USER_BOB, Asked, by, doc, statement
from decisions import decide
from policies import ALICE, KEY_ARN, ROLE, ROOT

DENY = statement("Deny", "kms:Encrypt", Sid="NoEncryption")
START = f"User: {ALICE} is not authorized to perform: kms:Encrypt on resource: {KEY_ARN} "
ABSENT = (
    f"User: {USER_BOB.arn} is not authorized to perform: kms:Encrypt on this resource because the resource does not "
    "exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(key_policy=DEFAULT), "because no identity-based policy allows the kms:Encrypt action"),
        (Asked(key_policy=doc(by({"AWS": ROLE}))), "because no resource-based policy allows the kms:Encrypt action"),
        (
            Asked(key_policy=DEFAULT, identity=(FULL,), boundary=NOTHING),
            "because no permissions boundary allows the kms:Encrypt action",
        ),
        (
            Asked(who=ADMIN_SESSION, key_policy=DEFAULT, identity=(FULL,), sessions=(NOTHING,)),
            "because no session policy allows the kms:Encrypt action",
        ),
        (Asked(key_policy=DEFAULT, identity=(doc(DENY),)), "with an explicit deny in an identity-based policy"),
        (Asked(key_policy=DEFAULT, boundary=doc(DENY)), "with an explicit deny in a permissions boundary"),
        (Asked(key_policy=DEFAULT, sessions=(doc(DENY),)), "with an explicit deny in a session policy"),
        (
            Asked(key_policy=doc(by({"AWS": ROOT}, effect="Deny"))),
            "with an explicit deny in a resource-based policy",
        ),
    ],
)
def test_why(asked: Asked, said: str) -> None:
    assert decide(asked).message(ALICE, "kms:Encrypt", KEY_ARN) == START + said


def test_what_is_about_no_key_is_about_all() -> None:
    decision = decide(Asked(action="kms:CreateKey", resource=None, owner=None))
    assert decision.message(ALICE, "kms:CreateKey", None) == (
        f"User: {ALICE} is not authorized to perform: kms:CreateKey on resource: * because no identity-based policy "
        "allows the kms:CreateKey action"
    )


OTHERS = doc(by({"AWS": USER_BOB.account}))


@pytest.mark.parametrize(
    "asked",
    [
        Asked(who=USER_BOB, key_policy=DEFAULT),
        Asked(who=USER_BOB, key_policy=DEFAULT, identity=(FULL,)),
        Asked(who=USER_BOB, key_policy=DEFAULT, identity=(FULL, doc(DENY))),
        Asked(who=USER_BOB, key_policy=DEFAULT, identity=(FULL,), boundary=NOTHING),
        Asked(who=USER_BOB, key_policy=doc(by({"AWS": USER_BOB.arn}, effect="Deny"), by("*")), identity=(FULL,)),
        Asked(who=USER_BOB, key_policy=doc(by({"AWS": USER_BOB.arn}, effect="Deny")), identity=(doc(DENY),)),
    ],
)
def test_another_accounts_key_that_is_closed_looks_like_one_that_is_absent(asked: Asked) -> None:
    decision = decide(asked)
    assert not decision.allowed
    assert decision.message(USER_BOB.arn, "kms:Encrypt", KEY_ARN) == ABSENT


def test_nor_does_an_operation_that_does_not_work_across_accounts_tell_of_it() -> None:
    decision = decide(Asked(who=USER_BOB, key_policy=OTHERS, identity=(FULL,), action="kms:DisableKey"))
    assert KEY_ARN not in decision.message(USER_BOB.arn, "kms:DisableKey", KEY_ARN)


def test_a_caller_let_in_by_another_account_is_told_what_their_own_lacks() -> None:
    decision = decide(Asked(who=USER_BOB, key_policy=OTHERS))
    assert decision.message(USER_BOB.arn, "kms:Encrypt", KEY_ARN).endswith(
        f"{KEY_ARN} because no identity-based policy allows the kms:Encrypt action"
    )


def test_a_ciphertext_is_not_told_apart_by_its_key() -> None:
    decision = decide(Asked(who=USER_BOB, key_policy=DEFAULT, action="kms:Decrypt"))
    told = decision.message(USER_BOB.arn, "kms:Decrypt", KEY_ARN, "the resource associated with this ciphertext")
    assert "kms:Decrypt on the resource associated with this ciphertext because the resource does not exist" in told


def test_the_decision_names_the_statement() -> None:
    denied = decide(Asked(key_policy=DEFAULT, identity=(NOTHING, doc(statement(action="kms:Sign"), DENY))))
    assert (denied.policy, denied.statement, denied.sid) == (1, 1, "NoEncryption")
    allowed = decide(Asked(key_policy=doc(by({"AWS": ROOT}), by({"AWS": ALICE}, Sid="for Alice"))))
    assert (allowed.policy, allowed.statement, allowed.sid) == (None, 1, "for Alice")
