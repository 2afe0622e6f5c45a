# SPDX-License-Identifier: Apache-2.0
"""One request for each operation of IAM, on a small account, and what it is about: the resource and the condition keys
of the Service Authorization Reference, "Actions, resources, and condition keys for AWS Identity and Access Management".
"""

import json
from typing import Any, Final, NamedTuple

from servers import Access

ACCOUNT: Final = "111122223333"
ARN: Final = f"arn:aws:iam::{ACCOUNT}"
USER: Final = f"{ARN}:user/staff/ann"
GROUP: Final = f"{ARN}:group/staff/crew"
ROLE: Final = f"{ARN}:role/staff/deputy"
POLICY: Final = f"{ARN}:policy/staff/Reading"
BOUND: Final = f"{ARN}:policy/Bound"
PROVIDER: Final = f"{ARN}:oidc-provider/idp.example.com/id"
ANN: Final = Access("AKIAANN0000000000000", "ann-secret-0123456789-0123456789-abcdefghi")
PUBLIC_KEY: Final = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7L"
    "tkBoN79R9Q=="
)
"""A SubjectPublicKeyInfo of the base point of P-256 (SEC 2, 2.4.2)."""


def allow(action: Any, resource: Any = "*", **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(principal: Any, action: str = "sts:AssumeRole") -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


DOCUMENT: Final = allow("kms:ListKeys")
TRUST: Final = trust({"AWS": f"{ARN}:root"})
TAGS: Final = [{"Key": "team", "Value": "blue"}]

_BOUNDARY: Final = frozenset({"iam:permissionsboundary"})
_POLICY_ARN: Final = frozenset({"iam:policyarn"})
_BOTH: Final = _BOUNDARY | _POLICY_ARN
_NONE: Final = frozenset[str]()


class Asked(NamedTuple):
    """``keys``: the condition keys of IAM's own that the action has, when the principal has a boundary."""

    resource: str
    arguments: dict[str, Any]
    keys: frozenset[str] = _NONE


_U: Final = {"UserName": "ann"}
_G: Final = {"GroupName": "crew"}
_R: Final = {"RoleName": "deputy"}
_P: Final = {"PolicyArn": POLICY}
_O: Final = {"OpenIDConnectProviderArn": PROVIDER}
_INLINE: Final = {"PolicyName": "own"}
_KEY: Final = {"AccessKeyId": ANN.key_id}

REQUESTS: Final[dict[str, Asked]] = {
    "CreateUser": Asked(
        f"{ARN}:user/new/kim", {"UserName": "kim", "Path": "/new/", "PermissionsBoundary": BOUND}, _BOUNDARY
    ),
    "GetUser": Asked(USER, _U),
    "UpdateUser": Asked(USER, _U),
    "DeleteUser": Asked(USER, _U),
    "ListUsers": Asked(f"{ARN}:user/", {}),
    "TagUser": Asked(USER, {**_U, "Tags": TAGS}),
    "UntagUser": Asked(USER, {**_U, "TagKeys": ["team"]}),
    "ListUserTags": Asked(USER, _U),
    "CreateGroup": Asked(f"{ARN}:group/new/band", {"GroupName": "band", "Path": "/new/"}),
    "GetGroup": Asked(GROUP, _G),
    "UpdateGroup": Asked(GROUP, _G),
    "DeleteGroup": Asked(GROUP, _G),
    "ListGroups": Asked(f"{ARN}:group/", {}),
    "AddUserToGroup": Asked(GROUP, {**_G, **_U}),
    "RemoveUserFromGroup": Asked(GROUP, {**_G, **_U}),
    "ListGroupsForUser": Asked(USER, _U),
    "CreateRole": Asked(
        f"{ARN}:role/new/guest",
        {"RoleName": "guest", "Path": "/new/", "AssumeRolePolicyDocument": TRUST, "PermissionsBoundary": BOUND},
        _BOUNDARY,
    ),
    "GetRole": Asked(ROLE, _R, _BOUNDARY),
    "UpdateRole": Asked(ROLE, {**_R, "Description": "d"}, _BOUNDARY),
    "UpdateRoleDescription": Asked(ROLE, {**_R, "Description": "d"}, _BOUNDARY),
    "UpdateAssumeRolePolicy": Asked(ROLE, {**_R, "PolicyDocument": TRUST}, _BOUNDARY),
    "DeleteRole": Asked(ROLE, _R, _BOUNDARY),
    "ListRoles": Asked(f"{ARN}:role/", {}),
    "TagRole": Asked(ROLE, {**_R, "Tags": TAGS}),
    "UntagRole": Asked(ROLE, {**_R, "TagKeys": ["team"]}),
    "ListRoleTags": Asked(ROLE, _R),
    "ListInstanceProfilesForRole": Asked(ROLE, _R),
    "PutUserPolicy": Asked(USER, {**_U, **_INLINE, "PolicyDocument": DOCUMENT}, _BOUNDARY),
    "GetUserPolicy": Asked(USER, {**_U, **_INLINE}),
    "DeleteUserPolicy": Asked(USER, {**_U, **_INLINE}, _BOUNDARY),
    "ListUserPolicies": Asked(USER, _U),
    "PutGroupPolicy": Asked(GROUP, {**_G, **_INLINE, "PolicyDocument": DOCUMENT}),
    "GetGroupPolicy": Asked(GROUP, {**_G, **_INLINE}),
    "DeleteGroupPolicy": Asked(GROUP, {**_G, **_INLINE}),
    "ListGroupPolicies": Asked(GROUP, _G),
    "PutRolePolicy": Asked(ROLE, {**_R, **_INLINE, "PolicyDocument": DOCUMENT}, _BOUNDARY),
    "GetRolePolicy": Asked(ROLE, {**_R, **_INLINE}),
    "DeleteRolePolicy": Asked(ROLE, {**_R, **_INLINE}, _BOUNDARY),
    "ListRolePolicies": Asked(ROLE, _R),
    "AttachUserPolicy": Asked(USER, {**_U, **_P}, _BOTH),
    "DetachUserPolicy": Asked(USER, {**_U, **_P}, _BOTH),
    "ListAttachedUserPolicies": Asked(USER, _U),
    "AttachGroupPolicy": Asked(GROUP, {**_G, **_P}, _POLICY_ARN),
    "DetachGroupPolicy": Asked(GROUP, {**_G, **_P}, _POLICY_ARN),
    "ListAttachedGroupPolicies": Asked(GROUP, _G),
    "AttachRolePolicy": Asked(ROLE, {**_R, **_P}, _BOTH),
    "DetachRolePolicy": Asked(ROLE, {**_R, **_P}, _BOTH),
    "ListAttachedRolePolicies": Asked(ROLE, _R),
    "PutUserPermissionsBoundary": Asked(USER, {**_U, "PermissionsBoundary": BOUND}, _BOUNDARY),
    "DeleteUserPermissionsBoundary": Asked(USER, _U, _BOUNDARY),
    "PutRolePermissionsBoundary": Asked(ROLE, {**_R, "PermissionsBoundary": BOUND}, _BOUNDARY),
    "DeleteRolePermissionsBoundary": Asked(ROLE, _R, _BOUNDARY),
    "CreatePolicy": Asked(
        f"{ARN}:policy/new/Writing", {"PolicyName": "Writing", "Path": "/new/", "PolicyDocument": DOCUMENT}
    ),
    "GetPolicy": Asked(POLICY, _P),
    "DeletePolicy": Asked(POLICY, _P),
    "ListPolicies": Asked(f"{ARN}:policy/", {}),
    "ListEntitiesForPolicy": Asked(POLICY, _P),
    "TagPolicy": Asked(POLICY, {**_P, "Tags": TAGS}),
    "UntagPolicy": Asked(POLICY, {**_P, "TagKeys": ["team"]}),
    "ListPolicyTags": Asked(POLICY, _P),
    "CreatePolicyVersion": Asked(POLICY, {**_P, "PolicyDocument": DOCUMENT}),
    "GetPolicyVersion": Asked(POLICY, {**_P, "VersionId": "v1"}),
    "ListPolicyVersions": Asked(POLICY, _P),
    "DeletePolicyVersion": Asked(POLICY, {**_P, "VersionId": "v2"}),
    "SetDefaultPolicyVersion": Asked(POLICY, {**_P, "VersionId": "v1"}),
    "CreateAccessKey": Asked(USER, _U),
    "UpdateAccessKey": Asked(USER, {**_U, **_KEY, "Status": "Inactive"}),
    "ListAccessKeys": Asked(USER, _U),
    "GetAccessKeyLastUsed": Asked(USER, _KEY),
    "DeleteAccessKey": Asked(USER, {**_U, **_KEY}),
    "CreateOpenIDConnectProvider": Asked(
        f"{ARN}:oidc-provider/other.example.com", {"Url": "https://other.example.com"}
    ),
    "GetOpenIDConnectProvider": Asked(PROVIDER, _O),
    "ListOpenIDConnectProviders": Asked(f"{ARN}:oidc-provider/", {}),
    "AddClientIDToOpenIDConnectProvider": Asked(PROVIDER, {**_O, "ClientID": "app"}),
    "RemoveClientIDFromOpenIDConnectProvider": Asked(PROVIDER, {**_O, "ClientID": "app"}),
    "UpdateOpenIDConnectProviderThumbprint": Asked(PROVIDER, {**_O, "ThumbprintList": ["a" * 40]}),
    "TagOpenIDConnectProvider": Asked(PROVIDER, {**_O, "Tags": TAGS}),
    "UntagOpenIDConnectProvider": Asked(PROVIDER, {**_O, "TagKeys": ["team"]}),
    "ListOpenIDConnectProviderTags": Asked(PROVIDER, _O),
    "DeleteOpenIDConnectProvider": Asked(PROVIDER, _O),
}


def populate(iam: Any) -> None:
    """Make what the requests are about, so that none but the last takes any of it away. The user's access key is the
    seed's."""
    iam.create_policy(PolicyName="Bound", PolicyDocument=allow("*"))
    iam.create_policy(PolicyName="Reading", Path="/staff/", PolicyDocument=DOCUMENT, Tags=TAGS)
    iam.update_user(UserName="ann", NewPath="/staff/")
    iam.tag_user(UserName="ann", Tags=TAGS)
    iam.put_user_permissions_boundary(UserName="ann", PermissionsBoundary=BOUND)
    iam.create_group(GroupName="crew", Path="/staff/")
    iam.put_group_policy(GroupName="crew", PolicyName="keep", PolicyDocument=DOCUMENT)
    iam.create_role(
        RoleName="deputy", Path="/staff/", AssumeRolePolicyDocument=TRUST, PermissionsBoundary=BOUND, Tags=TAGS
    )
    iam.put_role_policy(RoleName="deputy", PolicyName="keep", PolicyDocument=DOCUMENT)
    iam.create_role(RoleName="holder", AssumeRolePolicyDocument=TRUST)
    iam.attach_role_policy(RoleName="holder", PolicyArn=POLICY)
    iam.create_open_id_connect_provider(Url="https://idp.example.com/id", Tags=TAGS)
