# SPDX-License-Identifier: Apache-2.0
"""CreateUser, GetUser, UpdateUser, DeleteUser, ListUsers."""

from functools import partial

from keyquorum import iam_api
from keyquorum.ops.iam.about import NEW_BOUNDARY, changing, making, on, on_all, on_caller, on_new, on_renamed, reading
from keyquorum.ops.iam.principals import create, deleting, listing, renaming
from keyquorum.ops.iam.rules import USERS, named_or_caller
from keyquorum.ops.iam.shapes import user
from keyquorum.ops.operation import Call, Keys


def _create(call: Call, request: iam_api.CreateUserRequest, _keys: Keys) -> iam_api.CreateUserResponse:
    return iam_api.CreateUserResponse(user=user(create(call, USERS, request)))


def _get(call: Call, request: iam_api.GetUserRequest, _keys: Keys) -> iam_api.GetUserResponse:
    found = named_or_caller(call, request.user_name, sessions=True)
    if found is None:
        raise USERS.no_such(str(request.user_name))
    return iam_api.GetUserResponse(user=user(found))


OPERATIONS = (
    making("CreateUser", _create, on_new(USERS, NEW_BOUNDARY)),
    reading("GetUser", _get, on_caller(sessions=True)),
    changing("UpdateUser", renaming(USERS), on_renamed(USERS)),
    changing("DeleteUser", deleting(USERS), on(USERS)),
    reading("ListUsers", listing(USERS, partial(user, listed=True)), on_all("user")),
)
