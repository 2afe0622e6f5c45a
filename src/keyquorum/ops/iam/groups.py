# SPDX-License-Identifier: Apache-2.0
"""CreateGroup, GetGroup, UpdateGroup, DeleteGroup, ListGroups, and who is in them: AddUserToGroup, RemoveUserFromGroup,
ListGroupsForUser. Who is in already is added, and who is not is removed, without an error, as AWS does it."""

from typing import Any

from keyquorum import iam_api
from keyquorum.model import Principal
from keyquorum.ops.iam.about import changing, on, on_all, on_new, on_renamed, reading
from keyquorum.ops.iam.principals import create, deleting, listing, renaming
from keyquorum.ops.iam.rules import GROUPS, USERS, check_quota, connected, load, page
from keyquorum.ops.iam.shapes import group, user
from keyquorum.ops.operation import Call, Keys


def _create(call: Call, request: iam_api.CreateGroupRequest, _keys: Keys) -> iam_api.CreateGroupResponse:
    return iam_api.CreateGroupResponse(group=group(create(call, GROUPS, request)))


def _get(call: Call, request: iam_api.GetGroupRequest, _keys: Keys) -> iam_api.GetGroupResponse:
    found = load(call, GROUPS, request)
    with connected(call) as connection:
        members = call.services.store.identities.members(connection, found.account, found.principal_id)
    shown, rest = page(call, f"GetGroup {found.principal_id}", request, members, _name)
    return iam_api.GetGroupResponse(group=group(found), users=[user(member, listed=True) for member in shown], **rest)


def _add(call: Call, request: iam_api.AddUserToGroupRequest, _keys: Keys) -> None:
    joined, member = load(call, GROUPS, request), load(call, USERS, request)
    if joined.principal_id not in member.member_of:
        check_quota(call, "groups_per_user", len(member.member_of) + 1)
        _set(call, member, (*member.member_of, joined.principal_id))


def _remove(call: Call, request: iam_api.RemoveUserFromGroupRequest, _keys: Keys) -> None:
    left, member = load(call, GROUPS, request), load(call, USERS, request)
    _set(call, member, tuple([group_id for group_id in member.member_of if group_id != left.principal_id]))


def _set(call: Call, member: Principal, groups: tuple[str, ...]) -> None:
    call.services.store.identities.update(call.write(), member, member_of=groups)


def _of_user(call: Call, request: Any, _keys: Keys) -> iam_api.ListGroupsForUserResponse:
    member = load(call, USERS, request)
    with connected(call) as connection:
        groups = call.services.store.identities.groups(connection, member)
    shown, rest = page(call, f"ListGroupsForUser {member.principal_id}", request, groups, _name)
    return iam_api.ListGroupsForUserResponse(groups=[group(joined) for joined in shown], **rest)


def _name(principal: Principal) -> str:
    return principal.name


OPERATIONS = (
    changing("CreateGroup", _create, on_new(GROUPS)),
    reading("GetGroup", _get, on(GROUPS)),
    changing("UpdateGroup", renaming(GROUPS), on_renamed(GROUPS)),
    changing("DeleteGroup", deleting(GROUPS), on(GROUPS)),
    reading("ListGroups", listing(GROUPS, group), on_all("group")),
    changing("AddUserToGroup", _add, on(GROUPS)),
    changing("RemoveUserFromGroup", _remove, on(GROUPS)),
    reading("ListGroupsForUser", _of_user, on(USERS)),
)
