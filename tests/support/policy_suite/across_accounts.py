# SPDX-License-Identifier: Apache-2.0
"""Keys of another account: both sides must allow it, for the operations that work there at all."""

from typing import Any

from asked import (
    BOB,
    FULL,
    NOTHING,
    OTHER_ADMIN_SESSION,
    OTHER_ROLE,
    OTHER_ROOT,
    OTHER_ROOT_USER,
    OTHER_SESSION,
    USER_ALICE,
    USER_BOB,
    by,
    doc,
    statement,
)
from policies import ACCOUNT, KEY_ARN, ROOT

from keyquorum.authz.decision import Reason, Source
from policy_suite import IAM, KMS, Page, decided

EXTERNAL = Page(
    KMS, "Allowing users in other accounts to use a KMS key", "Step 2: Add IAM policies in the external account"
)
CROSS = Page(IAM, "Cross-account policy evaluation logic", "Determining whether a cross-account request is allowed")
PERMISSIONS = Page(KMS, "AWS KMS permissions", "Column descriptions")

ENCRYPT = doc(statement(action="kms:Encrypt"))
DENY = doc(statement("Deny", "kms:Encrypt"))
ALLOWED, EXPLICIT, IMPLICIT = Reason.ALLOWED, Reason.EXPLICIT_DENY, Reason.IMPLICIT_DENY
NOT_ACROSS = Reason.NOT_ACROSS_ACCOUNTS
TO_BOB, TO_OTHER = doc(by({"AWS": BOB})), doc(by({"AWS": OTHER_ROOT}))
FROM_OTHER: dict[str, Any] = {"who": USER_BOB, "identity": (FULL,)}

ROWS = [
    decided(EXTERNAL, ALLOWED, Source.IDENTITY, **FROM_OTHER, key_policy=TO_OTHER),
    decided(EXTERNAL, ALLOWED, Source.IDENTITY, **FROM_OTHER, key_policy=TO_BOB),
    decided(EXTERNAL, ALLOWED, Source.IDENTITY, **FROM_OTHER, key_policy=doc(by("*"))),
    decided(EXTERNAL, IMPLICIT, Source.IDENTITY, who=USER_BOB, key_policy=TO_OTHER),
    decided(EXTERNAL, IMPLICIT, Source.IDENTITY, who=USER_BOB, key_policy=TO_BOB),
    decided(EXTERNAL, IMPLICIT, Source.IDENTITY, who=USER_BOB, key_policy=doc(by("*"))),
    decided(EXTERNAL, IMPLICIT, Source.RESOURCE, **FROM_OTHER),
    decided(EXTERNAL, IMPLICIT, Source.RESOURCE, **FROM_OTHER, key_policy=doc(by({"AWS": OTHER_ROOT}, "kms:Decrypt"))),
    decided(
        EXTERNAL,
        IMPLICIT,
        Source.IDENTITY,
        who=USER_BOB,
        identity=(doc(statement(resource=KEY_ARN + "x")),),
        key_policy=TO_OTHER,
    ),
    decided(
        EXTERNAL,
        ALLOWED,
        Source.IDENTITY,
        who=USER_BOB,
        identity=(doc(statement(resource=KEY_ARN)),),
        key_policy=TO_OTHER,
    ),
    decided(CROSS, ALLOWED, Source.ROOT, who=OTHER_ROOT_USER, key_policy=TO_OTHER),
    decided(CROSS, IMPLICIT, Source.RESOURCE, who=OTHER_ROOT_USER),
    decided(CROSS, EXPLICIT, Source.IDENTITY, who=USER_BOB, identity=(FULL, DENY), key_policy=TO_BOB),
    decided(
        CROSS,
        EXPLICIT,
        Source.RESOURCE,
        **FROM_OTHER,
        key_policy=doc(by({"AWS": OTHER_ROOT}), by({"AWS": BOB}, effect="Deny")),
    ),
    decided(CROSS, IMPLICIT, Source.RESOURCE, who=USER_BOB, identity=(FULL, DENY)),
    decided(CROSS, IMPLICIT, Source.BOUNDARY, **FROM_OTHER, boundary=NOTHING, key_policy=TO_BOB),
    decided(
        CROSS,
        IMPLICIT,
        Source.SESSION,
        who=OTHER_ADMIN_SESSION,
        identity=(FULL,),
        sessions=(NOTHING,),
        key_policy=doc(by({"AWS": OTHER_SESSION})),
    ),
    decided(
        CROSS,
        ALLOWED,
        Source.IDENTITY,
        who=OTHER_ADMIN_SESSION,
        identity=(FULL,),
        key_policy=doc(by({"AWS": OTHER_ROLE})),
    ),
    decided(CROSS, IMPLICIT, Source.IDENTITY, who=OTHER_ADMIN_SESSION, key_policy=doc(by({"AWS": OTHER_ROLE}))),
    decided(
        CROSS,
        ALLOWED,
        Source.IDENTITY,
        who=USER_ALICE,
        identity=(FULL,),
        key_policy=doc(by({"AWS": ROOT})),
        owner=ACCOUNT,
    ),
    decided(PERMISSIONS, NOT_ACROSS, Source.RESOURCE, **FROM_OTHER, key_policy=TO_BOB, action="kms:TagResource"),
    decided(PERMISSIONS, NOT_ACROSS, Source.RESOURCE, **FROM_OTHER, key_policy=TO_BOB, action="kms:PutKeyPolicy"),
    decided(
        PERMISSIONS, NOT_ACROSS, Source.RESOURCE, **FROM_OTHER, key_policy=TO_BOB, action="kms:ScheduleKeyDeletion"
    ),
    decided(
        PERMISSIONS, NOT_ACROSS, Source.RESOURCE, who=OTHER_ROOT_USER, key_policy=TO_OTHER, action="kms:GetKeyPolicy"
    ),
    decided(PERMISSIONS, ALLOWED, Source.IDENTITY, **FROM_OTHER, key_policy=TO_BOB, action="kms:CreateGrant"),
    decided(PERMISSIONS, ALLOWED, Source.IDENTITY, **FROM_OTHER, key_policy=TO_BOB, action="kms:ReEncryptFrom"),
    decided(PERMISSIONS, ALLOWED, Source.IDENTITY, **FROM_OTHER, key_policy=TO_BOB, action="kms:GetKeyRotationStatus"),
]
