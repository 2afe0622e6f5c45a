# SPDX-License-Identifier: Apache-2.0
"""How IAM shows principals. Lists show less than what is asked for by name: no tags, no boundary, nothing of the last
use (IAM API reference, ListUsers and ListRoles)."""

from keyquorum import iam_api
from keyquorum.model import ROOT, Principal
from keyquorum.ops.iam.rules import shown_tags


def user(found: Principal, *, listed: bool = False) -> iam_api.User:
    """Of a root, which has neither name nor path, what its ARN says."""
    if found.kind == ROOT:
        return iam_api.User(user_id=found.account, arn=found.arn, create_date=found.created_at)
    return iam_api.User(
        path=found.path,
        user_name=found.name,
        user_id=found.principal_id,
        arn=found.arn,
        create_date=found.created_at,
        permissions_boundary=None if listed else _boundary(found),
        tags=None if listed else shown_tags(found.tags) or None,
    )


def group(found: Principal) -> iam_api.Group:
    return iam_api.Group(
        path=found.path,
        group_name=found.name,
        group_id=found.principal_id,
        arn=found.arn,
        create_date=found.created_at,
    )


def role(found: Principal, *, listed: bool = False, created: bool = False) -> iam_api.Role:
    """``created``: as CreateRole shows it, without how long its sessions may last."""
    return iam_api.Role(
        path=found.path,
        role_name=found.name,
        role_id=found.principal_id,
        arn=found.arn,
        create_date=found.created_at,
        assume_role_policy_document=None if found.trust is None else found.trust.document,
        description=found.description or None,
        max_session_duration=None if created else found.max_session,
        permissions_boundary=None if listed else _boundary(found),
        tags=None if listed else shown_tags(found.tags) or None,
        role_last_used=None if listed or created else iam_api.RoleLastUsed(),
    )


def _boundary(found: Principal) -> iam_api.AttachedPermissionsBoundary | None:
    if found.boundary is None:
        return None
    # The model says PermissionsBoundaryPolicy, and AWS answers Policy (awsdocs/iam-user-guide, issue 82).
    return iam_api.AttachedPermissionsBoundary(
        permissions_boundary_type="Policy", permissions_boundary_arn=found.boundary
    )
