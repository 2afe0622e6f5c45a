# SPDX-License-Identifier: Apache-2.0
"""Users, groups and roles with boto3's iam client: their lives, their refusals, their lists, their tags."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from iam_requests import ARN, DOCUMENT, TAGS, TRUST, trust
from servers import Production, code_of, refused

pytestmark = pytest.mark.slow

ANYBODY = "arn:aws:iam::aws:policy/AdministratorAccess"


@pytest.fixture(scope="module")
def iam(server: Production) -> Any:
    return server.client("iam")


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


# -- users


def test_a_user_from_creation_to_deletion(iam: Any) -> None:
    made = iam.create_user(UserName="Ulla", Path="/team/a/", Tags=TAGS)["User"]
    assert (made["UserName"], made["Path"], made["Arn"]) == ("Ulla", "/team/a/", f"{ARN}:user/team/a/Ulla")
    assert made["UserId"].startswith("AIDA")
    assert made["Tags"] == TAGS
    assert iam.get_user(UserName="Ulla")["User"] == made
    iam.update_user(UserName="Ulla", NewUserName="Ursula", NewPath="/team/b/")
    with refused("NoSuchEntity", "The user with name Ulla cannot be found.", 404):
        iam.get_user(UserName="Ulla")
    renamed = iam.get_user(UserName="Ursula")["User"]
    assert renamed == {**made, "UserName": "Ursula", "Path": "/team/b/", "Arn": f"{ARN}:user/team/b/Ursula"}
    listed = iam.list_users(PathPrefix="/team/b")["Users"]
    assert listed == [{name: value for name, value in renamed.items() if name != "Tags"}]
    assert iam.list_users(PathPrefix="/team/a/")["Users"] == []
    iam.delete_user(UserName="Ursula")
    with refused("NoSuchEntity", "The user with name Ursula cannot be found.", 404):
        iam.delete_user(UserName="Ursula")


def test_the_root_gets_itself(iam: Any) -> None:
    root = iam.get_user()["User"]
    assert (root["Arn"], root["UserId"]) == (f"{ARN}:root", "111122223333")
    assert "UserName" not in root


def test_a_user_keeps_its_id_and_its_keys_when_it_is_renamed(server: Production, iam: Any) -> None:
    made = iam.create_user(UserName="caterpillar")["User"]
    key = iam.create_access_key(UserName="caterpillar")["AccessKey"]
    iam.update_user(UserName="caterpillar", NewUserName="butterfly")
    client = server.client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    identity = without_metadata(client.get_caller_identity())
    assert identity == {"Account": "111122223333", "Arn": f"{ARN}:user/butterfly", "UserId": made["UserId"]}


def test_changing_the_case_of_a_name_is_a_change(iam: Any) -> None:
    iam.create_user(UserName="camel")
    iam.update_user(UserName="camel", NewUserName="Camel")
    assert iam.get_user(UserName="Camel")["User"]["UserName"] == "Camel"


@pytest.mark.parametrize(
    ("create", "update", "title"),
    [
        (lambda iam, name: iam.create_user(UserName=name), "update_user", "User"),
        (lambda iam, name: iam.create_group(GroupName=name), "update_group", "Group"),
        (lambda iam, name: iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST), None, "Role"),
    ],
    ids=["user", "group", "role"],
)
def test_names_are_taken_however_they_are_capitalised(
    iam: Any, create: Callable[[Any, str], Any], update: str | None, title: str
) -> None:
    create(iam, f"Taken{title}")
    with refused("EntityAlreadyExists", f"{title} with name TAKEN{title} already exists.", 409):
        create(iam, f"TAKEN{title}")
    if update is not None:
        create(iam, f"Free{title}")
        names = {f"{title}Name": f"Free{title}", f"New{title}Name": f"taken{title.lower()}"}
        with refused("EntityAlreadyExists", f"{title} with name taken{title.lower()} already exists.", 409):
            getattr(iam, update)(**names)


def test_a_user_with_anything_of_its_own_is_not_deleted(iam: Any) -> None:
    iam.create_user(UserName="owner")
    iam.create_group(GroupName="owners")

    def conflict(words: str) -> None:
        with refused("DeleteConflict", f"Cannot delete entity, must {words} first.", 409):
            iam.delete_user(UserName="owner")

    key = iam.create_access_key(UserName="owner")["AccessKey"]["AccessKeyId"]
    conflict("delete access keys")
    iam.put_user_policy(UserName="owner", PolicyName="p", PolicyDocument=DOCUMENT)
    conflict("delete policies")
    iam.attach_user_policy(UserName="owner", PolicyArn=ANYBODY)
    conflict("detach all policies")
    iam.add_user_to_group(GroupName="owners", UserName="owner")
    conflict("remove users from group")
    iam.remove_user_from_group(GroupName="owners", UserName="owner")
    iam.detach_user_policy(UserName="owner", PolicyArn=ANYBODY)
    iam.delete_user_policy(UserName="owner", PolicyName="p")
    iam.delete_access_key(UserName="owner", AccessKeyId=key)
    iam.delete_user(UserName="owner")


# -- groups


def test_a_group_from_creation_to_deletion(iam: Any) -> None:
    made = iam.create_group(GroupName="singers", Path="/choir/")["Group"]
    assert made["Arn"] == f"{ARN}:group/choir/singers"
    assert made["GroupId"].startswith("AGPA")
    for name in ("soprano", "alto"):
        iam.create_user(UserName=name)
        iam.add_user_to_group(GroupName="singers", UserName=name)
    iam.add_user_to_group(GroupName="singers", UserName="alto")
    found = iam.get_group(GroupName="singers")
    assert found["Group"] == made
    assert [user["UserName"] for user in found["Users"]] == ["alto", "soprano"]
    assert iam.list_groups_for_user(UserName="alto")["Groups"] == [made]
    assert iam.list_groups(PathPrefix="/choir/")["Groups"] == [made]
    with refused("DeleteConflict", "Cannot delete entity, must remove users from group first.", 409):
        iam.delete_group(GroupName="singers")
    iam.update_group(GroupName="singers", NewGroupName="Singers", NewPath="/")
    assert iam.list_groups_for_user(UserName="alto")["Groups"][0]["Arn"] == f"{ARN}:group/Singers"
    for name in ("soprano", "alto", "alto"):  # who is not in it is removed as well
        iam.remove_user_from_group(GroupName="Singers", UserName=name)
    iam.put_group_policy(GroupName="Singers", PolicyName="p", PolicyDocument=DOCUMENT)
    with refused("DeleteConflict", "Cannot delete entity, must delete policies first.", 409):
        iam.delete_group(GroupName="Singers")
    iam.delete_group_policy(GroupName="Singers", PolicyName="p")
    iam.delete_group(GroupName="Singers")
    with refused("NoSuchEntity", "The group with name Singers cannot be found.", 404):
        iam.get_group(GroupName="Singers")


def test_membership_names_those_that_are_there(iam: Any) -> None:
    iam.create_group(GroupName="empty")
    for call in (iam.add_user_to_group, iam.remove_user_from_group):
        with refused("NoSuchEntity", "The user with name ghost cannot be found.", 404):
            call(GroupName="empty", UserName="ghost")
        with refused("NoSuchEntity", "The group with name ghosts cannot be found.", 404):
            call(GroupName="ghosts", UserName="ghost")


# -- roles


def test_a_role_from_creation_to_deletion(iam: Any) -> None:
    made = iam.create_role(
        RoleName="pilot", Path="/crew/", AssumeRolePolicyDocument=TRUST, Description="flies", MaxSessionDuration=7200
    )["Role"]
    assert made["Arn"] == f"{ARN}:role/crew/pilot"
    assert made["RoleId"].startswith("AROA")
    assert made["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert "MaxSessionDuration" not in made
    found = iam.get_role(RoleName="pilot")["Role"]
    assert found == {**made, "MaxSessionDuration": 7200, "RoleLastUsed": {}}
    iam.tag_role(RoleName="pilot", Tags=TAGS)
    assert iam.get_role(RoleName="pilot")["Role"]["Tags"] == TAGS
    assert iam.list_roles(PathPrefix="/crew/")["Roles"] == [{**made, "MaxSessionDuration": 7200}]
    # "If you do not specify a value for this setting, the default value of one hour is applied" (UpdateRole).
    iam.update_role(RoleName="pilot", Description="lands")
    found = iam.get_role(RoleName="pilot")["Role"]
    assert (found["Description"], found["MaxSessionDuration"]) == ("lands", 3600)
    iam.update_role(RoleName="pilot", MaxSessionDuration=43200)
    assert iam.update_role_description(RoleName="pilot", Description="rests")["Role"]["Description"] == "rests"
    found = iam.get_role(RoleName="pilot")["Role"]
    assert (found["Description"], found["MaxSessionDuration"]) == ("rests", 43200)
    changed = trust({"AWS": found["Arn"]})
    iam.update_assume_role_policy(RoleName="pilot", PolicyDocument=changed)
    assert iam.get_role(RoleName="pilot")["Role"]["AssumeRolePolicyDocument"] == json.loads(changed)
    assert iam.list_instance_profiles_for_role(RoleName="pilot")["InstanceProfiles"] == []
    iam.attach_role_policy(RoleName="pilot", PolicyArn=ANYBODY)
    with refused("DeleteConflict", "Cannot delete entity, must detach all policies first.", 409):
        iam.delete_role(RoleName="pilot")
    iam.detach_role_policy(RoleName="pilot", PolicyArn=ANYBODY)
    iam.delete_role(RoleName="pilot")
    for call in (iam.get_role, iam.delete_role, iam.list_instance_profiles_for_role):
        with refused("NoSuchEntity", "The role with name pilot cannot be found.", 404):
            call(RoleName="pilot")


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": f"{ARN}:user/ghost"},
        {"AWS": f"{ARN}:role/ghost"},
        {"AWS": "999999999999"},
        {"Federated": f"{ARN}:oidc-provider/ghost.example.com"},
        {"Federated": "arn:aws:iam::444455556666:oidc-provider/known.example.com"},
        {"Federated": "accounts.google.com"},
    ],
    ids=str,
)
def test_a_trust_policy_names_principals_that_are_there(iam: Any, principal: Any) -> None:
    iam.create_role(RoleName="trusting", AssumeRolePolicyDocument=TRUST)
    code_of(iam.create_open_id_connect_provider, Url="https://known.example.com")
    try:
        for call, arguments in (
            (iam.create_role, {"RoleName": "gullible", "AssumeRolePolicyDocument": trust(principal)}),
            (iam.update_assume_role_policy, {"RoleName": "trusting", "PolicyDocument": trust(principal)}),
        ):
            assert code_of(call, **arguments) == "MalformedPolicyDocument"
        known = {"Federated": f"{ARN}:oidc-provider/known.example.com"}
        document = trust(known, "sts:AssumeRoleWithWebIdentity")
        iam.update_assume_role_policy(RoleName="trusting", PolicyDocument=document)
    finally:
        iam.delete_role(RoleName="trusting")


def test_a_role_with_a_trust_policy_that_is_none_is_not_made(iam: Any) -> None:
    role = {"RoleName": "broken"}
    assert code_of(iam.create_role, **role, AssumeRolePolicyDocument="{") == "MalformedPolicyDocument"
    assert code_of(iam.create_role, **role, AssumeRolePolicyDocument=DOCUMENT) == "MalformedPolicyDocument"
    long = trust({"AWS": "111122223333"}, ["sts:AssumeRole"] * 200)  # type: ignore[arg-type]  # a list is as good
    with refused("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048", 409):
        iam.create_role(**role, AssumeRolePolicyDocument=long)
    assert code_of(iam.get_role, **role) == "NoSuchEntity"


# -- tags


@pytest.mark.parametrize("kind", ["user", "role"])
def test_tags_are_added_replaced_and_taken_away_without_regard_to_case(iam: Any, kind: str) -> None:
    """IAM user guide, "Tagging IAM resources", on the tags of users and roles."""
    name = {f"{kind.title()}Name": f"tagged-{kind}"}
    create = {"user": iam.create_user, "role": iam.create_role}[kind]
    create(**name, **({"AssumeRolePolicyDocument": TRUST} if kind == "role" else {}))
    tag, untag, listing = (getattr(iam, n) for n in (f"tag_{kind}", f"untag_{kind}", f"list_{kind}_tags"))
    tag(**name, Tags=[{"Key": "Department", "Value": "finance"}, {"Key": "empty", "Value": ""}])
    tag(**name, Tags=[{"Key": "department", "Value": "hr"}])
    assert listing(**name)["Tags"] == [{"Key": "department", "Value": "hr"}, {"Key": "empty", "Value": ""}]
    first = listing(**name, MaxItems=1)
    assert first["IsTruncated"]
    second = listing(**name, MaxItems=1, Marker=first["Marker"])
    assert ([tag["Key"] for tag in second["Tags"]], second["IsTruncated"]) == (["empty"], False)
    untag(**name, TagKeys=["DEPARTMENT", "absent"])
    assert [one["Key"] for one in listing(**name)["Tags"]] == ["empty"]
    twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]
    with refused("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive."):
        tag(**name, Tags=twice)
    for reserved in ({"Key": "AWS:x", "Value": "1"}, {"Key": "x", "Value": "aws:1"}):
        assert code_of(tag, **name, Tags=[reserved]) == "InvalidInput"
    tag(**name, Tags=[{"Key": f"k{i}", "Value": "v"} for i in range(49)])
    assert code_of(tag, **name, Tags=[{"Key": "k49", "Value": "v"}]) == "LimitExceeded"
    assert len(listing(**name)["Tags"]) == 50


# -- lists


def test_more_users_than_a_page_holds(iam: Any) -> None:
    names = [f"p{i:03}" for i in range(120)]
    for name in names:
        iam.create_user(UserName=name, Path="/pages/")
    first = iam.list_users(PathPrefix="/pages/")
    assert (len(first["Users"]), first["IsTruncated"]) == (100, True)
    for size in (7, 100, 1000):
        pages = iam.get_paginator("list_users").paginate(PathPrefix="/pages/", PaginationConfig={"PageSize": size})
        assert [user["UserName"] for page in pages for user in page["Users"]] == names
    # A marker leads on in its own list only.
    assert code_of(iam.list_users, Marker=first["Marker"]) == "ValidationError"
    assert code_of(iam.list_roles, PathPrefix="/pages/", Marker=first["Marker"]) == "ValidationError"
    assert code_of(iam.list_users, PathPrefix="/pages/", Marker="garbage") == "ValidationError"


def test_a_group_of_many(iam: Any) -> None:
    iam.create_group(GroupName="crowd")
    for i in range(5):
        iam.create_user(UserName=f"crowd{i}")
        iam.add_user_to_group(GroupName="crowd", UserName=f"crowd{i}")
    pages = iam.get_paginator("get_group").paginate(GroupName="crowd", PaginationConfig={"PageSize": 2})
    assert [u["UserName"] for page in pages for u in page["Users"]] == [f"crowd{i}" for i in range(5)]


def test_a_user_is_in_ten_groups_at_most(iam: Any) -> None:
    iam.create_user(UserName="joiner")
    for i in range(11):
        iam.create_group(GroupName=f"club{i}")
    for i in range(10):
        iam.add_user_to_group(GroupName=f"club{i}", UserName="joiner")
    with refused("LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10", 409):
        iam.add_user_to_group(GroupName="club10", UserName="joiner")
    iam.add_user_to_group(GroupName="club0", UserName="joiner")


@pytest.mark.parametrize(
    ("call", "arguments", "message"),
    [
        (
            "create_user",
            {"UserName": "a b"},
            "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the "
            "following: +=,.@_-",
        ),
        (
            "create_group",
            {"GroupName": "g", "Path": "/no-end"},
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric "
            "characters and/or / characters.",
        ),
    ],
)
def test_names_and_paths_have_a_form(iam: Any, call: str, arguments: dict[str, str], message: str) -> None:
    with refused("ValidationError", message):
        getattr(iam, call)(**arguments)
