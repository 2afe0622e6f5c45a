# SPDX-License-Identifier: Apache-2.0
"""What is about no key, and what is needed on an alias: identity policies decide."""

from typing import Any

from asked import ADMIN_SESSION, ALIAS_ARN, FULL, NOTHING, OTHER, ROOT_USER, SERVICE_S3, USER_BOB, doc, statement
from policies import ACCOUNT, KEY_ARN

from keyquorum.authz.decision import Reason, Source
from policy_suite import KMS, Case, Page, decided, permitted

PERMISSIONS = Page(KMS, "AWS KMS permissions", "Column descriptions")
ALIASES = Page(KMS, "Controlling access to aliases", "kms:CreateAlias")

ALLOWED, EXPLICIT, IMPLICIT = Reason.ALLOWED, Reason.EXPLICIT_DENY, Reason.IMPLICIT_DENY
NOT_ACROSS = Reason.NOT_ACROSS_ACCOUNTS
FROM_OTHER: dict[str, Any] = {"who": USER_BOB, "identity": (FULL,)}
NO_KEY: dict[str, Any] = {"key_policy": None, "resource": None, "owner": None}
ALIAS: dict[str, Any] = {"key_policy": None, "resource": ALIAS_ARN}
EU = "arn:aws:kms:eu-west-1"


def on_alias(page: Page, resource: str, allowed: bool, action: str = "kms:CreateAlias") -> Case:
    """Whether an Allow on ``resource`` is enough for the alias's half of ``action``."""
    return permitted(
        page, allowed, **ALIAS, action=action, identity=(doc(statement(action=action, resource=resource)),)
    )


ROWS = [
    decided(PERMISSIONS, IMPLICIT, Source.IDENTITY, **NO_KEY, action="kms:CreateKey"),
    decided(
        PERMISSIONS,
        ALLOWED,
        Source.ROOT,
        who=ROOT_USER,
        **NO_KEY,
        action="kms:CreateKey",
    ),
    decided(
        PERMISSIONS,
        ALLOWED,
        Source.IDENTITY,
        identity=(FULL,),
        **NO_KEY,
        action="kms:ListKeys",
    ),
    decided(
        PERMISSIONS,
        IMPLICIT,
        Source.IDENTITY,
        identity=(doc(statement(resource=KEY_ARN)),),
        **NO_KEY,
        action="kms:ListKeys",
    ),
    decided(
        PERMISSIONS,
        EXPLICIT,
        Source.IDENTITY,
        identity=(FULL, doc(statement("Deny", "kms:GenerateRandom"))),
        **NO_KEY,
        action="kms:GenerateRandom",
    ),
    decided(
        PERMISSIONS,
        IMPLICIT,
        Source.BOUNDARY,
        identity=(FULL,),
        boundary=NOTHING,
        **NO_KEY,
        action="kms:CreateKey",
    ),
    decided(
        PERMISSIONS,
        IMPLICIT,
        Source.SESSION,
        who=ADMIN_SESSION,
        identity=(FULL,),
        sessions=(NOTHING,),
        **NO_KEY,
        action="kms:CreateKey",
    ),
    decided(
        PERMISSIONS,
        IMPLICIT,
        Source.IDENTITY,
        who=SERVICE_S3,
        **NO_KEY,
        action="kms:CreateKey",
    ),
    decided(
        PERMISSIONS,
        ALLOWED,
        Source.IDENTITY,
        identity=(FULL,),
        **ALIAS,
        action="kms:CreateAlias",
    ),
    decided(
        PERMISSIONS,
        NOT_ACROSS,
        Source.RESOURCE,
        **FROM_OTHER,
        **ALIAS,
        action="kms:UpdateAlias",
    ),
    on_alias(ALIASES, "*", True),
    on_alias(ALIASES, ALIAS_ARN, True),
    on_alias(ALIASES, f"{EU}:{ACCOUNT}:alias/*", True),
    on_alias(ALIASES, f"{EU}:{ACCOUNT}:key/*", False),
    on_alias(ALIASES, f"{EU}:{OTHER}:alias/*", False),
    on_alias(ALIASES, f"{EU}:{ACCOUNT}:alias/App", False),
    on_alias(Page(KMS, "Controlling access to aliases", "kms:UpdateAlias"), ALIAS_ARN, True, "kms:UpdateAlias"),
    on_alias(Page(KMS, "Controlling access to aliases", "kms:DeleteAlias"), ALIAS_ARN, True, "kms:DeleteAlias"),
    on_alias(Page(KMS, "Controlling access to aliases", "kms:DeleteAlias"), KEY_ARN, False, "kms:DeleteAlias"),
    decided(PERMISSIONS, ALLOWED, Source.ROOT, **ALIAS, who=ROOT_USER, action="kms:DeleteAlias"),
]
