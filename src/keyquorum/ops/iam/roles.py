# SPDX-License-Identifier: Apache-2.0
"""CreateRole, GetRole, UpdateRole, UpdateRoleDescription, UpdateAssumeRolePolicy, DeleteRole, ListRoles,
ListInstanceProfilesForRole.

A trust policy names principals that are there: users, roles and sessions, to whose IDs it is bound, accounts, and OIDC
providers of the role's own account. There are no instance profiles here, so that a list of them is empty.
"""

from functools import partial
from typing import Any

from keyquorum import iam_api
from keyquorum.authz.policy import Policy, parse_trust_policy
from keyquorum.authz.principals import INVALID_PRINCIPALS
from keyquorum.errors import MalformedPolicyDocumentException
from keyquorum.model import Principal, ResourcePolicy
from keyquorum.ops.iam.about import BOUNDARY, NEW_BOUNDARY, changing, making, on, on_all, on_new, reading
from keyquorum.ops.iam.principals import create, deleting, listing
from keyquorum.ops.iam.rules import ROLES, load
from keyquorum.ops.iam.shapes import role
from keyquorum.ops.operation import Call, Keys
from keyquorum.ops.rules import bound

_HOUR = 3600


def _trust(call: Call, document: str | None) -> ResourcePolicy:
    """Raises MalformedPolicyDocumentException or LimitExceededException."""
    parsed = parse_trust_policy(str(document))
    if not call.services.development:
        _check_federated(call, parsed)
    return ResourcePolicy(str(document), bound(call, parsed))


def _check_federated(call: Call, policy: Policy) -> None:
    prefix = f"arn:aws:iam::{call.caller.account}:oidc-provider/"
    providers, connection = call.services.store.providers, call.write().connection
    for statement in policy.statements:
        for name in sorted(statement.principals.federated if statement.principals is not None else ()):
            url = name.removeprefix(prefix)
            if url == name or providers.load(connection, call.caller.account, url) is None:
                raise MalformedPolicyDocumentException(INVALID_PRINCIPALS, detail=name)


def _create(call: Call, request: iam_api.CreateRoleRequest, _keys: Keys) -> iam_api.CreateRoleResponse:
    made = create(
        call,
        ROLES,
        request,
        trust=_trust(call, request.assume_role_policy_document),
        max_session=request.max_session_duration or _HOUR,
        description=request.description or "",
    )
    return iam_api.CreateRoleResponse(role=role(made, created=True))


def _get(call: Call, request: iam_api.GetRoleRequest, _keys: Keys) -> iam_api.GetRoleResponse:
    return iam_api.GetRoleResponse(role=role(load(call, ROLES, request)))


def _change(call: Call, request: Any, **changes: Any) -> Principal:
    return call.services.store.identities.update(call.write(), load(call, ROLES, request), **changes)


def _update(call: Call, request: iam_api.UpdateRoleRequest, _keys: Keys) -> iam_api.UpdateRoleResponse:
    # "If you do not specify a value for this setting, the default value of one hour is applied."
    changes: dict[str, Any] = {"max_session": request.max_session_duration or _HOUR}
    if request.description is not None:
        changes["description"] = request.description
    _change(call, request, **changes)
    return iam_api.UpdateRoleResponse()


def _describe(
    call: Call, request: iam_api.UpdateRoleDescriptionRequest, _keys: Keys
) -> iam_api.UpdateRoleDescriptionResponse:
    changed = _change(call, request, description=request.description or "")
    return iam_api.UpdateRoleDescriptionResponse(role=role(changed, created=True))


def _update_trust(call: Call, request: iam_api.UpdateAssumeRolePolicyRequest, _keys: Keys) -> None:
    found = load(call, ROLES, request)
    trust = _trust(call, request.policy_document)
    call.services.store.identities.update(call.write(), found, trust=trust)


def _instance_profiles(
    call: Call, request: iam_api.ListInstanceProfilesForRoleRequest, _keys: Keys
) -> iam_api.ListInstanceProfilesForRoleResponse:
    load(call, ROLES, request)
    return iam_api.ListInstanceProfilesForRoleResponse(instance_profiles=[], is_truncated=False)


OPERATIONS = (
    making("CreateRole", _create, on_new(ROLES, NEW_BOUNDARY)),
    reading("GetRole", _get, on(ROLES, BOUNDARY)),
    changing("UpdateRole", _update, on(ROLES, BOUNDARY)),
    changing("UpdateRoleDescription", _describe, on(ROLES, BOUNDARY)),
    changing("UpdateAssumeRolePolicy", _update_trust, on(ROLES, BOUNDARY)),
    changing("DeleteRole", deleting(ROLES), on(ROLES, BOUNDARY)),
    reading("ListRoles", listing(ROLES, partial(role, listed=True)), on_all("role")),
    reading("ListInstanceProfilesForRole", _instance_profiles, on(ROLES)),
)
