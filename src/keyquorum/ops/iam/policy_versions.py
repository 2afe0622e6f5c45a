# SPDX-License-Identifier: Apache-2.0
"""Versions of managed policies: CreatePolicyVersion, GetPolicyVersion, ListPolicyVersions, DeletePolicyVersion,
SetDefaultPolicyVersion. The default version is the one in force; the number of a version is never given out again."""

from typing import Any

from keyquorum import iam_api
from keyquorum.errors import DeleteConflictException, LimitExceededException, NoSuchEntityException
from keyquorum.model import ManagedPolicy, PolicyVersion
from keyquorum.ops.iam.about import changing, on_policy, reading
from keyquorum.ops.iam.managed import accepted, load_own_policy, load_policy
from keyquorum.ops.iam.rules import page
from keyquorum.ops.operation import Call, Keys


def _shown(policy: ManagedPolicy, version: PolicyVersion, *, document: bool = False) -> iam_api.PolicyVersion:
    return iam_api.PolicyVersion(
        document=version.document if document else None,
        version_id=version.version_id,
        is_default_version=version.version_id == policy.default_version,
        create_date=version.created_at,
    )


def _named(policy: ManagedPolicy, version_id: str | None) -> PolicyVersion:
    for version in policy.versions:
        if version.version_id == version_id:
            return version
    raise NoSuchEntityException(f"Policy {policy.arn} version {version_id} does not exist or is not attachable.")


def _create(
    call: Call, request: iam_api.CreatePolicyVersionRequest, _keys: Keys
) -> iam_api.CreatePolicyVersionResponse:
    policy = load_own_policy(call, request)
    document = accepted(call, request.policy_document)
    limit = call.services.quotas.versions_per_policy
    if len(policy.versions) >= limit:
        raise LimitExceededException(
            f"A managed policy can have up to {limit} versions. Before you create a new version, you must delete an "
            "existing version."
        )
    number = policy.last_version + 1
    version = PolicyVersion(f"v{number}", document, call.now)
    changes: dict[str, Any] = {"versions": (*policy.versions, version), "last_version": number, "updated_at": call.now}
    if request.set_as_default:
        changes["default_version"] = version.version_id
    changed = call.services.store.managed_policies.update(call.write(), policy, **changes)
    return iam_api.CreatePolicyVersionResponse(policy_version=_shown(changed, version))


def _get(call: Call, request: iam_api.GetPolicyVersionRequest, _keys: Keys) -> iam_api.GetPolicyVersionResponse:
    policy = load_policy(call, request)
    version = _named(policy, request.version_id)
    return iam_api.GetPolicyVersionResponse(policy_version=_shown(policy, version, document=True))


def _list(call: Call, request: iam_api.ListPolicyVersionsRequest, _keys: Keys) -> iam_api.ListPolicyVersionsResponse:
    policy = load_policy(call, request)
    newest_first = sorted(policy.versions, key=_place)
    shown, rest = page(call, f"ListPolicyVersions {policy.policy_id}", request, newest_first, _place)
    return iam_api.ListPolicyVersionsResponse(versions=[_shown(policy, version) for version in shown], **rest)


def _place(version: PolicyVersion) -> str:
    """Smaller for a newer version; all have the same length."""
    return str(2 * 10**9 - int(version.version_id[1:]))


def _delete(call: Call, request: iam_api.DeletePolicyVersionRequest, _keys: Keys) -> None:
    policy = load_own_policy(call, request)
    version = _named(policy, request.version_id)
    if version.version_id == policy.default_version:
        raise DeleteConflictException("Cannot delete the default version of a policy.")
    kept = tuple([other for other in policy.versions if other is not version])
    call.services.store.managed_policies.update(call.write(), policy, versions=kept, updated_at=call.now)


def _set_default(call: Call, request: iam_api.SetDefaultPolicyVersionRequest, _keys: Keys) -> None:
    policy = load_own_policy(call, request)
    version = _named(policy, request.version_id)
    call.services.store.managed_policies.update(
        call.write(), policy, default_version=version.version_id, updated_at=call.now
    )


OPERATIONS = (
    changing("CreatePolicyVersion", _create, on_policy),
    reading("GetPolicyVersion", _get, on_policy),
    reading("ListPolicyVersions", _list, on_policy),
    changing("DeletePolicyVersion", _delete, on_policy),
    changing("SetDefaultPolicyVersion", _set_default, on_policy),
)
