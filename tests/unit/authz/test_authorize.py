# SPDX-License-Identifier: Apache-2.0
"""The proof of authorization cannot be forged by accident, and is given for a decision that allows alone."""

import subprocess
import sys
from pathlib import Path

import pytest
from stored import ALLOWED, REGION, key, keyring, new_material

from keyquorum.authz.authorize import AuthorizedKey, absent_or_forbidden, authorize
from keyquorum.authz.decision import Decision, Reason, Source
from keyquorum.errors import AccessDeniedException
from keyquorum.model import ROOT, Caller, KeyRecord

OTHER = "444455556666"
MATERIAL = new_material(keyring(), "key-one")
RECORD = KeyRecord(key("key-one", MATERIAL), {MATERIAL.material_id: MATERIAL})


@pytest.mark.parametrize("token", [None, object(), True, "token", AuthorizedKey])
def test_nothing_else_makes_an_authorized_key(token: object) -> None:
    with pytest.raises(TypeError, match=r"from authorize\(\) alone"):
        AuthorizedKey(token, RECORD)
    with pytest.raises(TypeError):
        AuthorizedKey(RECORD)  # type: ignore[call-arg]  # what a forgetful operation would do


def test_a_decision_that_allows_is_the_proof_for_its_key() -> None:
    proof = authorize(RECORD, ALLOWED)
    assert (proof.key, proof.materials) == (RECORD.key, RECORD.materials)
    with pytest.raises(AttributeError):
        proof.state = "Enabled"  # type: ignore[attr-defined]  # there is nothing else to set


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.ALLOWED])
def test_no_other_decision_is(reason: Reason, source: Source) -> None:
    with pytest.raises(AccessDeniedException):
        authorize(RECORD, Decision(False, reason, source))


def test_of_another_accounts_key_the_same_is_told_whether_it_is_there_or_not() -> None:
    stranger = Caller(OTHER, REGION, f"arn:aws:iam::{OTHER}:root", OTHER, ROOT)
    refused = Decision(False, Reason.IMPLICIT_DENY, Source.RESOURCE, foreign=True)
    absent = absent_or_forbidden(stranger, "kms:Decrypt").message
    assert refused.message(stranger.arn, "kms:Decrypt", "arn") == absent
    assert absent == (
        f"User: arn:aws:iam::{OTHER}:root is not authorized to perform: kms:Decrypt on this resource because the "
        "resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy "
        "explicitly denies access"
    )


@pytest.mark.slow
def test_the_import_contracts_are_kept() -> None:
    root = Path(__file__).parents[3]
    program = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([program, "--no-cache"], cwd=root, capture_output=True, text=True, timeout=110)
    assert ended.returncode == 0, ended.stdout
    for contract in (
        "each layer knows only those below it",
        "only the keyring and custody reach cryptography",
        "decisions, key states, the wire and signatures are pure",
        "families of operations do not know each other",
    ):
        assert f"{contract} KEPT" in ended.stdout
