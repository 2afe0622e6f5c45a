# SPDX-License-Identifier: Apache-2.0
"""Whose policies govern a caller: its own, its groups', its boundary, its session's; and that nothing of them is lost
or kept too long."""

import json
from typing import Any

import msgspec
import pytest
from policies import ACCOUNT, ROOT

from keyquorum.authz import evaluate
from keyquorum.authz.compiled import Request, Subject
from keyquorum.authz.decision import Source
from keyquorum.authz.matching import Context
from keyquorum.authz.subjects import documents, subject_of
from keyquorum.model import (
    ASSUMED_ROLE,
    GROUP,
    ROLE,
    SERVICE,
    USER,
    WEB_IDENTITY,
    Caller,
    IdentityRecord,
    Principal,
    Session,
)
from keyquorum.model import ROOT as ROOT_KIND

ARN = f"arn:aws:iam::{ACCOUNT}"
READING, BOUNDARY = f"{ARN}:policy/Reading", f"{ARN}:policy/Boundary"


def policy(*actions: str, effect: str = "Allow") -> str:
    statement = {"Effect": effect, "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


USER_ALICE = Principal("AIDAALICE", ACCOUNT, USER, "alice", path="/team/", tags=(("Team", "blue"), ("cost", "1")))
ADMIN = Principal("AROAADMIN", ACCOUNT, ROLE, "admin", inline=(("p", policy("kms:ListKeys", "kms:CreateKey")),))
ALICE = Caller(ACCOUNT, "us-east-1", USER_ALICE.arn, USER_ALICE.principal_id, USER, "AKIA", USER_ALICE.principal_id)


def session(**changes: Any) -> Session:
    return Session(**{"name": "laptop", "issued_at": 5.0, "expires_at": 9.0, **changes})


def assumed(access_key_id: str = "ASIA", **changes: Any) -> Caller:
    return Caller(
        ACCOUNT,
        "us-east-1",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/laptop",
        "AROAADMIN:laptop",
        ASSUMED_ROLE,
        access_key_id,
        ADMIN.principal_id,
        ADMIN.arn,
        session(**changes),
    )


def user(groups: tuple[Principal, ...] = (), managed: dict[str, str] | None = None, **changes: Any) -> IdentityRecord:
    return IdentityRecord(msgspec.structs.replace(USER_ALICE, **changes), groups, managed or {})


def may(subject: Subject, action: str) -> bool:
    return decided(subject, action) is None


def decided(subject: Subject, action: str) -> Source | None:
    """The kind of policy that refuses the action, or None if none does."""
    decision = evaluate.on_account(Request(action, ("*",), ACCOUNT, Context()), subject)
    return None if decision.allowed else decision.source


@pytest.mark.parametrize("kind", [ROOT_KIND, SERVICE, WEB_IDENTITY])
def test_who_has_no_identity_has_no_policies(kind: str) -> None:
    subject = subject_of(Caller(ACCOUNT, "us-east-1", ROOT, ACCOUNT, kind), None)
    assert (subject.policies, subject.boundary, subject.sessions) == ((), None, ())
    assert may(subject, "kms:ListKeys") is (kind == ROOT_KIND)


def test_a_user_has_its_own_policies_and_its_groups() -> None:
    crew = Principal("AGPACREW", ACCOUNT, GROUP, "crew", inline=(("g", policy("kms:CreateKey")),), attached=(READING,))
    record = user((crew,), {READING: policy("kms:ListKeys")}, inline=(("own", policy("kms:GenerateRandom")),))
    subject = subject_of(ALICE, record)
    for action in ("kms:CreateKey", "kms:ListKeys", "kms:GenerateRandom"):
        assert may(subject, action)
    assert decided(subject, "kms:ListAliases") is Source.IDENTITY
    assert [name for name, _ in documents(record)] == [
        f"{ARN}:user/team/alice inline policy own",
        f"{ARN}:group/crew inline policy g",
        READING,
    ]


def test_a_groups_deny_is_a_deny() -> None:
    crew = Principal("AGPACREW", ACCOUNT, GROUP, "crew", inline=(("g", policy("kms:CreateKey", effect="Deny")),))
    assert not may(subject_of(ALICE, user((crew,), inline=(("own", policy("kms:*")),))), "kms:CreateKey")


def test_a_boundary_bounds_and_one_that_is_gone_bounds_to_nothing() -> None:
    own = (("own", policy("kms:*")),)
    record = user((), {BOUNDARY: policy("kms:ListKeys")}, inline=own, boundary=BOUNDARY)
    assert may(subject_of(ALICE, record), "kms:ListKeys")
    assert decided(subject_of(ALICE, record), "kms:CreateKey") is Source.BOUNDARY
    assert decided(subject_of(ALICE, user(inline=own, boundary=BOUNDARY)), "kms:ListKeys") is Source.BOUNDARY


def test_a_boundary_is_no_permission() -> None:
    assert not may(subject_of(ALICE, user((), {BOUNDARY: policy("kms:*")}, boundary=BOUNDARY)), "kms:ListKeys")


def test_a_session_is_its_roles_and_within_its_session_policies() -> None:
    record = IdentityRecord(ADMIN)
    subject = subject_of(assumed(), record)
    assert (subject.role_arn, subject.role_id, subject.principal_id) == (ADMIN.arn, "AROAADMIN", "AROAADMIN:laptop")
    assert (subject.issued_at, subject.mfa_at) == (5.0, None)
    assert may(subject, "kms:CreateKey")
    narrow = subject_of(assumed("ASIA2", policies=(policy("kms:ListKeys"),)), record)
    assert may(narrow, "kms:ListKeys")
    assert decided(narrow, "kms:CreateKey") is Source.SESSION
    # The other session of the same role is what it was.
    assert may(subject_of(assumed(), record), "kms:CreateKey")


def test_a_managed_session_policy_that_is_gone_allows_nothing() -> None:
    record = IdentityRecord(ADMIN)
    caller = assumed(policy_arns=(READING,))
    assert may(subject_of(caller, record, (policy("kms:ListKeys"),)), "kms:ListKeys")
    assert not may(subject_of(caller, record, (None,)), "kms:ListKeys")
    assert not may(subject_of(caller, record, (policy("kms:*"), None)), "kms:ListKeys")
    assert may(subject_of(caller, record, (policy("kms:ListKeys"),)), "kms:ListKeys")


def test_a_users_temporary_credentials_are_the_user() -> None:
    record = user(inline=(("own", policy("kms:*")),))
    subject = subject_of(msgspec.structs.replace(ALICE, access_key_id="ASIA", session=session(mfa_at=4.0)), record)
    assert (subject.arn, subject.role_arn, subject.role_id, subject.mfa_at) == (USER_ALICE.arn, None, None, 4.0)
    # What temporary credentials know of a second factor is nothing that the user's own key gets.
    assert subject_of(ALICE, record).mfa_at is None


def test_tags_of_a_session_come_before_its_roles_whatever_their_case() -> None:
    tagged = IdentityRecord(msgspec.structs.replace(ADMIN, tags=(("Team", "blue"), ("cost", "1"))))
    subject = subject_of(assumed(tags=(("team", "red"), ("new", "2"))), tagged)
    assert set(subject.tags) == {("team", "red"), ("cost", "1"), ("new", "2")}


def test_what_was_made_ready_is_kept_with_the_record_and_no_longer() -> None:
    record = user(inline=(("own", policy("kms:ListKeys")),))
    assert subject_of(ALICE, record) is subject_of(ALICE, record)
    changed = user(inline=(("own", policy("kms:CreateKey")),))
    assert not may(subject_of(ALICE, changed), "kms:ListKeys")


def test_sessions_without_number_do_not_fill_the_memory() -> None:
    record = IdentityRecord(ADMIN)
    for number in range(2_000):
        assert may(subject_of(assumed(f"ASIA{number}"), record), "kms:ListKeys")
        assert len(record.ready) <= 300
