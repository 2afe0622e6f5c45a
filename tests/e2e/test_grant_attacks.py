# SPDX-License-Identifier: Apache-2.0
"""Attacks on what grants allow, and on the encryption contexts that they and policies are about."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matrix import outcome
from people import ABLE, ADMIN, CLOSED, HELPER, NOBODY, VISITOR, Inside, Person, encrypt, inside, naming
from servers import code_of

pytestmark = pytest.mark.slow

DENIED = "AccessDeniedException"
TENANT = {"tenant": "a"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Inside]:
    with inside(tmp_path) as made:
        yield made


def test_a_grant_ends_with_its_revocation(world: Inside) -> None:
    key, admin = world.key(CLOSED), world.by(ADMIN)
    for _ in range(10):
        made = admin.create_grant(KeyId=key, GranteePrincipal=NOBODY.arn, Operations=["Encrypt"])
        assert encrypt(world, NOBODY, key) == ""
        admin.revoke_grant(KeyId=key, GrantId=made["GrantId"])
        members = {"KeyId": key, "Plaintext": b"x", "GrantTokens": [made["GrantToken"]]}
        assert outcome(world.by(NOBODY), "Encrypt", **members)[0] == DENIED


def test_a_grant_token_is_no_proof(world: Inside) -> None:
    """Who has somebody else's token has nothing; its grantee needs none."""
    key = world.key(CLOSED)
    token = world.by(ADMIN).create_grant(KeyId=key, GranteePrincipal=NOBODY.arn, Operations=["Encrypt"])["GrantToken"]
    members = {"KeyId": key, "Plaintext": b"x", "GrantTokens": [token]}
    for person in (HELPER, ABLE, VISITOR):
        assert outcome(world.by(person), "Encrypt", **members)[0] == DENIED
    assert outcome(world.by(HELPER), "RetireGrant", GrantToken=token)[0] == DENIED
    assert encrypt(world, NOBODY, key) == ""


def test_a_grantee_cannot_widen_what_it_was_granted(world: Inside) -> None:
    key = world.key(CLOSED)
    world.by(ADMIN).create_grant(
        KeyId=key,
        GranteePrincipal=NOBODY.arn,
        Operations=["CreateGrant", "Encrypt", "DescribeKey"],
        Constraints={"EncryptionContextSubset": TENANT},
    )

    def passes_on(operations: list[str], constraints: dict[str, Any] | None, person: Person = HELPER) -> str:
        members = {"Constraints": constraints} if constraints is not None else {}
        asked = {"KeyId": key, "GranteePrincipal": person.arn, "Operations": operations, **members}
        return outcome(world.by(NOBODY), "CreateGrant", **asked)[0]

    subset, equals = "EncryptionContextSubset", "EncryptionContextEquals"
    for person in (HELPER, NOBODY, VISITOR):
        assert passes_on(["Encrypt", "Decrypt"], {subset: TENANT}, person) == DENIED
        assert passes_on(["Encrypt"], None, person) == DENIED
        assert passes_on(["Encrypt"], {}, person) == DENIED
        looser: tuple[dict[str, Any], ...] = (
            {subset: {}},
            {subset: {"tenant": "A"}},
            {subset: {"other": "a"}},
            {equals: {"x": "a"}},
        )
        assert {passes_on(["Encrypt"], constraints, person) for constraints in looser} == {DENIED}
    assert encrypt(world, HELPER, key, **TENANT) == DENIED
    assert passes_on(["Encrypt"], {subset: {**TENANT, "table": "t"}}) == ""
    assert encrypt(world, HELPER, key, tenant="a") == DENIED
    assert encrypt(world, HELPER, key, tenant="a", table="t") == ""
    # Nor does it go on from there: what was passed on has no CreateGrant.
    members = {"KeyId": key, "GranteePrincipal": HELPER.arn, "Operations": ["Encrypt"]}
    assert outcome(world.by(HELPER), "CreateGrant", **members)[0] == DENIED


@pytest.mark.parametrize(
    ("constraint", "context", "allowed"),
    [
        ("Equals", {"tenant": "a", "table": "t"}, True),
        ("Equals", {"table": "t", "tenant": "a"}, True),
        ("Equals", {"Tenant": "a", "TABLE": "t"}, True),
        ("Equals", {"tenant": "a"}, False),
        ("Equals", {}, False),
        ("Equals", {"tenant": "a", "table": "t", "more": "m"}, False),
        ("Equals", {"tenant": "a", "table": "t", "Tenant": "b"}, False),
        ("Equals", {"tenant": "a", "table": "t", "Tenant": "a"}, False),
        ("Equals", {"tenant": "A", "table": "t"}, False),
        ("Equals", {"tenant": "t", "table": "a"}, False),
        ("Equals", {"tenanttable": "at"}, False),
        ("Subset", {"more": "m", "table": "t", "tenant": "a"}, True),
        ("Subset", {"TENANT": "a", "Table": "t"}, True),
        ("Subset", {"tenant": "a"}, False),
        ("Subset", {"tenant": "a", "table": "T"}, False),
        ("Subset", {"tenant": "b", "table": "t", "more": "a"}, False),
        ("Subset", {"tenant": "a", "tablе": "t"}, False),  # noqa: RUF001 - a Cyrillic letter
    ],
)
def test_encryption_context_against_the_constraints_of_a_grant(
    world: Inside, constraint: str, context: dict[str, str], allowed: bool
) -> None:
    """Keys compare without case and values with it (API reference, GrantConstraints)."""
    key = world.key(CLOSED)
    world.by(ADMIN).create_grant(
        KeyId=key,
        GranteePrincipal=NOBODY.arn,
        Operations=["Encrypt", "Decrypt", "ReEncryptFrom", "GenerateDataKey"],
        Constraints={f"EncryptionContext{constraint}": {"tenant": "a", "table": "t"}},
    )
    told = "" if allowed else DENIED
    assert encrypt(world, NOBODY, key, **context) == told
    blob = world.by(ADMIN).encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    nobody = world.by(NOBODY)
    assert code_of(nobody.decrypt, CiphertextBlob=blob, EncryptionContext=context) == told
    assert code_of(nobody.generate_data_key, KeyId=key, KeySpec="AES_256", EncryptionContext=context) == told


def test_a_context_that_the_grant_takes_for_the_same_opens_no_other_ciphertext(world: Inside) -> None:
    """Without case for the grant; byte for byte for the ciphertext."""
    key = world.key(CLOSED)
    world.by(ADMIN).create_grant(
        KeyId=key,
        GranteePrincipal=NOBODY.arn,
        Operations=["Decrypt"],
        Constraints={"EncryptionContextEquals": TENANT},
    )
    blob = world.by(ADMIN).encrypt(KeyId=key, Plaintext=b"x", EncryptionContext=TENANT)["CiphertextBlob"]
    decrypt = world.by(NOBODY).decrypt
    assert code_of(decrypt, CiphertextBlob=blob, EncryptionContext={"Tenant": "a"}) == "InvalidCiphertextException"
    assert decrypt(CiphertextBlob=blob, EncryptionContext=TENANT)["Plaintext"] == b"x"


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        ({"tenant": "a"}, True),
        ({"TENANT": "a"}, True),
        ({"tenant": "A"}, False),
        ({"tenant": "a", "Tenant": "b"}, False),
        ({"Tenant": "b", "tenant": "a"}, False),
        ({"tenant": "a", "more": "m"}, False),
        ({"tenant": ""}, False),
        ({"tenant:": "a"}, False),
        ({}, False),
    ],
)
def test_encryption_context_against_the_conditions_of_a_policy(
    world: Inside, context: dict[str, str], allowed: bool
) -> None:
    """One pair, and no other: the developer guide's example for kms:EncryptionContextKeys."""
    condition = {
        "StringEquals": {"kms:EncryptionContext:tenant": "a"},
        "ForAllValues:StringEqualsIgnoreCase": {"kms:EncryptionContextKeys": ["tenant"]},
    }
    key = world.key(naming(NOBODY, "kms:Encrypt", Condition=condition))
    assert encrypt(world, NOBODY, key, **context) == ("" if allowed else DENIED)
