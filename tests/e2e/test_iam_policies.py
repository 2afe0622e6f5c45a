# SPDX-License-Identifier: Apache-2.0
"""Inline policies, managed policies with their versions, attachments and boundaries, with boto3's iam client."""

import json
from typing import Any

import pytest
from botocore import xform_name
from iam_requests import ARN, DOCUMENT, TRUST, allow
from servers import Production, code_of, refused

pytestmark = pytest.mark.slow

AWS = "arn:aws:iam::aws:policy/"
OTHER_DOCUMENT = allow("kms:ListAliases")
KINDS = ["User", "Group", "Role"]


@pytest.fixture(scope="module")
def iam(server: Production) -> Any:
    return server.client("iam")


class Holder:
    """A user, group or role, and the operations on it."""

    def __init__(self, iam: Any, kind: str, name: str, **more: Any) -> None:
        self._iam, self.kind, self.name = iam, kind, name
        if kind == "Role":
            more["AssumeRolePolicyDocument"] = TRUST
        self("Create{}", **more)

    def __call__(self, operation: str, **arguments: Any) -> Any:
        call = getattr(self._iam, xform_name(operation.format(self.kind)))
        return call(**{f"{self.kind}Name": self.name}, **arguments)

    def code(self, operation: str, **arguments: Any) -> str:
        return code_of(lambda: self(operation, **arguments))


def policy(iam: Any, name: str, document: str = DOCUMENT, **more: Any) -> str:
    return str(iam.create_policy(PolicyName=name, PolicyDocument=document, **more)["Policy"]["Arn"])


# -- inline


@pytest.mark.parametrize("kind", KINDS)
def test_an_inline_policy_from_put_to_deletion(iam: Any, kind: str) -> None:
    holder = Holder(iam, kind, f"inline-{kind}")
    name = {"PolicyName": "mine"}
    missing = f"The {kind.lower()} policy with name mine cannot be found."
    for operation in ("Get{}Policy", "Delete{}Policy"):
        with refused("NoSuchEntity", missing, 404):
            holder(operation, **name)
    holder("Put{}Policy", **name, PolicyDocument=DOCUMENT)
    holder("Put{}Policy", **name, PolicyDocument=OTHER_DOCUMENT)
    found = holder("Get{}Policy", **name)
    assert found["PolicyDocument"] == json.loads(OTHER_DOCUMENT)
    assert (found["PolicyName"], found[f"{kind}Name"]) == ("mine", holder.name)
    holder("Put{}Policy", PolicyName="another", PolicyDocument=DOCUMENT)
    first = holder("List{}Policies", MaxItems=1)
    assert (first["PolicyNames"], first["IsTruncated"]) == (["another"], True)
    assert holder("List{}Policies", Marker=first["Marker"])["PolicyNames"] == ["mine"]
    holder("Delete{}Policy", **name)
    assert holder("List{}Policies")["PolicyNames"] == ["another"]


@pytest.mark.parametrize(("kind", "limit"), [("User", 2048), ("Group", 5120), ("Role", 10240)])
def test_inline_policies_have_a_size_together_without_white_space(iam: Any, kind: str, limit: int) -> None:
    holder = Holder(iam, kind, f"large-{kind}")
    head = allow("kms:ListKeys", "*", Sid="")
    room = limit - len(DOCUMENT.replace(" ", "")) - len(head.replace(" ", ""))
    fitting, larger = (allow("kms:ListKeys", "*", Sid="x" * (room + more)) for more in (0, 1))
    holder("Put{}Policy", PolicyName="first", PolicyDocument=DOCUMENT.replace(",", ",   \n"))
    with refused(
        "LimitExceeded", f"Maximum policy size of {limit} bytes exceeded for {kind.lower()} {holder.name}", 409
    ):
        holder("Put{}Policy", PolicyName="second", PolicyDocument=larger)
    holder("Put{}Policy", PolicyName="second", PolicyDocument=fitting)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "Syntax errors in policy."),
        ('{"Version":"2012-10-17"}', "Syntax errors in policy."),
        (
            '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*"}}',
            "Policy statement must contain resources.",
        ),
        (
            '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms","Resource":"*"}}',
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
    ],
)
def test_a_malformed_document_is_refused_wherever_it_is_put(iam: Any, document: str, message: str) -> None:
    """Measured on AWS: ministackorg/ministack, pull request 1738."""
    name = f"malformed-{abs(hash(document))}"
    holders = [Holder(iam, kind, name) for kind in KINDS]
    arn = policy(iam, name)
    for holder in holders:
        with refused("MalformedPolicyDocument", message):
            holder("Put{}Policy", PolicyName="p", PolicyDocument=document)
    with refused("MalformedPolicyDocument", message):
        iam.create_policy(PolicyName="bad", PolicyDocument=document)
    with refused("MalformedPolicyDocument", message):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=document)
    # Of a holder that is not there, that is what is said.
    with refused("NoSuchEntity", "The user with name ghost cannot be found.", 404):
        iam.put_user_policy(UserName="ghost", PolicyName="p", PolicyDocument=document)


# -- managed


def test_a_managed_policy_from_creation_to_deletion(iam: Any) -> None:
    made = iam.create_policy(
        PolicyName="Managed", Path="/a/b/", PolicyDocument=DOCUMENT, Description="d", Tags=[{"Key": "k", "Value": "v"}]
    )["Policy"]
    arn = made["Arn"]
    assert (arn, made["PolicyId"][:4], made["DefaultVersionId"]) == (f"{ARN}:policy/a/b/Managed", "ANPA", "v1")
    assert (made["AttachmentCount"], made["PermissionsBoundaryUsageCount"], made["IsAttachable"]) == (0, 0, True)
    assert iam.get_policy(PolicyArn=arn)["Policy"] == made
    with refused(
        "EntityAlreadyExists", "A policy called MANAGED already exists. Duplicate names are not allowed.", 409
    ):
        iam.create_policy(PolicyName="MANAGED", PolicyDocument=DOCUMENT)
    user, group = Holder(iam, "User", "managed-user", PermissionsBoundary=arn), Holder(iam, "Group", "managed-group")
    group("Attach{}Policy", PolicyArn=arn)
    user("Attach{}Policy", PolicyArn=arn)
    user("Attach{}Policy", PolicyArn=arn)
    found = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (found["AttachmentCount"], found["PermissionsBoundaryUsageCount"]) == (2, 1)
    conflict = ("DeleteConflict", "Cannot delete a policy attached to entities.", 409)
    with refused(*conflict):
        iam.delete_policy(PolicyArn=arn)
    user("Detach{}Policy", PolicyArn=arn)
    group("Detach{}Policy", PolicyArn=arn)
    with refused("NoSuchEntity", f"Policy {arn} was not found.", 404):
        group("Detach{}Policy", PolicyArn=arn)
    with refused(*conflict):
        iam.delete_policy(PolicyArn=arn)
    user("Delete{}PermissionsBoundary")
    iam.delete_policy(PolicyArn=arn)
    for call in (iam.get_policy, iam.delete_policy, iam.list_policy_tags, iam.list_entities_for_policy):
        with refused("NoSuchEntity", f"Policy {arn} was not found.", 404):
            call(PolicyArn=arn)


def test_versions_of_a_policy(iam: Any) -> None:
    arn = policy(iam, "Versions")
    v2 = iam.create_policy_version(PolicyArn=arn, PolicyDocument=OTHER_DOCUMENT)["PolicyVersion"]
    assert (v2["VersionId"], v2["IsDefaultVersion"]) == ("v2", False)
    v3 = iam.create_policy_version(PolicyArn=arn, PolicyDocument=OTHER_DOCUMENT, SetAsDefault=True)["PolicyVersion"]
    assert (v3["VersionId"], v3["IsDefaultVersion"]) == ("v3", True)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v3"
    found = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert (found["Document"], found["IsDefaultVersion"]) == (json.loads(DOCUMENT), False)
    with refused("DeleteConflict", "Cannot delete the default version of a policy.", 409):
        iam.delete_policy_version(PolicyArn=arn, VersionId="v3")
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy_version(PolicyArn=arn, VersionId="v3")
    missing = ("NoSuchEntity", f"Policy {arn} version v3 does not exist or is not attachable.", 404)
    for call in (iam.get_policy_version, iam.delete_policy_version, iam.set_default_policy_version):
        with refused(*missing):
            call(PolicyArn=arn, VersionId="v3")
    for number in (4, 5, 6):  # the number of one that is gone is not used again
        made = iam.create_policy_version(PolicyArn=arn, PolicyDocument=DOCUMENT)["PolicyVersion"]
        assert made["VersionId"] == f"v{number}"
    with refused(
        "LimitExceeded",
        "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing "
        "version.",
        409,
    ):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=DOCUMENT)
    pages = iam.get_paginator("list_policy_versions").paginate(PolicyArn=arn, PaginationConfig={"PageSize": 2})
    listed = [version["VersionId"] for page in pages for version in page["Versions"]]
    assert listed == ["v6", "v5", "v4", "v2", "v1"]
    with refused(
        "DeleteConflict",
        "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The "
        "default version is deleted with the policy.",
        409,
    ):
        iam.delete_policy(PolicyArn=arn)


def test_a_managed_policy_has_a_size_without_white_space(iam: Any) -> None:
    room = 6144 - len(allow("kms:ListKeys", "*", Sid="").replace(" ", ""))
    fitting, larger = (allow("kms:ListKeys", "*", Sid="x" * (room + more)) for more in (0, 1))
    arn = policy(iam, "Large", fitting)
    for call in (
        lambda: policy(iam, "Larger", larger),
        lambda: iam.create_policy_version(PolicyArn=arn, PolicyDocument=larger),
    ):
        with refused("LimitExceeded", "Cannot exceed quota for PolicySize: 6144", 409):
            call()


def test_tags_of_a_policy_differ_by_case(iam: Any) -> None:
    """IAM user guide, "Tagging IAM resources", on everything but users and roles."""
    arn = policy(iam, "Tagged", Tags=[{"Key": "Costcenter", "Value": "1234"}])
    iam.tag_policy(PolicyArn=arn, Tags=[{"Key": "costcenter", "Value": "5678"}])
    assert [tag["Key"] for tag in iam.list_policy_tags(PolicyArn=arn)["Tags"]] == ["Costcenter", "costcenter"]
    iam.untag_policy(PolicyArn=arn, TagKeys=["Costcenter"])
    assert iam.get_policy(PolicyArn=arn)["Policy"]["Tags"] == [{"Key": "costcenter", "Value": "5678"}]


def test_policies_of_aws_are_there_and_nobodys_to_change(iam: Any) -> None:
    arn = f"{AWS}IAMReadOnlyAccess"
    assert iam.get_policy(PolicyArn=arn)["Policy"]["PolicyName"] == "IAMReadOnlyAccess"
    document = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]
    assert document["Statement"][0]["Action"] == ["iam:Get*", "iam:List*", "iam:Simulate*"]
    for call, arguments in (
        (iam.delete_policy, {}),
        (iam.create_policy_version, {"PolicyDocument": DOCUMENT}),
        (iam.delete_policy_version, {"VersionId": "v1"}),
        (iam.set_default_policy_version, {"VersionId": "v1"}),
        (iam.tag_policy, {"Tags": [{"Key": "a", "Value": "b"}]}),
        (iam.untag_policy, {"TagKeys": ["a"]}),
    ):
        assert code_of(call, PolicyArn=arn, **arguments) == "AccessDenied"


def test_lists_of_policies(iam: Any) -> None:
    arns = [policy(iam, f"Listed{i}", Path="/listed/") for i in range(3)]
    user = Holder(iam, "User", "listed-user", PermissionsBoundary=arns[1])
    user("Attach{}Policy", PolicyArn=arns[0])
    user("Attach{}Policy", PolicyArn=f"{AWS}IAMFullAccess")

    def listed(**arguments: Any) -> list[str]:
        pages = iam.get_paginator("list_policies").paginate(**arguments, PaginationConfig={"PageSize": 2})
        return [found["Arn"] for page in pages for found in page["Policies"]]

    under = {"PathPrefix": "/listed/"}
    assert listed(**under) == listed(Scope="Local", **under) == arns
    assert listed(Scope="AWS", **under) == []
    assert listed(OnlyAttached=True, **under) == arns[:2]
    assert listed(PolicyUsageFilter="PermissionsPolicy", **under) == arns[:1]
    assert listed(PolicyUsageFilter="PermissionsBoundary", **under) == arns[1:2]
    everything = listed()
    assert set(arns) < set(everything)
    assert f"{AWS}AdministratorAccess" in everything
    assert len(everything) == len(set(everything))
    assert f"{AWS}IAMFullAccess" in listed(Scope="AWS", OnlyAttached=True)
    assert f"{AWS}AWSKeyManagementServicePowerUser" not in listed(Scope="AWS", OnlyAttached=True)
    found = iam.list_policies(Scope="Local", **under)["Policies"]
    assert [(p["AttachmentCount"], p["PermissionsBoundaryUsageCount"]) for p in found] == [(1, 0), (0, 1), (0, 0)]
    assert not any("Tags" in p or "Description" in p for p in found)


def test_who_has_a_policy(iam: Any) -> None:
    arn = policy(iam, "Had")
    for kind in KINDS:
        Holder(iam, kind, f"has-{kind}", Path="/has/")("Attach{}Policy", PolicyArn=arn)
    Holder(iam, "Role", "bounded-role", PermissionsBoundary=arn)

    def entities(**arguments: Any) -> list[str]:
        found = iam.list_entities_for_policy(PolicyArn=arn, **arguments)
        return [one[f"{kind}Name"] for kind in KINDS for one in found[f"Policy{kind}s"]]

    everybody = ["has-User", "has-Group", "bounded-role", "has-Role"]
    assert entities() == everybody
    assert entities(EntityFilter="Role") == ["bounded-role", "has-Role"]
    assert entities(PolicyUsageFilter="PermissionsBoundary") == ["bounded-role"]
    assert entities(PathPrefix="/has/") == ["has-User", "has-Group", "has-Role"]
    pages = iam.get_paginator("list_entities_for_policy").paginate(PolicyArn=arn, PaginationConfig={"PageSize": 1})
    assert sorted(one[f"{k}Name"] for page in pages for k in KINDS for one in page[f"Policy{k}s"]) == sorted(everybody)


# -- attached


@pytest.mark.parametrize("kind", KINDS)
def test_attached_policies_are_listed_by_path_and_page(iam: Any, kind: str) -> None:
    holder = Holder(iam, kind, f"attached-{kind}")
    # One of AWS and one of the account may have the same name.
    own = [policy(iam, f"Att{kind}{i}", Path="/x/" if i else "/") for i in range(2)]
    for arn in (*own, f"{AWS}AdministratorAccess"):
        holder("Attach{}Policy", PolicyArn=arn)
    listed = holder("ListAttached{}Policies")["AttachedPolicies"]
    assert [p["PolicyArn"] for p in listed] == [f"{AWS}AdministratorAccess", *own]
    assert holder("ListAttached{}Policies", PathPrefix="/x/")["AttachedPolicies"] == [
        {"PolicyName": f"Att{kind}1", "PolicyArn": own[1]}
    ]
    first = holder("ListAttached{}Policies", MaxItems=2)
    rest = holder("ListAttached{}Policies", MaxItems=2, Marker=first["Marker"])
    assert [*first["AttachedPolicies"], *rest["AttachedPolicies"]] == listed
    for i in range(7):
        holder("Attach{}Policy", PolicyArn=policy(iam, f"More{kind}{i}"))
    with refused("LimitExceeded", f"Cannot exceed quota for PoliciesPer{kind}: 10", 409):
        holder("Attach{}Policy", PolicyArn=f"{AWS}IAMFullAccess")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_policy_is_not_attached(iam: Any, kind: str) -> None:
    """Recorded from AWS: LocalStack's snapshots of test_role_attach_policy."""
    holder = Holder(iam, kind, f"unattached-{kind}")
    absent = f"{ARN}:policy/absent"
    with refused("NoSuchEntity", f"Policy {absent} does not exist or is not attachable.", 404):
        holder("Attach{}Policy", PolicyArn=absent)
    for malformed in ("policy-name-of-20-characters", f"{ARN}:user/somebody-else", f"{ARN}:policy/"):
        with refused("ValidationError", "Invalid ARN:  Could not be parsed!"):
            holder("Attach{}Policy", PolicyArn=malformed)


@pytest.mark.parametrize("kind", ["User", "Role"])
def test_a_boundary_from_put_to_deletion(iam: Any, kind: str) -> None:
    first, second = (policy(iam, f"Boundary{kind}{i}") for i in range(2))
    holder = Holder(iam, kind, f"limited-{kind}", PermissionsBoundary=first)

    def boundary() -> Any:
        return holder("Get{}")[kind].get("PermissionsBoundary")

    assert boundary() == {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": first}
    holder("Put{}PermissionsBoundary", PermissionsBoundary=second)
    assert boundary()["PermissionsBoundaryArn"] == second
    absent = f"{ARN}:policy/absent"
    with refused("NoSuchEntity", f"Scope ARN: {absent} does not exist or is not attachable.", 404):
        holder("Put{}PermissionsBoundary", PermissionsBoundary=absent)
    holder("Delete{}PermissionsBoundary")
    assert boundary() is None
    assert holder.code("Delete{}PermissionsBoundary") == ""
    listed = iam.list_users()["Users"] if kind == "User" else iam.list_roles()["Roles"]
    assert not any("PermissionsBoundary" in one for one in listed)
