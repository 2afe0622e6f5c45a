# SPDX-License-Identifier: Apache-2.0
"""Grants: they allow within bounds, and never widen."""

from typing import Any

from asked import (
    ADMIN_SESSION,
    BOB,
    FULL,
    NOTHING,
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
    Who,
    by,
    doc,
    grant,
    statement,
)
from policies import ALICE, ROLE, ROOT, SESSION

from policy_suite import API, IAM, KMS, Case, Page, permitted

CONCEPTS = Page(KMS, "Grants in AWS KMS", "Grant concepts")
USING = Page(KMS, "Creating grants", "Using grant constraints")
GRANTING = Page(KMS, "Creating grants", "Granting CreateGrant permission")
CONSTRAINTS = Page(API, "GrantConstraints", "Contents")
RETIRING = Page(KMS, "Managing grants", "Retiring and revoking grants")
ACCESS = Page(KMS, "Troubleshooting key access", "Troubleshooting key access")
LOGIC = Page(IAM, "Policies and permissions in IAM", "Session policies")
API_RETIRE = Page(API, "RetireGrant", "RetireGrant")

CLOSED = doc(by({"AWS": ROLE}, "kms:GetKeyPolicy"))
"""A key policy that lets nobody in."""
IT = {"Department": "IT"}
EQUALS = {"EncryptionContextEquals": IT}
SUBSET = {"EncryptionContextSubset": IT}
SOURCE = {"SourceArn": "arn:aws:s3:::bucket"}
BEHALF = {"aws:SourceArn": SOURCE["SourceArn"]}
PLAIN = grant(ALICE, "Encrypt", retiring=ROLE)


def granted(page: Page, given: dict[str, Any], more: dict[str, Any], allowed: bool) -> Case:
    return permitted(page, allowed, **{"key_policy": CLOSED, "grants": (given,), **more})


def constrained(page: Page, constraints: Any, context: Any, allowed: bool) -> list[Case]:
    """A grant with ``constraints`` and a request with the encryption context ``context``. The constraints are "ignored"
    for operations that have none."""
    given = grant(ALICE, "Encrypt", "DescribeKey", "GetPublicKey", constraints=constraints)
    asked = Asked(key_policy=CLOSED, grants=(given,), encryption_context=context)
    return [
        Case(page, "", asked, allowed),
        Case(page, "", asked.but(action="kms:DescribeKey", encryption_context={}), True),
        Case(page, "", asked.but(action="kms:GetPublicKey", encryption_context={}), True),
    ]


def on_behalf(page: Page, action: str, context: Any, allowed: bool) -> Case:
    given = grant("s3.amazonaws.com", "Encrypt", "DescribeKey", constraints=SOURCE)
    return granted(page, given, {"who": SERVICE_S3, "action": action, "context": context}, allowed)


def child(*operations: str, **constraints: Any) -> dict[str, Any]:
    return {"operations": list(operations), "constraints": constraints}


def nested(page: Page, parent: Any, created: Any, allowed: bool, **more: Any) -> Case:
    """Whether a grant with the constraints ``parent`` lets its grantee create the grant ``created``."""
    given = grant(ALICE, "Encrypt", "CreateGrant", constraints=parent)
    return granted(page, given, {"action": "kms:CreateGrant", "creates": created, **more}, allowed)


def retired(page: Page, who: Who, given: Any, more: dict[str, Any], allowed: bool) -> Case:
    asked = {"who": who, "action": "kms:RetireGrant", "key_policy": CLOSED, "retires": given, **more}
    return permitted(page, allowed, **asked)


ROWS = [
    granted(CONCEPTS, grant(ALICE, "Encrypt"), {}, True),
    granted(CONCEPTS, grant(ALICE, "Decrypt"), {}, False),
    granted(CONCEPTS, grant(BOB, "Encrypt"), {}, False),
    granted(CONCEPTS, grant(ALICE.upper(), "Encrypt"), {}, False),
    granted(CONCEPTS, grant(ALICE, "GenerateDataKey"), {"action": "kms:GenerateDataKeyPair"}, False),
    granted(CONCEPTS, grant(ALICE, "ReEncryptTo"), {"action": "kms:ReEncryptFrom"}, False),
    granted(CONCEPTS, grant(ALICE, "Sign"), {"action": "kms:Sign"}, True),
    granted(CONCEPTS, grant(ALICE, "Encrypt"), {"who": ROOT_USER}, False),
    granted(CONCEPTS, grant(ROLE, "Encrypt"), {"who": ADMIN_SESSION}, True),
    granted(CONCEPTS, grant(SESSION, "Encrypt"), {"who": ADMIN_SESSION}, True),
    granted(CONCEPTS, grant(SESSION.replace("laptop", "phone"), "Encrypt"), {"who": ADMIN_SESSION}, False),
    granted(CONCEPTS, grant("s3.amazonaws.com", "Encrypt"), {"who": SERVICE_S3}, True),
    granted(CONCEPTS, grant("ec2.amazonaws.com", "Encrypt"), {"who": SERVICE_S3}, False),
    # to an account: its policies give it on
    granted(CONCEPTS, grant(ROOT, "Encrypt"), {}, False),
    granted(CONCEPTS, grant(ROOT, "Encrypt"), {"identity": (FULL,)}, True),
    granted(CONCEPTS, grant(ROOT, "Encrypt"), {"who": ROOT_USER}, True),
    granted(CONCEPTS, grant(ROOT, "Encrypt"), {"identity": (FULL,), "boundary": NOTHING}, False),
    # to another account
    granted(ACCESS, grant(BOB, "Encrypt"), {"who": USER_BOB}, True),
    granted(ACCESS, grant(OTHER_ROLE, "Encrypt"), {"who": OTHER_ADMIN_SESSION}, True),
    granted(ACCESS, grant(OTHER_ROOT, "Encrypt"), {"who": USER_BOB}, False),
    granted(ACCESS, grant(OTHER_ROOT, "Encrypt"), {"who": USER_BOB, "identity": (FULL,)}, True),
    granted(ACCESS, grant(OTHER_ROOT, "Encrypt"), {"who": OTHER_ROOT_USER}, True),
    granted(ACCESS, grant(BOB, "Encrypt"), {"who": USER_BOB, "identity": (doc(statement("Deny")),)}, False),
    # limits, as those of a resource-based policy
    granted(LOGIC, grant(ALICE, "Encrypt"), {"boundary": NOTHING}, True),
    granted(LOGIC, grant(ROLE, "Encrypt"), {"who": ADMIN_SESSION, "boundary": NOTHING}, False),
    granted(LOGIC, grant(ROLE, "Encrypt"), {"who": ADMIN_SESSION, "sessions": (NOTHING,)}, False),
    granted(LOGIC, grant(ROLE, "Encrypt"), {"who": ADMIN_SESSION, "sessions": (FULL,)}, True),
    granted(LOGIC, grant(SESSION, "Encrypt"), {"who": ADMIN_SESSION, "sessions": (NOTHING,)}, True),
    granted(LOGIC, grant(OTHER_SESSION, "Encrypt"), {"who": OTHER_ADMIN_SESSION, "sessions": (NOTHING,)}, True),
    granted(LOGIC, grant(OTHER_ROLE, "Encrypt"), {"who": OTHER_ADMIN_SESSION, "sessions": (NOTHING,)}, False),
    # constraints on the encryption context
    constrained(USING, EQUALS, IT, True),
    constrained(USING, EQUALS, {**IT, "Purpose": "Test"}, False),
    constrained(USING, EQUALS, {}, False),
    constrained(USING, EQUALS, {"Department": "HR"}, False),
    constrained(USING, SUBSET, IT, True),
    constrained(USING, SUBSET, {**IT, "Purpose": "Test"}, True),
    constrained(USING, SUBSET, {"Purpose": "Test"}, False),
    constrained(USING, SUBSET, {}, False),
    constrained(CONSTRAINTS, EQUALS, {"department": "IT"}, True),
    constrained(CONSTRAINTS, EQUALS, {"Department": "it"}, False),
    constrained(CONSTRAINTS, SUBSET, {"DEPARTMENT": "IT", "x": "y"}, True),
    constrained(CONSTRAINTS, SUBSET, {"DEPARTMENT": "It", "x": "y"}, False),
    constrained(CONSTRAINTS, EQUALS, {"Department": "IT", "department": "HR"}, False),
    constrained(CONSTRAINTS, EQUALS, {"Department": "IT", "department": "IT"}, False),
    constrained(CONSTRAINTS, {"EncryptionContextEquals": {"a": "1", "b": "2"}}, {"b": "2", "a": "1"}, True),
    constrained(CONSTRAINTS, {"EncryptionContextEquals": {"a": "1", "b": "2"}}, {"a": "2", "b": "1"}, False),
    constrained(CONSTRAINTS, {"EncryptionContextEquals": {}}, {}, True),
    constrained(CONSTRAINTS, {"EncryptionContextEquals": {}}, {"a": "1"}, False),
    constrained(CONSTRAINTS, {"EncryptionContextSubset": {}}, {"a": "1"}, True),
    constrained(CONSTRAINTS, {**EQUALS, "EncryptionContextSubset": {"x": "y"}}, IT, False),
    # on whose behalf
    on_behalf(CONSTRAINTS, "kms:Encrypt", {"aws:SourceArn": SOURCE["SourceArn"]}, True),
    on_behalf(CONSTRAINTS, "kms:Encrypt", {"aws:SourceArn": "arn:aws:s3:::other"}, False),
    on_behalf(CONSTRAINTS, "kms:Encrypt", {}, False),
    on_behalf(CONSTRAINTS, "kms:DescribeKey", {}, True),
    on_behalf(CONSTRAINTS, "kms:DescribeKey", {"aws:SourceArn": "arn:aws:s3:::other"}, False),
    # grants from grants
    nested(GRANTING, {}, child("Encrypt"), True),
    nested(GRANTING, {}, child("Encrypt", "CreateGrant"), True),
    nested(GRANTING, {}, child("Encrypt", "Decrypt"), False),
    nested(GRANTING, {}, child("Decrypt"), False),
    nested(GRANTING, {}, child("Encrypt", **EQUALS), True),
    nested(GRANTING, {}, None, False),
    nested(GRANTING, SUBSET, child("Encrypt"), False),
    nested(GRANTING, SUBSET, child("Encrypt", **SUBSET), True),
    nested(GRANTING, SUBSET, child("Encrypt", EncryptionContextSubset={**IT, "x": "y"}), True),
    nested(GRANTING, SUBSET, child("Encrypt", EncryptionContextSubset={"x": "y"}), False),
    nested(GRANTING, SUBSET, child("Encrypt", **EQUALS), True),
    nested(GRANTING, SUBSET, child("Encrypt", EncryptionContextEquals={"x": "y"}), False),
    nested(GRANTING, SUBSET, child("Encrypt", EncryptionContextSubset={"department": "IT"}), True),
    nested(GRANTING, SUBSET, child("Encrypt", EncryptionContextSubset={"Department": "it"}), False),
    nested(GRANTING, EQUALS, child("Encrypt", **EQUALS), True),
    nested(GRANTING, EQUALS, child("Encrypt", **SUBSET), False),
    nested(GRANTING, EQUALS, child("Encrypt", EncryptionContextEquals={**IT, "x": "y"}), False),
    nested(GRANTING, EQUALS, child("Encrypt"), False),
    nested(CONSTRAINTS, SOURCE, child("Encrypt"), False, context=BEHALF),
    nested(CONSTRAINTS, SOURCE, child("Encrypt", SourceArn="arn:aws:s3:::other"), False, context=BEHALF),
    nested(CONSTRAINTS, SOURCE, child("Encrypt", **SOURCE), True, context=BEHALF),
    nested(CONSTRAINTS, SOURCE, child("Encrypt", **SOURCE), False),
    # who may create grants by policy creates any
    permitted(GRANTING, True, action="kms:CreateGrant", identity=(FULL,), creates=child("Encrypt", "Decrypt")),
    granted(
        GRANTING,
        grant(ALICE, "Encrypt", "CreateGrant"),
        {
            "key_policy": doc(by({"AWS": ALICE}, "kms:CreateGrant")),
            "action": "kms:CreateGrant",
            "creates": child("Encrypt", "Decrypt"),
        },
        True,
    ),
    # retiring
    retired(RETIRING, ADMIN_SESSION, PLAIN, {}, True),
    retired(RETIRING, USER_ALICE, PLAIN, {}, False),
    retired(RETIRING, USER_ALICE, grant(ALICE, "Encrypt", "RetireGrant"), {}, True),
    retired(RETIRING, USER_ALICE, grant(ALICE, "Encrypt", retiring=ALICE), {}, True),
    retired(RETIRING, USER_BOB, grant(ALICE, "Encrypt", retiring=BOB), {}, True),
    retired(RETIRING, ROOT_USER, PLAIN, {}, True),
    retired(RETIRING, USER_ALICE, PLAIN, {"identity": (FULL,)}, True),
    retired(RETIRING, ROOT_USER, {**PLAIN, "issuer": OTHER}, {}, True),
    retired(RETIRING, USER_ALICE, {**PLAIN, "issuer": OTHER}, {"identity": (FULL,)}, True),
    retired(RETIRING, USER_ALICE, {**PLAIN, "issuer": OTHER}, {}, False),
    retired(RETIRING, OTHER_ROOT_USER, PLAIN, {}, False),
    retired(RETIRING, OTHER_ROOT_USER, {**PLAIN, "issuer": OTHER}, {}, True),
    retired(RETIRING, USER_BOB, {**PLAIN, "issuer": OTHER}, {}, False),
    retired(RETIRING, USER_BOB, {**PLAIN, "issuer": OTHER}, {"identity": (FULL,)}, True),
    retired(RETIRING, USER_BOB, grant(ALICE, "Encrypt", retiring=OTHER_ROOT), {"identity": (FULL,)}, True),
    retired(RETIRING, USER_BOB, grant(ALICE, "Encrypt", retiring=OTHER_ROOT), {}, False),
    retired(RETIRING, USER_BOB, PLAIN, {"identity": (FULL,)}, False),
    # not effective in a key policy, but to deny
    retired(RETIRING, USER_ALICE, PLAIN, {"key_policy": doc(by({"AWS": ALICE}, "kms:RetireGrant"))}, False),
    retired(RETIRING, ADMIN_SESSION, PLAIN, {"key_policy": doc(by("*", "kms:RetireGrant", "Deny"))}, False),
    retired(RETIRING, ADMIN_SESSION, PLAIN, {"identity": (doc(statement("Deny", "kms:RetireGrant")),)}, False),
    retired(RETIRING, ADMIN_SESSION, PLAIN, {"sessions": (NOTHING,)}, False),
    # constraints are not applied
    retired(RETIRING, USER_ALICE, grant(ALICE, "Encrypt", "RetireGrant", constraints=EQUALS), {}, True),
    retired(RETIRING, SERVICE_S3, grant("s3.amazonaws.com", "Encrypt", "RetireGrant", constraints=SOURCE), {}, True),
    # another grant gives no right to retire this one
    granted(API_RETIRE, grant(ALICE, "RetireGrant"), {"action": "kms:RetireGrant"}, False),
]
