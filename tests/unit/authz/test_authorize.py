# SPDX-License-Identifier: Apache-2.0
"""The proof of authorization cannot be forged by accident, and is not given to another account."""

import subprocess
import sys
from pathlib import Path

import pytest
from stored import ACCOUNT, REGION, key, keyring, new_material

from keyquorum.authz.authorize import AuthorizedKey, absent_or_forbidden, authorize
from keyquorum.errors import AccessDeniedException
from keyquorum.model import ROOT, USER, Caller, KeyRecord

OTHER = "444455556666"
MATERIAL = new_material(keyring(), "key-one")
RECORD = KeyRecord(key("key-one", MATERIAL), {MATERIAL.material_id: MATERIAL})


def caller(account: str, kind: str = ROOT, region: str = REGION) -> Caller:
    return Caller(account, region, f"arn:aws:iam::{account}:root", account, kind)


@pytest.mark.parametrize("token", [None, object(), True, "token", AuthorizedKey])
def test_nothing_else_makes_an_authorized_key(token: object) -> None:
    with pytest.raises(TypeError, match=r"from authorize\(\) alone"):
        AuthorizedKey(token, RECORD)
    with pytest.raises(TypeError):
        AuthorizedKey(RECORD)  # type: ignore[call-arg]  # what a forgetful operation would do


@pytest.mark.parametrize("kind", [ROOT, USER])
def test_an_account_may_use_its_own_keys(kind: str) -> None:
    proof = authorize(caller(ACCOUNT, kind), "kms:Decrypt", RECORD)
    assert (proof.key, proof.materials) == (RECORD.key, RECORD.materials)


def test_an_authorized_key_is_for_what_it_was_decided() -> None:
    proof = authorize(caller(ACCOUNT), "kms:Decrypt", RECORD)
    with pytest.raises(AttributeError):
        proof.state = "Enabled"  # type: ignore[attr-defined]  # there is nothing else to set


def test_another_account_is_told_what_it_would_be_told_of_a_key_that_is_not_there() -> None:
    stranger = caller(OTHER)
    with pytest.raises(AccessDeniedException) as caught:
        authorize(stranger, "kms:Decrypt", RECORD)
    assert caught.value.message == absent_or_forbidden(stranger, "kms:Decrypt").message
    assert caught.value.message == (
        f"User: arn:aws:iam::{OTHER}:root is not authorized to perform: kms:Decrypt on this resource because the "
        "resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy "
        "explicitly denies access"
    )
    assert ACCOUNT not in str(caught.value)


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
