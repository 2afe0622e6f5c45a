# SPDX-License-Identifier: Apache-2.0
"""Managed policies: CreatePolicy, GetPolicy, DeletePolicy, ListPolicies, ListEntitiesForPolicy, TagPolicy, UntagPolicy,
ListPolicyTags. Those of AWS are shown and used, and nobody can change them.

A policy that is attached, or is a boundary, is not deleted: who is bounded by it would be free.
"""

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa

from keyquorum import iam_api
from keyquorum.errors import DeleteConflictException, EntityAlreadyExistsException
from keyquorum.keyring import new_unique_id
from keyquorum.model import GROUP, ROLE, USER, ManagedPolicy, PolicyVersion, Principal
from keyquorum.ops.iam.about import Subject, changing, making, on_all, on_policy, reading
from keyquorum.ops.iam.managed import accepted, load_own_policy, load_policy
from keyquorum.ops.iam.rules import check_quota, connected, fetched_page, page, shown_tags, tagged, tags_page, untagged
from keyquorum.ops.operation import Call, Keys
from keyquorum.store.managed_policies import OF_AWS

_TAGS: Final = "tags_per_policy"
_BATCH: Final = 100


def _shown(policy: ManagedPolicy, attached: int, boundaries: int, *, listed: bool = False) -> iam_api.Policy:
    return iam_api.Policy(
        policy_name=policy.name,
        policy_id=policy.policy_id,
        arn=policy.arn,
        path=policy.path,
        default_version_id=policy.default_version,
        attachment_count=attached,
        permissions_boundary_usage_count=boundaries,
        is_attachable=True,
        description=None if listed else policy.description or None,
        create_date=policy.created_at,
        update_date=policy.updated_at,
        tags=None if listed else shown_tags(policy.tags),
    )


def _on_new(call: Call, request: iam_api.CreatePolicyRequest) -> tuple[Subject, ...]:
    arn = f"arn:aws:iam::{call.caller.account}:policy{request.path or '/'}{request.policy_name}"
    return (Subject(arn, f"policy {request.policy_name}"),)


def _create(call: Call, request: iam_api.CreatePolicyRequest, _keys: Keys) -> iam_api.CreatePolicyResponse:
    policies, txn, account = call.services.store.managed_policies, call.write(), call.caller.account
    name, document = str(request.policy_name), accepted(call, request.policy_document)
    if policies.is_taken(txn.connection, account, name):
        raise EntityAlreadyExistsException(f"A policy called {name} already exists. Duplicate names are not allowed.")
    check_quota(call, "policies_per_account", policies.count(txn.connection, account) + 1)
    policy = ManagedPolicy(
        policy_id=new_unique_id("Policy"),
        account=account,
        name=name,
        path=request.path or "/",
        description=request.description or "",
        created_at=call.now,
        updated_at=call.now,
        versions=(PolicyVersion("v1", document, call.now),),
        default_version="v1",
        tags=tagged(call, _TAGS, (), request.tags, by_case=True),
    )
    policies.insert(txn, policy)
    return iam_api.CreatePolicyResponse(policy=_shown(policy, 0, 0))


def _get(call: Call, request: iam_api.GetPolicyRequest, _keys: Keys) -> iam_api.GetPolicyResponse:
    policy = load_policy(call, request)
    holders = _holders(call, policy.arn)
    attached = sum(policy.arn in holder.attached for holder in holders)
    boundaries = sum(policy.arn == holder.boundary for holder in holders)
    return iam_api.GetPolicyResponse(policy=_shown(policy, attached, boundaries))


def _delete(call: Call, request: iam_api.DeletePolicyRequest, _keys: Keys) -> None:
    policy = load_own_policy(call, request)
    if _holders(call, policy.arn):
        raise DeleteConflictException("Cannot delete a policy attached to entities.")
    if len(policy.versions) > 1:
        raise DeleteConflictException(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. "
            "The default version is deleted with the policy."
        )
    call.services.store.managed_policies.delete(call.write(), policy)


def _holders(call: Call, arn: str) -> list[Principal]:
    with connected(call) as connection:
        return call.services.store.identities.holders(connection, call.caller.account, arn)


# -- ListPolicies


def _list(call: Call, request: iam_api.ListPoliciesRequest, _keys: Keys) -> iam_api.ListPoliciesResponse:
    prefix, usage = request.path_prefix or "/", request.policy_usage_filter
    scope = f"ListPolicies {request.scope} {request.only_attached} {prefix} {usage}"
    with connected(call) as connection:
        attached, boundaries = call.services.store.identities.usage(connection, call.caller.account)
    counted = {"PermissionsPolicy": attached, "PermissionsBoundary": boundaries, None: attached + boundaries}[usage]

    def fetch(after: str, limit: int) -> list[ManagedPolicy]:
        found: list[ManagedPolicy] = []
        with connected(call) as connection:
            for policy in _policies(call, connection, request.scope, prefix, after):
                if (usage is None and not request.only_attached) or counted[policy.arn]:
                    found.append(policy)
                if len(found) == limit:
                    break
        return found

    shown, rest = fetched_page(call, scope, request, fetch, _place)
    policies = [_shown(p, attached[p.arn], boundaries[p.arn], listed=True) for p in shown]
    return iam_api.ListPoliciesResponse(policies=policies, **rest)


def _policies(
    call: Call, connection: sa.Connection, scope: str | None, prefix: str, after: str
) -> Iterator[ManagedPolicy]:
    """The policies after a place: the account's, then those of AWS."""
    if scope != "AWS" and not after.startswith("aws "):
        name = after.partition(" ")[2]
        while batch := call.services.store.managed_policies.page(connection, call.caller.account, prefix, name, _BATCH):
            yield from batch
            name = batch[-1].name
    if scope != "Local":
        for policy in sorted(OF_AWS.values(), key=_place):
            if _place(policy) > after and policy.path.startswith(prefix):
                yield policy


def _place(policy: ManagedPolicy) -> str:
    """Accounts are digits, so that AWS comes last."""
    return f"{policy.account} {policy.name}"


# -- ListEntitiesForPolicy

_ENTITIES: Final[dict[str, tuple[str, str, type[Any]]]] = {
    GROUP: ("Group", "group", iam_api.PolicyGroup),
    USER: ("User", "user", iam_api.PolicyUser),
    ROLE: ("Role", "role", iam_api.PolicyRole),
}


def _entities(
    call: Call, request: iam_api.ListEntitiesForPolicyRequest, _keys: Keys
) -> iam_api.ListEntitiesForPolicyResponse:
    policy = load_policy(call, request)
    wanted, usage, prefix = request.entity_filter, request.policy_usage_filter, request.path_prefix or "/"
    holders = [
        holder
        for holder in _holders(call, policy.arn)
        if wanted in (None, _ENTITIES[holder.kind][0])
        and holder.path.startswith(prefix)
        and (usage != "PermissionsBoundary" or holder.boundary == policy.arn)
        and (usage != "PermissionsPolicy" or policy.arn in holder.attached)
    ]
    scope = f"ListEntitiesForPolicy {policy.policy_id} {wanted} {usage} {prefix}"
    shown, rest = page(call, scope, request, sorted(holders, key=_entity_place), _entity_place)
    lists: dict[str, list[Any]] = {"group": [], "user": [], "role": []}
    for holder in shown:
        _, word, shape = _ENTITIES[holder.kind]
        lists[word].append(shape(**{f"{word}_name": holder.name, f"{word}_id": holder.principal_id}))
    return iam_api.ListEntitiesForPolicyResponse(
        policy_groups=lists["group"], policy_users=lists["user"], policy_roles=lists["role"], **rest
    )


def _entity_place(holder: Principal) -> str:
    return f"{holder.kind} {holder.name}"


# -- tags


def _tag(call: Call, request: iam_api.TagPolicyRequest, _keys: Keys) -> None:
    policy = load_own_policy(call, request)
    tags = tagged(call, _TAGS, policy.tags, request.tags, by_case=True)
    call.services.store.managed_policies.update(call.write(), policy, tags=tags)


def _untag(call: Call, request: iam_api.UntagPolicyRequest, _keys: Keys) -> None:
    policy = load_own_policy(call, request)
    tags = untagged(policy.tags, request.tag_keys, by_case=True)
    call.services.store.managed_policies.update(call.write(), policy, tags=tags)


def _list_tags(call: Call, request: iam_api.ListPolicyTagsRequest, _keys: Keys) -> Any:
    policy = load_policy(call, request)
    return tags_page(call, "ListPolicyTags", request, policy.arn, policy.tags)


OPERATIONS = (
    making("CreatePolicy", _create, _on_new),
    reading("GetPolicy", _get, on_policy),
    changing("DeletePolicy", _delete, on_policy),
    reading("ListPolicies", _list, on_all("policy", "policy path")),
    reading("ListEntitiesForPolicy", _entities, on_policy),
    changing("TagPolicy", _tag, on_policy),
    changing("UntagPolicy", _untag, on_policy),
    reading("ListPolicyTags", _list_tags, on_policy),
)
