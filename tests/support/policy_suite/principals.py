# SPDX-License-Identifier: Apache-2.0
"""Whom a statement of a key policy is about: Principal and NotPrincipal."""

from typing import Any

from asked import (
    ADMIN_SESSION,
    BOB,
    FULL,
    OTHER,
    OTHER_ADMIN_SESSION,
    OTHER_ROLE,
    OTHER_ROOT,
    OTHER_SESSION,
    ROOT_USER,
    SERVICE_S3,
    USER_ALICE,
    USER_BOB,
    Asked,
    Who,
    by,
    doc,
)
from policies import ACCOUNT, ALICE, ROLE, ROOT, SESSION

from policy_suite import IAM, KMS, Case, Page

PRINCIPAL = "AWS JSON policy elements: Principal"
USERS = Page(IAM, PRINCIPAL, "IAM user principals")
ALL = Page(IAM, PRINCIPAL, "All principals")
ROLES = Page(IAM, PRINCIPAL, "IAM role principals")
SESSIONS = Page(IAM, PRINCIPAL, "Role session principals")
ACCOUNTS = Page(IAM, PRINCIPAL, "AWS account principals")
SERVICES = Page(IAM, PRINCIPAL, "AWS service principals")
ENABLES = Page(KMS, "Default key policy", "Allows access to the AWS account and enables IAM policies")
NOT_PRINCIPAL = Page(IAM, "AWS JSON policy elements: NotPrincipal", "Key points")
S3 = {"Service": "s3.amazonaws.com"}


def alone(page: Page, principal: Any, who: Who, named: bool) -> Case:
    """Whether an Allow to ``principal`` is enough for ``who``, with nothing else that allows it."""
    return Case(page, "", Asked(who=who, key_policy=doc(by(principal))), named)


def denied(page: Page, principal: Any, who: Who, applies: bool) -> Case:
    """Whether a Deny to ``principal`` is about ``who``, who would be allowed without it."""
    key_policy = doc(by("*"), by(principal, effect="Deny"))
    return Case(page, "", Asked(who=who, identity=(FULL,), key_policy=key_policy), not applies)


def all_but(page: Page, spared: Any, who: Who, applies: bool, **asked: Any) -> Case:
    """Whether a Deny to all but ``spared`` is about ``who``, who would be allowed without it."""
    deny = {"Effect": "Deny", "NotPrincipal": spared, "Action": "kms:*", "Resource": "*"}
    key_policy = doc(by("*"), deny)
    return Case(page, "", Asked(who=who, identity=(FULL,), key_policy=key_policy, **asked), not applies)


ROWS = [
    alone(USERS, {"AWS": ALICE}, USER_ALICE, True),
    alone(USERS, {"AWS": ALICE.replace("alice", "Alice")}, USER_ALICE, False),
    alone(USERS, {"AWS": ALICE.replace("team/", "")}, USER_ALICE, False),
    alone(USERS, {"AWS": BOB}, USER_ALICE, False),
    alone(USERS, {"AWS": [BOB, ALICE]}, USER_ALICE, True),
    alone(ALL, "*", USER_ALICE, True),
    alone(ALL, {"AWS": "*"}, USER_ALICE, True),
    alone(ALL, "*", ADMIN_SESSION, True),
    alone(ROLES, {"AWS": ROLE}, ADMIN_SESSION, True),
    alone(SESSIONS, {"AWS": SESSION}, ADMIN_SESSION, True),
    alone(SESSIONS, {"AWS": SESSION.replace("laptop", "Laptop")}, ADMIN_SESSION, False),
    alone(ROLES, {"AWS": ROLE.replace("service/", "")}, ADMIN_SESSION, False),
    alone(SESSIONS, {"AWS": SESSION}, USER_ALICE, False),
    alone(ROLES, {"AWS": ROLE}, USER_ALICE, False),
    alone(ACCOUNTS, {"AWS": ROOT}, ROOT_USER, True),
    alone(ACCOUNTS, {"AWS": ACCOUNT}, ROOT_USER, True),
    alone(ACCOUNTS, {"AWS": OTHER_ROOT}, ROOT_USER, False),
    alone(USERS, {"AWS": ALICE}, ROOT_USER, False),
    alone(SERVICES, S3, SERVICE_S3, True),
    alone(SERVICES, {"Service": "ec2.amazonaws.com"}, SERVICE_S3, False),
    alone(SERVICES, S3, USER_ALICE, False),
    alone(ACCOUNTS, {"AWS": ROOT}, SERVICE_S3, False),
    # the account lets its identity-based policies in, and names nobody
    alone(ENABLES, {"AWS": ROOT}, ADMIN_SESSION, False),
    alone(ENABLES, {"AWS": ACCOUNT}, ADMIN_SESSION, False),
    # denied
    denied(ACCOUNTS, {"AWS": ROOT}, USER_ALICE, True),
    denied(ACCOUNTS, {"AWS": ROOT}, ADMIN_SESSION, True),
    denied(ACCOUNTS, {"AWS": ROOT}, ROOT_USER, True),
    denied(ACCOUNTS, {"AWS": OTHER_ROOT}, USER_ALICE, False),
    denied(ACCOUNTS, {"AWS": OTHER_ROOT}, USER_BOB, True),
    denied(ROLES, {"AWS": ROLE}, ADMIN_SESSION, True),
    denied(SESSIONS, {"AWS": SESSION}, ADMIN_SESSION, True),
    denied(SESSIONS, {"AWS": SESSION.replace("laptop", "phone")}, ADMIN_SESSION, False),
    denied(USERS, {"AWS": ALICE}, USER_ALICE, True),
    denied(ALL, "*", USER_ALICE, True),
    denied(ALL, "*", SERVICE_S3, True),
    denied(SERVICES, S3, SERVICE_S3, True),
    denied(SERVICES, S3, USER_ALICE, False),
    # denied, all but some
    all_but(NOT_PRINCIPAL, {"AWS": [BOB, OTHER_ROOT]}, USER_BOB, False),
    all_but(NOT_PRINCIPAL, {"AWS": [BOB, OTHER]}, USER_BOB, False),
    all_but(NOT_PRINCIPAL, {"AWS": [ACCOUNT]}, ROOT_USER, False),
    all_but(NOT_PRINCIPAL, {"AWS": [OTHER]}, ROOT_USER, True),
    all_but(NOT_PRINCIPAL, {"AWS": [BOB]}, USER_BOB, True),
    all_but(NOT_PRINCIPAL, {"AWS": [OTHER_ROOT]}, USER_BOB, True),
    all_but(NOT_PRINCIPAL, {"AWS": [BOB, OTHER_ROOT]}, USER_ALICE, True),
    all_but(NOT_PRINCIPAL, {"AWS": [BOB, ROOT]}, USER_BOB, True),
    all_but(NOT_PRINCIPAL, {"AWS": [OTHER_SESSION, OTHER_ROLE, OTHER_ROOT]}, OTHER_ADMIN_SESSION, False),
    all_but(NOT_PRINCIPAL, {"AWS": [OTHER_SESSION, OTHER_ROOT]}, OTHER_ADMIN_SESSION, True),
    all_but(NOT_PRINCIPAL, {"AWS": [OTHER_SESSION, OTHER_ROLE]}, OTHER_ADMIN_SESSION, True),
    all_but(NOT_PRINCIPAL, {"AWS": [OTHER_ROLE, OTHER_ROOT]}, OTHER_ADMIN_SESSION, True),
    all_but(NOT_PRINCIPAL, {"AWS": [ROOT]}, ROOT_USER, False),
    all_but(NOT_PRINCIPAL, {"AWS": [ALICE]}, ROOT_USER, True),
    all_but(NOT_PRINCIPAL, "*", USER_ALICE, False),
    all_but(NOT_PRINCIPAL, S3, SERVICE_S3, False),
    all_but(NOT_PRINCIPAL, S3, USER_ALICE, True),
    all_but(NOT_PRINCIPAL, {"AWS": [ALICE, ROOT]}, SERVICE_S3, True),
    all_but(NOT_PRINCIPAL, {"AWS": [ALICE, ROOT]}, USER_ALICE, False),
    all_but(NOT_PRINCIPAL, {"AWS": [ALICE, ROOT]}, USER_ALICE, True, boundary=FULL),
    all_but(NOT_PRINCIPAL, {"AWS": [SESSION, ROLE, ROOT]}, ADMIN_SESSION, False),
    all_but(NOT_PRINCIPAL, {"AWS": [SESSION, ROLE, ROOT]}, ADMIN_SESSION, True, boundary=FULL),
]
