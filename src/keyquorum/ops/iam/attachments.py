# SPDX-License-Identifier: Apache-2.0
"""Managed policies of users, groups and roles: Attach...Policy, Detach...Policy, ListAttached...Policies; and as
permissions boundaries of users and roles: Put...PermissionsBoundary, Delete...PermissionsBoundary."""

from functools import partial
from typing import Any

from keyquorum import iam_api
from keyquorum.errors import NoSuchEntityException
from keyquorum.ops.iam.about import BOUNDARY, NEW_BOUNDARY, POLICY_ARN, changing, on, reading
from keyquorum.ops.iam.rules import (
    KINDS,
    ROLES,
    USERS,
    Kind,
    answer,
    boundary,
    check_quota,
    find_policy,
    load,
    page,
    policy_arn,
    policy_path,
)
from keyquorum.ops.operation import Call, Keys


def _attach(kind: Kind, call: Call, request: Any, _keys: Keys) -> None:
    arn = policy_arn(request.policy_arn)
    found = load(call, kind, request)
    if find_policy(call, arn) is None:
        raise NoSuchEntityException(f"Policy {arn} does not exist or is not attachable.")
    if arn not in found.attached:
        check_quota(call, f"policies_per_{kind.word}", len(found.attached) + 1)
        call.services.store.identities.update(call.write(), found, attached=(*found.attached, arn))


def _detach(kind: Kind, call: Call, request: Any, _keys: Keys) -> None:
    arn = policy_arn(request.policy_arn)
    found = load(call, kind, request)
    kept = tuple([attached for attached in found.attached if attached != arn])
    if kept == found.attached:
        raise NoSuchEntityException(f"Policy {arn} was not found.")
    call.services.store.identities.update(call.write(), found, attached=kept)


def _list(kind: Kind, call: Call, request: Any, _keys: Keys) -> Any:
    found, name = load(call, kind, request), f"ListAttached{kind.title}Policies"
    prefix = request.path_prefix or "/"
    arns = sorted([arn for arn in found.attached if policy_path(arn).startswith(prefix)], key=_place)
    shown, rest = page(call, f"{name} {found.principal_id} {prefix}", request, arns, _place)
    policies = [iam_api.AttachedPolicy(policy_name=arn.rpartition("/")[2], policy_arn=arn) for arn in shown]
    return answer(name, attached_policies=policies, **rest)


def _place(arn: str) -> str:
    """By name; a policy of AWS and one of the account may have the same."""
    return f"{arn.rpartition('/')[2]} {arn.split(':')[4]}"


def _put_boundary(kind: Kind, call: Call, request: Any, _keys: Keys) -> None:
    found = load(call, kind, request)
    arn = boundary(call, request.permissions_boundary)
    call.services.store.identities.update(call.write(), found, boundary=arn)


def _delete_boundary(kind: Kind, call: Call, request: Any, _keys: Keys) -> None:
    call.services.store.identities.update(call.write(), load(call, kind, request), boundary=None)


OPERATIONS = (
    *(
        operation
        for kind in KINDS
        for operation in (
            changing(f"Attach{kind.title}Policy", partial(_attach, kind), on(kind, POLICY_ARN, BOUNDARY)),
            changing(f"Detach{kind.title}Policy", partial(_detach, kind), on(kind, POLICY_ARN, BOUNDARY)),
            reading(f"ListAttached{kind.title}Policies", partial(_list, kind), on(kind)),
        )
    ),
    *(
        operation
        for kind in (USERS, ROLES)
        for operation in (
            changing(f"Put{kind.title}PermissionsBoundary", partial(_put_boundary, kind), on(kind, NEW_BOUNDARY)),
            changing(f"Delete{kind.title}PermissionsBoundary", partial(_delete_boundary, kind), on(kind, BOUNDARY)),
        )
    ),
)
