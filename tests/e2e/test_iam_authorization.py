# SPDX-License-Identifier: Apache-2.0
"""Who may administer identities: nobody without a policy, with one exactly what it says, and never another account's.
A refusal tells nothing about what there is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from iam_requests import ANN, ARN, BOUND, DOCUMENT, POLICY, PROVIDER, REQUESTS, TAGS, TRUST, allow, populate
from servers import ACCOUNT, Access, Production, code_of, refused

from keyquorum.ops import registry

pytestmark = pytest.mark.slow

NOBODY = Access("AKIANOBODY0000000000", "nobody-secret-0123456789-0123456789-abcde")
ADMIN = Access("AKIAADMIN00000000000", "admin-secret-0123456789-0123456789-abcdef")
OTHER = Access("AKIAOTHER00000000000", "other-secret-0123456789-0123456789-abcdef")

_USER = """
[[user]]
name = "{name}"
account = "{account}"
access_key_id = "{access.key_id}"
secret_access_key = "{access.secret}"
"""
_POLICY = """policy = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:*","Resource":"*"}}'\n"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """Knows Ann, Nobody, who has no policy, and of another account Other, who may do everything there."""
    directory = tmp_path_factory.mktemp("server")
    seed = directory / "seed.toml"
    seed.write_text(
        _USER.format(name="ann", account=ACCOUNT, access=ANN)
        + _USER.format(name="nobody", account=ACCOUNT, access=NOBODY)
        + _USER.format(name="other", account="444455556666", access=OTHER)
        + _POLICY
    )
    server = Production(directory, "--seed", str(seed))
    populate(server.client("iam"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def iam(server: Production) -> Any:
    """The account's root."""
    return server.client("iam")


@pytest.fixture(scope="module")
def nobody(server: Production) -> Any:
    return server.client("iam", NOBODY)


@pytest.fixture(scope="module")
def other(server: Production) -> Any:
    return server.client("iam", OTHER)


def refusal(client: Any, operation: str, arguments: dict[str, Any]) -> str:
    with pytest.raises(ClientError) as caught:
        getattr(client, xform_name(operation))(**arguments)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    return str(caught.value.response["Error"]["Message"])


def test_every_operation_has_a_request_here() -> None:
    assert set(REQUESTS) == set(registry.IAM) - {"SimulatePrincipalPolicy"}


ABSENT = {
    "UserName": "xyz",
    "GroupName": "wxyz",
    "RoleName": "uvwxyz",
    "PolicyArn": POLICY.replace("Reading", "Nothing"),
    "OpenIDConnectProviderArn": PROVIDER.replace("idp", "abc"),
    "AccessKeyId": ANN.key_id.replace("ANN", "XYZ"),
}


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_refusal_is_the_same_whether_or_not_there_is_such_a_thing(nobody: Any, operation: str) -> None:
    """AWS words it like this: rebuy-de/aws-nuke, issue 294; aws/aws-sam-cli, issue 394."""
    arguments = REQUESTS[operation].arguments
    absent = {name: ABSENT.get(name, value) for name, value in arguments.items()}
    there, missing = refusal(nobody, operation, arguments), refusal(nobody, operation, absent)
    assert there.startswith(f"User: {ARN}:user/nobody is not authorized to perform: iam:{operation} on resource: ")
    assert there.endswith(f" because no identity-based policy allows the iam:{operation} action")
    assert "/staff/ann" not in there
    for name, value in ABSENT.items():
        if name in arguments:
            there = there.replace(str(arguments[name]), value)
    assert there == missing


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_policy_for_the_action_and_the_resource_is_enough_and_is_needed(
    server: Production, iam: Any, operation: str
) -> None:
    """In the order of the table, whose requests leave the next ones what they are about."""
    asked = REQUESTS[operation]
    name = f"only-{operation}"[:64]
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    only = server.client("iam", Access(made["AccessKeyId"], made["SecretAccessKey"]))
    for action, resource in ((f"iam:{operation}", f"{asked.resource}x"), (f"iam:{operation}x", asked.resource)):
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=allow(action, resource))
        refusal(only, operation, asked.arguments)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=allow(f"iam:{operation}", asked.resource))
    assert code_of(getattr(only, xform_name(operation)), **asked.arguments) in ("", "NoSuchEntity", "DeleteConflict")


def test_renaming_needs_the_permission_on_both_names(server: Production, iam: Any) -> None:
    iam.create_user(UserName="renamer")
    iam.create_user(UserName="before")
    made = iam.create_access_key(UserName="renamer")["AccessKey"]
    renamer = server.client("iam", Access(made["AccessKeyId"], made["SecretAccessKey"]))
    change = {"UserName": "before", "NewUserName": "after"}
    for resources in ([f"{ARN}:user/before"], [f"{ARN}:user/after"]):
        iam.put_user_policy(UserName="renamer", PolicyName="p", PolicyDocument=allow("iam:UpdateUser", resources))
        refusal(renamer, "UpdateUser", change)
    both = [f"{ARN}:user/before", f"{ARN}:user/after"]
    iam.put_user_policy(UserName="renamer", PolicyName="p", PolicyDocument=allow("iam:UpdateUser", both))
    renamer.update_user(**change)


def test_what_is_another_accounts_is_not_there(other: Any) -> None:
    missing = "NoSuchEntity"
    assert code_of(other.get_user, UserName="nobody") == missing
    assert code_of(other.get_role, RoleName="holder") == missing
    assert code_of(other.get_policy, PolicyArn=BOUND) == missing
    assert code_of(other.get_policy_version, PolicyArn=BOUND, VersionId="v1") == missing
    assert code_of(other.create_policy_version, PolicyArn=BOUND, PolicyDocument=DOCUMENT) == missing
    assert code_of(other.delete_policy, PolicyArn=BOUND) == missing
    assert code_of(other.list_entities_for_policy, PolicyArn=BOUND) == missing
    assert code_of(other.attach_user_policy, UserName="other", PolicyArn=BOUND) == missing
    assert code_of(other.put_user_permissions_boundary, UserName="other", PermissionsBoundary=BOUND) == missing
    assert code_of(other.create_user, UserName="x", PermissionsBoundary=BOUND) == missing
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/idp.example.com/id"
    assert code_of(other.get_open_id_connect_provider, OpenIDConnectProviderArn=provider) == missing
    for call in (other.update_access_key, other.delete_access_key):
        more = {"Status": "Inactive"} if call == other.update_access_key else {}
        assert code_of(call, AccessKeyId=NOBODY.key_id, **more) == missing
    assert code_of(other.get_access_key_last_used, AccessKeyId=NOBODY.key_id) == missing


def test_lists_show_the_callers_account_alone(other: Any) -> None:
    assert [user["UserName"] for user in other.list_users()["Users"]] == ["other"]
    assert other.list_groups()["Groups"] == other.list_roles()["Roles"] == []
    assert other.list_policies(Scope="Local")["Policies"] == []
    assert other.list_open_id_connect_providers()["OpenIDConnectProviderList"] == []


def test_a_delegate_can_do_nothing_beyond_the_boundary(server: Production, iam: Any) -> None:
    """IAM user guide, "Delegating responsibility to others using permissions boundaries": its DelegatedUserBoundary."""
    limit = iam.create_policy(PolicyName="Limit", PolicyDocument=allow("kms:*"))["Policy"]["Arn"]
    wide = iam.create_policy(PolicyName="Wide", PolicyDocument=allow("*"))["Policy"]["Arn"]
    bounded = ["iam:AttachUserPolicy", "iam:CreateUser", "iam:DetachUserPolicy", "iam:PutUserPermissionsBoundary"]
    iam.create_user(UserName="zhang")
    iam.put_user_policy(
        UserName="zhang",
        PolicyName="p",
        PolicyDocument=allow(bounded, Condition={"StringEquals": {"iam:PermissionsBoundary": limit}}),
    )
    made = iam.create_access_key(UserName="zhang")["AccessKey"]
    zhang = server.client("iam", Access(made["AccessKeyId"], made["SecretAccessKey"]))
    refusal(zhang, "CreateUser", {"UserName": "free"})
    refusal(zhang, "CreateUser", {"UserName": "free", "PermissionsBoundary": wide})
    zhang.create_user(UserName="bounded", PermissionsBoundary=limit)
    zhang.attach_user_policy(UserName="bounded", PolicyArn=wide)
    refusal(zhang, "AttachUserPolicy", {"UserName": "nobody", "PolicyArn": wide})
    refusal(zhang, "AttachUserPolicy", {"UserName": "zhang", "PolicyArn": wide})
    refusal(zhang, "PutUserPermissionsBoundary", {"UserName": "bounded", "PermissionsBoundary": wide})
    refusal(zhang, "DeleteUserPermissionsBoundary", {"UserName": "bounded"})
    # "*" is attached to the user, and the boundary leaves KMS of it.
    made = iam.create_access_key(UserName="bounded")["AccessKey"]
    access = Access(made["AccessKeyId"], made["SecretAccessKey"])
    assert code_of(server.client("kms", access).list_keys) == ""
    assert "permissions boundary" in refusal(server.client("iam", access), "ListUsers", {})
    # The boundary holds those whom it bounds as long as it is there, and it is there as long as it holds them.
    with refused("DeleteConflict", "Cannot delete a policy attached to entities.", 409):
        iam.delete_policy(PolicyArn=limit)


def test_only_certain_policies_may_be_attached(server: Production, iam: Any) -> None:
    """IAM user guide, "Controlling access to policies": iam:PolicyARN."""
    iam.create_user(UserName="attacher")
    read_only = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
    condition = {"ArnEquals": {"iam:PolicyARN": read_only}}
    document = allow(["iam:AttachGroupPolicy", "iam:DetachGroupPolicy"], Condition=condition)
    iam.put_user_policy(UserName="attacher", PolicyName="p", PolicyDocument=document)
    iam.create_group(GroupName="readers")
    made = iam.create_access_key(UserName="attacher")["AccessKey"]
    attacher = server.client("iam", Access(made["AccessKeyId"], made["SecretAccessKey"]))
    attacher.attach_group_policy(GroupName="readers", PolicyArn=read_only)
    attacher.detach_group_policy(GroupName="readers", PolicyArn=read_only)
    everything = "arn:aws:iam::aws:policy/AdministratorAccess"
    refusal(attacher, "AttachGroupPolicy", {"GroupName": "readers", "PolicyArn": everything})


def test_tags_of_the_request_and_of_the_entity_decide(server: Production, iam: Any) -> None:
    """IAM user guide, "Controlling access to and for IAM users and roles using tags"."""
    iam.create_user(UserName="tagger")
    own = {"StringEquals": {"iam:ResourceTag/team": "blue", "aws:ResourceTag/TEAM": "blue"}}
    asked = {"StringEquals": {"aws:RequestTag/team": "blue"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    iam.put_user_policy(UserName="tagger", PolicyName="a", PolicyDocument=allow("iam:DeleteRole", Condition=own))
    making = allow(["iam:CreateRole", "iam:TagRole"], f"{ARN}:role/tagged", Condition=asked)
    iam.put_user_policy(UserName="tagger", PolicyName="b", PolicyDocument=making)
    made = iam.create_access_key(UserName="tagger")["AccessKey"]
    tagger = server.client("iam", Access(made["AccessKeyId"], made["SecretAccessKey"]))
    blue, red = ([{"Key": "team", "Value": value}] for value in ("blue", "red"))
    role = {"RoleName": "tagged", "AssumeRolePolicyDocument": TRUST}
    refusal(tagger, "CreateRole", role)
    refusal(tagger, "CreateRole", {**role, "Tags": red})
    refusal(tagger, "CreateRole", {**role, "Tags": [*blue, {"Key": "x", "Value": "y"}]})
    tagger.create_role(**role, Tags=blue)
    iam.tag_role(RoleName="tagged", Tags=red)
    refusal(tagger, "DeleteRole", {"RoleName": "tagged"})
    refusal(tagger, "DeleteRole", {"RoleName": "absent"})
    iam.tag_role(RoleName="tagged", Tags=blue)
    tagger.delete_role(RoleName="tagged")


_MADE: dict[str, dict[str, Any]] = {
    "User": {"UserName": "marked"},
    "Role": {"RoleName": "marked", "AssumeRolePolicyDocument": TRUST},
    "Policy": {"PolicyName": "marked", "PolicyDocument": DOCUMENT},
    "OpenIDConnectProvider": {"Url": "https://marked.example.com"},
}


@pytest.mark.parametrize("kind", _MADE)
def test_who_may_not_tag_gives_no_tags_to_what_it_makes(server: Production, iam: Any, kind: str) -> None:
    """IAM user guide, "IAM: Create new users only with specific tags": both permissions are needed. The words:
    brefphp/bref, pull request 2028."""
    name = f"maker-{kind}"
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    maker = server.client("iam", Access(made["AccessKeyId"], made["SecretAccessKey"]))
    create = f"iam:Create{kind}"
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=allow(create))
    tags = [{"Key": "team", "Value": "admins"}]
    told = refusal(maker, f"Create{kind}", {**_MADE[kind], "Tags": tags})
    assert f"is not authorized to perform: iam:Tag{kind} on resource: " in told
    assert told.endswith(f" because no identity-based policy allows the iam:Tag{kind} action")
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=allow([create, f"iam:Tag{kind}"], f"{ARN}:x/*"))
    refusal(maker, f"Create{kind}", {**_MADE[kind], "Tags": tags})
    blue = allow(f"iam:Tag{kind}", Condition={"StringEquals": {"aws:RequestTag/team": "blue"}})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=allow(create))
    iam.put_user_policy(UserName=name, PolicyName="q", PolicyDocument=blue)
    refusal(maker, f"Create{kind}", {**_MADE[kind], "Tags": tags})
    getattr(maker, xform_name(f"Create{kind}"))(**_MADE[kind], Tags=TAGS)


def test_what_a_group_is_given_or_loses_counts_at_once(server: Production, iam: Any) -> None:
    iam.create_user(UserName="member")
    iam.create_group(GroupName="listers")
    iam.put_group_policy(GroupName="listers", PolicyName="p", PolicyDocument=allow("iam:ListUsers"))
    made = iam.create_access_key(UserName="member")["AccessKey"]
    member = server.client("iam", Access(made["AccessKeyId"], made["SecretAccessKey"]))
    refusal(member, "ListUsers", {})
    iam.add_user_to_group(GroupName="listers", UserName="member")
    member.list_users()
    iam.delete_group_policy(GroupName="listers", PolicyName="p")
    refusal(member, "ListUsers", {})
    arn = iam.create_policy(PolicyName="Listing", PolicyDocument=allow("iam:ListUsers"))["Policy"]["Arn"]
    iam.attach_group_policy(GroupName="listers", PolicyArn=arn)
    member.list_users()
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=DOCUMENT, SetAsDefault=True)
    refusal(member, "ListUsers", {})
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    member.list_users()
    iam.remove_user_from_group(GroupName="listers", UserName="member")
    refusal(member, "ListUsers", {})


def test_a_user_made_again_under_its_name_has_nothing_of_the_old_one(server: Production, iam: Any) -> None:
    first = iam.create_user(UserName="again")["User"]
    made = iam.create_access_key(UserName="again")["AccessKey"]
    access = Access(made["AccessKeyId"], made["SecretAccessKey"])
    assert server.client("sts", access).get_caller_identity()["UserId"] == first["UserId"]
    iam.delete_access_key(UserName="again", AccessKeyId=access.key_id)
    iam.delete_user(UserName="again")
    second = iam.create_user(UserName="again")["User"]
    assert second["UserId"] != first["UserId"]
    assert code_of(server.client("sts", access).get_caller_identity) == "InvalidClientTokenId"
    assert iam.list_access_keys(UserName="again")["AccessKeyMetadata"] == []


def test_a_key_that_is_switched_off_stops_in_every_worker(tmp_path: Path) -> None:
    server = Production(tmp_path, "--workers", "2")
    try:
        iam = server.client("iam")
        iam.create_user(UserName="worker")
        made = iam.create_access_key(UserName="worker")["AccessKey"]
        access = Access(made["AccessKeyId"], made["SecretAccessKey"])
        for _ in range(3):
            # A client of its own for each request: the connections spread over the workers.
            for _ in range(8):
                assert code_of(server.client("sts", access).get_caller_identity) == ""
            iam.update_access_key(UserName="worker", AccessKeyId=access.key_id, Status="Inactive")
            for _ in range(8):
                assert code_of(server.client("sts", access).get_caller_identity) == "InvalidClientTokenId"
            iam.update_access_key(UserName="worker", AccessKeyId=access.key_id, Status="Active")
    finally:
        server.stop()
