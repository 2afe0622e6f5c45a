# SPDX-License-Identifier: Apache-2.0
"""LookupEvents, CountEvents, CountKeys, GetStatus and ExplainAccess over the wire: what they tell, and whom they tell
nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from own_calls import Answered
from own_calls import own as send
from roles import ALICE, BOB, allow, new_role, new_user, trusting
from servers import ACCOUNT, Access, Production, Program, code_of, run

OTHER = "444455556666"
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"
IAM = f"arn:aws:iam::{ACCOUNT}"
READER = {"Sid": "Reads", "Effect": "Allow", "Action": "cloudtrail:LookupEvents", "Resource": "*"}


def own(server: Program, access: Access, operation: str, **members: Any) -> Answered:
    return send(server.url, access.key_id, access.secret, operation, access.region, **members)


def looked_up(server: Program, access: Access, **attributes: str) -> list[dict[str, Any]]:
    asked = [{"AttributeKey": key, "AttributeValue": value} for key, value in attributes.items()]
    answer = own(server, access, "LookupEvents", LookupAttributes=asked)
    assert answer.status == 200, answer
    return [json.loads(event["CloudTrailEvent"]) for event in answer.members["Events"]]


@pytest.fixture(scope="module")
def iam(server: Production) -> Any:
    return server.client("iam")


@pytest.fixture(scope="module")
def key(server: Production) -> str:
    arn: str = server.client().create_key()["KeyMetadata"]["Arn"]
    return arn


# -- who may


@pytest.mark.parametrize(
    ("operation", "members", "permission"),
    [
        ("LookupEvents", {}, "cloudtrail:LookupEvents"),
        ("CountEvents", {}, "cloudtrail:LookupEvents"),
        ("GetStatus", {}, "keyquorum:GetStatus"),
        ("ExplainAccess", {"Principal": f"{IAM}:user/Alice", "Action": "kms:ListKeys"}, "iam:SimulatePrincipalPolicy"),
    ],
)
def test_nobody_is_told_without_the_permission(
    server: Production, operation: str, members: dict[str, Any], permission: str
) -> None:
    """Alice may do all of KMS."""
    answer = own(server, ALICE, operation, **members)
    assert (answer.status, answer.code) == (400, "AccessDeniedException")
    assert f"is not authorized to perform: {permission}" in answer.members["message"]
    assert looked_up(server, server.root, EventName=operation, Username="Alice")[0]["errorCode"] == answer.code


def test_strangers_are_told_nothing(server: Production) -> None:
    for operation in ("LookupEvents", "CountEvents", "GetStatus", "CountKeys", "ExplainAccess"):
        answer = own(server, Access(ALICE.key_id, "another secret"), operation)
        assert answer.code == "InvalidSignatureException"


def test_counting_keys_asks_for_what_would_tell_of_all(server: Production, iam: Any) -> None:
    account = own(server, server.root, "CountKeys").members["ByState"]
    key_id = server.client().create_key()["KeyMetadata"]["KeyId"]
    server.client().disable_key(KeyId=key_id)
    after = own(server, ALICE, "CountKeys").members["ByState"]
    assert after == {**account, "Disabled": account.get("Disabled", 0) + 1}
    assert own(server, BOB, "CountKeys").members["ByState"] == {}
    lister = new_user(iam, "lister", allow(["kms:ListKeys"]))
    assert own(server, lister, "CountKeys").code == "AccessDeniedException"
    one = new_user(iam, "one", allow(["kms:ListKeys"]), allow("kms:DescribeKey", f"arn:aws:kms:*:*:key/{key_id}"))
    assert own(server, one, "CountKeys").code == "AccessDeniedException"


# -- the audit log


def test_events_are_found_by_what_they_are(server: Production, key: str) -> None:
    kms = server.client(access=ALICE)
    made = kms.encrypt(KeyId=key, Plaintext=b"a secret", EncryptionContext={"purpose": "<b>"})
    code_of(kms.decrypt, KeyId="alias/nowhere", CiphertextBlob=made["CiphertextBlob"])
    by_request = {"RequestId": made["ResponseMetadata"]["RequestId"]}
    for attributes in (
        by_request,
        {"EventName": "Encrypt", "ResourceName": key},
        {"ResourceName": key, "Username": "Alice"},
    ):
        [event] = looked_up(server, server.root, **attributes)
        assert event["requestParameters"]["encryptionContext"] == {"purpose": "<b>"}
        assert "a secret" not in json.dumps(event)
    [event] = looked_up(server, server.root, Username="Alice", Outcome="refused", EventName="Decrypt")
    assert event["errorCode"] == "NotFoundException"
    assert looked_up(server, server.root, **by_request, ReadOnly="false") == []
    assert looked_up(server, server.root, EventId=event["eventID"]) == [event]


def test_pages_lead_to_each_other_and_tokens_are_the_servers(server: Production) -> None:
    for _ in range(5):
        server.client(access=ALICE).list_keys()
    asked = [{"AttributeKey": "EventName", "AttributeValue": "ListKeys"}]
    told: list[str] = []
    token: dict[str, str] = {}
    while True:
        answer = own(server, server.root, "LookupEvents", LookupAttributes=asked, MaxResults=2, **token)
        told += [event["EventId"] for event in answer.members["Events"]]
        if "NextToken" not in answer.members:
            break
        token = {"NextToken": answer.members["NextToken"]}
    assert len(told) == len(set(told)) >= 5
    changed = ("0" if token["NextToken"][0] != "0" else "1") + token["NextToken"][1:]
    for wrong in (changed, token["NextToken"][:-2], "zz", "00"):
        assert own(server, server.root, "LookupEvents", NextToken=wrong).code == "ValidationException"


def test_another_accounts_events_are_not_shown_however_they_are_asked_for(server: Production, key: str) -> None:
    """Bob's account is another, and he tried our key: the record is his account's."""
    bob = server.client(access=BOB)
    code_of(bob.encrypt, KeyId=key, Plaintext=b"x")
    [his] = [e for e in _records(server) if e["recipientAccountId"] == OTHER and e["eventName"] == "Encrypt"]
    ours = {"EventId": his["eventID"]}, {"RequestId": his["requestID"]}, {"Username": his["userIdentity"]["arn"]}
    assert all(looked_up(server, server.root, **attributes) == [] for attributes in ours)
    told = looked_up(server, server.root)
    assert {event["recipientAccountId"] for event in told} == {ACCOUNT}
    counted = own(server, server.root, "CountEvents", LookupAttributes=[
        {"AttributeKey": "Username", "AttributeValue": his["userIdentity"]["arn"]}
    ])  # fmt: skip
    assert counted.members["Counts"] == []


def test_a_token_of_one_account_tells_another_nothing_of_it(server: Production, iam: Any) -> None:
    theirs = own(server, server.root, "LookupEvents", MaxResults=1).members["NextToken"]
    answer = own(server, BOB, "LookupEvents", NextToken=theirs)
    assert answer.code == "AccessDeniedException"


def test_counts_are_by_operation_outcome_and_time(server: Production) -> None:
    kms = server.client(access=ALICE)
    for _ in range(3):
        kms.list_aliases()
    code_of(kms.list_aliases, KeyId="alias/nowhere")
    asked = [{"AttributeKey": "EventName", "AttributeValue": "ListAliases"}]
    counts = own(server, server.root, "CountEvents", LookupAttributes=asked, Period=86_400).members["Counts"]
    assert sum(count["Count"] for count in counts if "ErrorCode" not in count) == 3
    assert {count["ErrorCode"] for count in counts if "ErrorCode" in count} == {"InvalidArnException"}
    assert all(count["StartTime"] % 86_400 == 0 for count in counts)
    empty = own(server, server.root, "CountEvents", StartTime=0, EndTime=1)
    assert (empty.status, empty.members["Counts"]) == (200, [])


@pytest.mark.parametrize(
    "members",
    [
        {"MaxResults": 0},
        {"MaxResults": 51},
        {"LookupAttributes": [{"AttributeKey": "Password", "AttributeValue": "x"}]},
        {"LookupAttributes": [{"AttributeKey": "Outcome", "AttributeValue": "maybe"}]},
        {"LookupAttributes": [{"AttributeKey": "EventName"}]},
        {"StartTime": 2, "EndTime": 1},
    ],
)
def test_what_cannot_be_looked_up_is_refused(server: Production, members: dict[str, Any]) -> None:
    assert own(server, server.root, "LookupEvents", **members).code == "ValidationException"


def _records(server: Production) -> Iterator[dict[str, Any]]:
    for path in sorted((server.data / "audit").glob("[0-9]*.jsonl")):
        yield from map(json.loads, path.read_bytes().splitlines())


# -- the status


def test_the_status_tells_of_the_server_and_of_nobody_in_it(server: Production, iam: Any) -> None:
    watcher = new_user(iam, "watcher", allow("keyquorum:GetStatus"))
    answer = own(server, watcher, "GetStatus")
    assert answer.status == 200
    told = answer.members
    assert told["Server"]["Ready"]
    assert set(told["Server"]["Checks"].values()) == {"ok"}
    assert (told["Seal"]["Kind"], told["Seal"]["State"]) == ("file", "open")
    assert told["Database"]["Kind"] in ("SQLite", "PostgreSQL")
    assert told["Audit"]["Kept"]
    assert told["Audit"]["Own"]["Sequence"] > 0
    text = json.dumps(told)
    assert not any(secret in text for secret in (str(server.data), ACCOUNT, watcher.key_id, str(server.port)))


def test_the_status_says_what_the_last_verification_came_to(server: Production) -> None:
    def verification() -> Any:
        return own(server, server.root, "GetStatus").members["Audit"].get("Verification")

    assert verification() is None
    run("audit", "verify", "--data", str(server.data))
    assert verification()["Whole"]
    (server.data / "audit-verified.json").write_text('{"at": "</script>"}')
    assert verification() is None


# -- why


@pytest.fixture(scope="module")
def asker(iam: Any) -> Access:
    """May simulate, and read no policy."""
    return new_user(iam, "asker", allow("iam:SimulatePrincipalPolicy"))


@pytest.fixture(scope="module")
def auditor(iam: Any) -> Access:
    return new_user(
        iam,
        "auditor",
        allow(["iam:Simulate*", "iam:Get*", "iam:List*", "kms:GetKeyPolicy", "kms:ListGrants", "kms:ListResourceTags"]),
    )


def explained(server: Production, access: Access, who: str, action: str, resource: str = "", **more: Any) -> Answered:
    asked = {"Resource": resource} if resource else {}
    return own(server, access, "ExplainAccess", Principal=f"{IAM}:{who}", Action=action, **asked, **more)


def test_the_statement_is_shown_in_its_policy(server: Production, auditor: Access, key: str) -> None:
    told = explained(server, auditor, "user/Alice", "kms:Decrypt", key).members
    assert (told["Allowed"], told["Source"]) == (True, "identity-based policy")
    part = told["Part"]
    statement = json.loads(part["Document"][part["Start"] : part["End"]])
    assert statement == {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    let_in = told["LetIn"]
    assert json.loads(let_in["Document"][let_in["Start"] : let_in["End"]])["Sid"] == let_in["Sid"]


def test_who_may_not_read_the_key_policy_learns_nothing_of_it(server: Production, asker: Access, key: str) -> None:
    """Not even what it decides: by asking again and again, one would find out what it says."""
    answer = explained(server, asker, "user/Alice", "kms:Decrypt", key)
    assert answer.code == "AccessDeniedException"
    assert set(answer.members) == {"__type", "message"}
    assert "kms:GetKeyPolicy" in answer.members["message"]
    role = new_role(server.client("iam"), trusting(f"{IAM}:user/Alice"))
    answer = explained(server, asker, "user/Alice", "sts:AssumeRole", role)
    assert "iam:GetRole" in answer.members["message"]


def test_identity_policies_are_withheld_from_who_may_not_read_them(server: Production, asker: Access, iam: Any) -> None:
    told = explained(server, asker, "user/Alice", "kms:ListKeys").members
    assert told["Allowed"]
    assert (told["Part"]["Withheld"], "Document" in told["Part"], "Sid" in told["Part"]) == (
        "iam:GetUserPolicy", False, False,
    )  # fmt: skip
    iam.create_user(UserName="managed")
    iam.attach_user_policy(UserName="managed", PolicyArn=ADMIN)
    told = explained(server, asker, "user/managed", "kms:ListKeys").members
    assert told["Part"]["Withheld"] == "iam:GetPolicyVersion"
    statement = allow("kms:ListKeys", Condition={"StringEquals": {"aws:PrincipalTag/team": "hidden value"}})
    new_user(iam, "conditional", statement)
    told = explained(server, asker, "user/conditional", "kms:ListKeys").members
    assert "hidden value" not in json.dumps(told)


def test_a_deny_by_tags_holds_for_what_is_explained_too(server: Production, iam: Any) -> None:
    new_user(iam, "guarded", allow("kms:ListKeys"))
    iam.tag_user(UserName="guarded", Tags=[{"Key": "secret", "Value": "yes"}])
    tagged = {"StringEquals": {"aws:ResourceTag/secret": "yes"}}
    curious = new_user(iam, "curious", allow("iam:*"), allow("iam:*", effect="Deny", Condition=tagged))
    assert explained(server, curious, "user/guarded", "kms:ListKeys").code == "AccessDeniedException"
    reads = new_user(iam, "reads", allow("iam:*"), allow("iam:Get*", effect="Deny", Condition=tagged))
    told = explained(server, reads, "user/guarded", "kms:ListKeys").members
    assert told["Part"]["Withheld"] == "iam:GetUserPolicy"


def test_tags_are_told_to_who_may_list_them(server: Production, iam: Any, auditor: Access) -> None:
    condition = {"StringEquals": {"aws:PrincipalTag/team": "red", "aws:ResourceTag/owner": "red"}}
    new_user(iam, "tagged", allow("kms:Decrypt", Condition=condition))
    iam.tag_user(UserName="tagged", Tags=[{"Key": "team", "Value": "blue"}])
    tags = [{"TagKey": "owner", "TagValue": "green"}]
    key = server.client().create_key(Tags=tags)["KeyMetadata"]["Arn"]
    [part] = explained(server, auditor, "user/tagged", "kms:Decrypt", key).members["Nearly"]
    has = {entry["ContextKeyName"]: entry["ContextKeyValues"] for entry in part["Has"]}
    assert has == {"aws:PrincipalTag/team": ["blue"], "aws:ResourceTag/owner": ["green"]}
    half = new_user(iam, "half", allow(["iam:SimulatePrincipalPolicy", "iam:GetUserPolicy", "kms:GetKeyPolicy"]))
    [part] = explained(server, half, "user/tagged", "kms:Decrypt", key).members["Nearly"]
    assert {entry["Withheld"] for entry in part["Has"]} == {"iam:ListUserTags", "kms:ListResourceTags"}


def test_grants_are_named_to_who_may_list_them(server: Production, iam: Any, auditor: Access) -> None:
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]["Arn"]
    new_user(iam, "grantee")
    grant = kms.create_grant(KeyId=key, GranteePrincipal=f"{IAM}:user/grantee", Operations=["Decrypt"])["GrantId"]
    told = explained(server, auditor, "user/grantee", "kms:Decrypt", key).members
    assert (told["Source"], told["GrantId"]) == ("grant", grant)
    half = new_user(iam, "half2", allow(["iam:SimulatePrincipalPolicy", "kms:GetKeyPolicy"]))
    assert "GrantId" not in explained(server, half, "user/grantee", "kms:Decrypt", key).members


def test_other_accounts_are_explained_there(server: Production, key: str) -> None:
    root = server.root
    bob = own(server, root, "ExplainAccess", Principal=f"arn:aws:iam::{OTHER}:user/Bob", Action="kms:ListKeys")
    assert bob.code == "ValidationException"
    there = key.replace(ACCOUNT, OTHER)
    answer = explained(server, root, "user/Alice", "kms:Decrypt", there)
    assert answer.code == "AccessDeniedException"
    foreign_role = explained(server, root, "user/Alice", "sts:AssumeRole", f"arn:aws:iam::{OTHER}:role/x")
    assert foreign_role.code == "ValidationException"


def test_a_condition_is_tried_with_what_the_question_says(server: Production, iam: Any, auditor: Access) -> None:
    new_user(iam, "near", allow("kms:ListKeys", Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}))
    context = [{"ContextKeyName": "AWS:sourceip", "ContextKeyValues": ["192.0.2.9"]}]
    assert explained(server, auditor, "user/near", "kms:ListKeys", ContextEntries=context).members["Allowed"]
    told = explained(server, auditor, "user/near", "kms:ListKeys").members
    assert told["Allowed"] is False
    assert told["Nearly"][0]["Has"] == [{"ContextKeyName": "aws:SourceIp"}]


def test_who_is_not_there_is_not_found_by_who_may_look(server: Production, asker: Access) -> None:
    assert explained(server, asker, "user/nobody", "kms:ListKeys").code == "NoSuchEntityException"
    assert explained(server, ALICE, "user/nobody", "kms:ListKeys").code == "AccessDeniedException"


def test_a_development_server_remembers_the_last_records(tmp_path: Path) -> None:
    server = Program(tmp_path, "--dev")
    try:
        anybody = Access("test", "test")
        own(server, anybody, "CountKeys")
        assert looked_up(server, anybody)[0]["eventName"] == "CountKeys"
        assert own(server, anybody, "GetStatus").members["Audit"]["Kept"] is False
    finally:
        server.stop()
