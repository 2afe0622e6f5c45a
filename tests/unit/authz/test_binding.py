# SPDX-License-Identifier: Apache-2.0
"""A resource-based policy is put only if all whom it names are there, and is meant for them by their unique IDs."""

from typing import Any

import pytest
from policies import ABSENT, ACCOUNT, ALICE, ROLE, ROOT, SESSION, allow, but, deny, document

from keyquorum.authz.binding import bind
from keyquorum.authz.policy import parse_key_policy
from keyquorum.errors import MalformedPolicyDocumentException

THERE = {ALICE: "AIDAALICE", ROLE: "AROAADMIN", SESSION: "AROAADMIN:laptop"}
GHOST = f"arn:aws:iam::{ACCOUNT}:user/ghost"


def bound(*statements: dict[str, Any]) -> dict[str, str]:
    return bind(parse_key_policy(document(*statements)), THERE.get, lambda account: account == ACCOUNT)


def test_users_roles_and_sessions_are_bound_and_accounts_are_looked_up() -> None:
    statements = (allow({"AWS": [ROOT, ALICE]}), allow({"AWS": SESSION}, Sid="s"), deny({"AWS": ROLE}))
    assert bound(*statements) == THERE


def test_what_has_no_unique_id_is_left_as_it_is() -> None:
    services = {"Service": "s3.amazonaws.com", "Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/idp.example"}
    assert bound(allow("*"), allow({"AWS": "*"}), allow({"AWS": ACCOUNT}), allow(services)) == {}


@pytest.mark.parametrize("ghost", [GHOST, ALICE.upper(), "999999999999", "arn:aws:iam::999999999999:root"])
@pytest.mark.parametrize("element", ["Principal", "NotPrincipal"])
def test_one_that_is_not_there_is_refused(ghost: str, element: str) -> None:
    """Wherever it stands, and whoever stands beside it."""
    statement = but(deny(ABSENT), **{element: {"AWS": [ALICE, ghost]}})
    with pytest.raises(MalformedPolicyDocumentException) as caught:
        bound(allow({"AWS": ROOT}), statement)
    assert caught.value.message == "Policy contains a statement with one or more invalid principals."


def test_which_one_it_was_is_for_the_log_alone() -> None:
    with pytest.raises(MalformedPolicyDocumentException) as caught:
        bound(allow({"AWS": GHOST}))
    assert (caught.value.detail, GHOST in str(caught.value.message)) == (GHOST, False)
