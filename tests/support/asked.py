# SPDX-License-Identifier: Apache-2.0
"""Requests for a decision, written as the documents and values that make them up. Plain data, for any evaluator."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from policies import ACCOUNT, ALICE, KEY_ARN, ROLE, ROOT, SESSION

OTHER = "444455556666"
OTHER_ROOT = f"arn:aws:iam::{OTHER}:root"
BOB = f"arn:aws:iam::{OTHER}:user/bob"
OTHER_ROLE = f"arn:aws:iam::{OTHER}:role/admin"
OTHER_SESSION = f"arn:aws:sts::{OTHER}:assumed-role/admin/laptop"
ALIAS_ARN = KEY_ARN.split("key/")[0] + "alias/app"


@dataclass(frozen=True)
class Who:
    kind: str
    arn: str
    account: str
    unique_id: str
    role_arn: str | None = None
    role_id: str | None = None
    services: frozenset[str] = frozenset()
    federated: str | None = None


ROOT_USER = Who("Root", ROOT, ACCOUNT, ACCOUNT)
USER_ALICE = Who("IAMUser", ALICE, ACCOUNT, "AIDAALICE")
ADMIN_SESSION = Who("AssumedRole", SESSION, ACCOUNT, "AROAADMIN:laptop", ROLE, "AROAADMIN")
OTHER_ROOT_USER = Who("Root", OTHER_ROOT, OTHER, OTHER)
USER_BOB = Who("IAMUser", BOB, OTHER, "AIDABOB")
OTHER_ADMIN_SESSION = Who("AssumedRole", OTHER_SESSION, OTHER, "AROAOTHER:laptop", OTHER_ROLE, "AROAOTHER")
SERVICE_S3 = Who("AWSService", "s3.amazonaws.com", "", "", services=frozenset({"s3.amazonaws.com"}))
WEB = Who("WebIdentityUser", "web", "", "web:subject", federated="arn:aws:iam::111122223333:oidc-provider/id.example")

Document = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """Everything that a decision is made from. Without ``key_policy`` it is about no key. ``retires``: the grant."""

    who: Who = USER_ALICE
    action: str = "kms:Encrypt"
    key_policy: Document | None = None
    identity: tuple[Document, ...] = ()
    boundary: Document | None = None
    sessions: tuple[Document, ...] = ()
    grants: tuple[Document, ...] = ()
    retires: Document | None = None
    resource: str | None = KEY_ARN
    owner: str | None = ACCOUNT
    context: Mapping[str, str | list[str]] = field(default_factory=dict)
    encryption_context: Mapping[str, str] = field(default_factory=dict)
    creates: Document | None = None

    def but(self, **changes: Any) -> "Asked":
        return replace(self, **changes)


def doc(*statements: Document, version: str = "2012-10-17") -> Document:
    return {"Version": version, "Statement": list(statements)}


def statement(effect: str = "Allow", action: Any = "kms:*", resource: Any = "*", **more: Any) -> Document:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def by(principal: Any, action: Any = "kms:*", effect: str = "Allow", **more: Any) -> Document:
    return {"Effect": effect, "Principal": principal, "Action": action, "Resource": "*", **more}


def grant(grantee: str, *operations: str, **more: Any) -> Document:
    return {"grantee": grantee, "operations": list(operations), **more}


DEFAULT = doc(by({"AWS": ROOT}))
FULL = doc(statement())
NOTHING = doc(statement(action="kms:ListKeys"))
