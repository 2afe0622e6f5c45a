# SPDX-License-Identifier: Apache-2.0
"""Aliases, tags and key policies through boto3."""

import json
from typing import Any

import pytest
from servers import ACCOUNT, REGION, code_of, refused

pytestmark = pytest.mark.slow

PREFIX = f"arn:aws:kms:{REGION}:{ACCOUNT}:"
ABSENT = "0000abcd-12ab-34cd-56ef-1234567890ab"


def policy(**changes: Any) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "kms:*",
        "Resource": "*",
        **changes,
    }
    present = {name: value for name, value in statement.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [present]})


# -- aliases


def test_an_alias_from_creation_to_deletion(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    name, arn = "alias/team/orders-1", f"{PREFIX}alias/team/orders-1"
    kms.create_alias(AliasName=name, TargetKeyId=key["Arn"])
    (entry,) = kms.list_aliases(KeyId=key["KeyId"])["Aliases"]
    created = entry["CreationDate"]
    assert entry == {
        "AliasName": name,
        "AliasArn": arn,
        "TargetKeyId": key["KeyId"],
        "CreationDate": created,
        "LastUpdatedDate": created,
    }
    for called in (name, arn):
        assert kms.describe_key(KeyId=called)["KeyMetadata"]["KeyId"] == key["KeyId"]
        blob = kms.encrypt(KeyId=called, Plaintext=b"x")["CiphertextBlob"]
        assert kms.decrypt(KeyId=called, CiphertextBlob=blob)["KeyId"] == key["Arn"]
        assert kms.generate_data_key(KeyId=called, NumberOfBytes=8)["KeyId"] == key["Arn"]
        assert kms.generate_data_key_without_plaintext(KeyId=called, NumberOfBytes=8)["KeyId"] == key["Arn"]
        moved = kms.re_encrypt(CiphertextBlob=blob, SourceKeyId=called, DestinationKeyId=called)
        assert (moved["SourceKeyId"], moved["KeyId"]) == (key["Arn"], key["Arn"])

    kms.update_alias(AliasName=name, TargetKeyId=other["KeyId"])
    assert kms.encrypt(KeyId=name, Plaintext=b"x")["KeyId"] == other["Arn"]
    assert kms.list_aliases(KeyId=key["KeyId"])["Aliases"] == []
    (entry,) = kms.list_aliases(KeyId=other["KeyId"])["Aliases"]
    assert (entry["CreationDate"], entry["LastUpdatedDate"] > created) == (created, True)

    kms.delete_alias(AliasName=name)
    for call, arguments in (
        (kms.describe_key, {"KeyId": name}),
        (kms.delete_alias, {"AliasName": name}),
        (kms.update_alias, {"AliasName": name, "TargetKeyId": key["KeyId"]}),
    ):
        with refused("NotFoundException", f"Alias {arn} is not found."):
            call(**arguments)


def test_an_alias_is_one_keys_name(kms: Any, key: Any) -> None:
    kms.create_alias(AliasName="alias/taken", TargetKeyId=key["KeyId"])
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    with refused("AlreadyExistsException", f"An alias with the name {PREFIX}alias/taken already exists"):
        kms.create_alias(AliasName="alias/taken", TargetKeyId=other)
    assert kms.describe_key(KeyId="alias/taken")["KeyMetadata"]["KeyId"] == key["KeyId"]


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        (
            "orders",
            "ValidationException",
            'Alias must start with the prefix "alias/". Please see '
            "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        ),
        ("alias/aws/orders", "NotAuthorizedException", None),
        (
            "alias/a!",
            "ValidationException",
            "1 validation error detected: Value 'alias/a!' at 'aliasName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$",
        ),
        ("alias/Service:Test", "ValidationException", "alias/Service:Test contains invalid characters for an alias"),
        ("alias/", "ValidationException", "alias/ contains invalid characters for an alias"),
    ],
)
def test_alias_names_that_are_refused(kms: Any, key: Any, name: str, code: str, message: str | None) -> None:
    with refused(code, message):
        kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    assert kms.list_aliases(KeyId=key["KeyId"])["Aliases"] == []


def test_alias_targets(kms: Any, key: Any) -> None:
    kms.create_alias(AliasName="alias/first", TargetKeyId=key["KeyId"])
    for target in ("alias/first", f"{PREFIX}alias/first"):
        with refused("ValidationException", "Aliases must refer to keys. Not aliases"):
            kms.create_alias(AliasName="alias/second", TargetKeyId=target)
    with refused("NotFoundException", f"Key '{PREFIX}key/{ABSENT}' does not exist"):
        kms.create_alias(AliasName="alias/second", TargetKeyId=ABSENT)


def test_an_alias_can_leave_a_key_that_is_pending_deletion_but_not_go_there(kms: Any, key: Any) -> None:
    kms.create_alias(AliasName="alias/leaving", TargetKeyId=key["KeyId"])
    other = kms.create_key()["KeyMetadata"]
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    kms.update_alias(AliasName="alias/leaving", TargetKeyId=other["KeyId"])
    with refused("KMSInvalidStateException", f"{key['Arn']} is pending deletion."):
        kms.update_alias(AliasName="alias/leaving", TargetKeyId=key["KeyId"])
    assert kms.describe_key(KeyId="alias/leaving")["KeyMetadata"]["KeyId"] == other["KeyId"]


def test_list_aliases_pages_and_a_key_has_at_most_fifty(kms: Any, key: Any) -> None:
    names = [f"alias/many-{n:02}" for n in range(50)]
    for name in names:
        kms.create_alias(AliasName=name, TargetKeyId=key["KeyId"])
    assert code_of(kms.create_alias, AliasName="alias/many-50", TargetKeyId=key["KeyId"]) == "LimitExceededException"
    for arguments, wanted in (({"KeyId": key["KeyId"]}, names), ({}, None)):
        found: list[str] = []
        marker: dict[str, str] = {}
        while True:
            page = kms.list_aliases(Limit=20, **arguments, **marker)
            assert len(page["Aliases"]) <= 20
            found += [entry["AliasName"] for entry in page["Aliases"]]
            if not page["Truncated"]:
                break
            marker = {"Marker": page["NextMarker"]}
        assert sorted(set(found)) == sorted(found)
        assert wanted is None or found == wanted
        assert set(names) <= set(found)
    kept = kms.list_aliases(KeyId=key["KeyId"], Limit=20)["NextMarker"]
    assert code_of(kms.list_aliases, Marker=kept) == "InvalidMarkerException"


# -- tags


def test_tags(kms: Any, key: Any) -> None:
    key_id = key["KeyId"]
    empty = kms.list_resource_tags(KeyId=key_id)
    assert (empty["Tags"], empty["Truncated"]) == ([], False)
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "b", "TagValue": "2"}])
    kms.tag_resource(KeyId=key["Arn"], Tags=[{"TagKey": "b", "TagValue": "3"}, {"TagKey": "B", "TagValue": ""}])
    tags = {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=key_id)["Tags"]}
    assert tags == {"a": "1", "b": "3", "B": ""}
    kms.untag_resource(KeyId=key_id, TagKeys=["a", "never-there"])
    assert {tag["TagKey"] for tag in kms.list_resource_tags(KeyId=key_id)["Tags"]} == {"b", "B"}


def test_tags_come_in_pages(kms: Any, key: Any) -> None:
    names = [f"t{n}" for n in range(50)]
    kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": name, "TagValue": "v"} for name in names])
    with refused("TagException", "Too many tags"):
        kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "one-more", "TagValue": "v"}])
    kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "t0", "TagValue": "replaced"}])
    found: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = kms.list_resource_tags(KeyId=key["KeyId"], Limit=20, **marker)
        found += [tag["TagKey"] for tag in page["Tags"]]
        if not page["Truncated"]:
            break
        marker = {"Marker": page["NextMarker"]}
    assert sorted(found) == sorted(names)


@pytest.mark.parametrize(
    ("tags", "code", "message"),
    [
        ([("a", "1"), ("a", "2")], "TagException", "Duplicate tag keys"),
        ([("AWS:a", "1")], "TagException", "Tags beginning with aws: are reserved"),
        (
            [("a", "1"), ("k" * 129, "1")],
            "ValidationException",
            f"1 validation error detected: Value '{'k' * 129}' at 'tags.2.member.tagKey' failed to satisfy "
            "constraint: Member must have length less than or equal to 128",
        ),
        (
            [("k" * 129, "v" * 257)],
            "ValidationException",
            f"2 validation errors detected: Value '{'k' * 129}' at 'tags.1.member.tagKey' failed to satisfy "
            f"constraint: Member must have length less than or equal to 128; Value '{'v' * 257}' at "
            "'tags.1.member.tagValue' failed to satisfy constraint: Member must have length less than or equal to 256",
        ),
    ],
)
def test_tags_that_are_refused(kms: Any, key: Any, tags: Any, code: str, message: str) -> None:
    with refused(code, message):
        kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": k, "TagValue": v} for k, v in tags])
    assert kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == []


# -- key policies


def test_the_default_key_policy(kms: Any, key: Any) -> None:
    answer = kms.get_key_policy(KeyId=key["KeyId"])
    assert answer["PolicyName"] == "default"
    document = json.loads(answer["Policy"])
    assert document["Version"] == "2012-10-17"
    assert document["Id"] == "key-default-1"
    assert document["Statement"] == [
        {
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ]


def test_put_key_policy(kms: Any, key: Any) -> None:
    text = policy(Sid="mine", Action=["kms:*"])
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=text)
    assert json.loads(kms.get_key_policy(KeyId=key["Arn"], PolicyName="default")["Policy"]) == json.loads(text)
    names = kms.list_key_policies(KeyId=key["KeyId"], Limit=1)
    assert (names["PolicyNames"], names["Truncated"]) == (["default"], False)
    with refused("NotFoundException", "No such policy exists"):
        kms.get_key_policy(KeyId=key["KeyId"], PolicyName="other")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        policy(Effect="Permit"),
        policy(Principal=None),
        policy(Action=None),
        policy(Resource=None),
        policy(Resource="arn:aws:kms:us-east-1:111122223333:key/1"),
        policy(Condition={"NoSuchOperator": {"aws:SourceIp": "10.0.0.0/8"}}),
    ],
)
def test_malformed_policies_are_refused_and_change_nothing(kms: Any, key: Any, text: str) -> None:
    before = kms.get_key_policy(KeyId=key["KeyId"])["Policy"]
    assert code_of(kms.put_key_policy, KeyId=key["KeyId"], Policy=text) == "MalformedPolicyDocumentException"
    assert code_of(kms.create_key, Policy=text) == "MalformedPolicyDocumentException"
    assert kms.get_key_policy(KeyId=key["KeyId"])["Policy"] == before


def test_who_would_lock_himself_out_must_insist(kms: Any, key: Any) -> None:
    locked = policy(Action="kms:DescribeKey")
    with refused(
        "MalformedPolicyDocumentException",
        "The new key policy will not allow you to update the key policy in the future.",
    ):
        kms.put_key_policy(KeyId=key["KeyId"], Policy=locked)
    kms.put_key_policy(KeyId=key["KeyId"], Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] == key
    for call in (kms.get_key_policy, kms.encrypt, kms.schedule_key_deletion):
        members = {"Plaintext": b"x"} if call == kms.encrypt else {}
        assert code_of(call, KeyId=key["KeyId"], **members) == "AccessDeniedException"
    assert code_of(kms.put_key_policy, KeyId=key["KeyId"], Policy=policy()) == "AccessDeniedException"


def test_policies_have_a_largest_size(kms: Any, key: Any) -> None:
    fits = policy(Sid="s" * (32_768 - len(policy(Sid=""))))
    kms.put_key_policy(KeyId=key["KeyId"], Policy=fits)
    assert code_of(kms.put_key_policy, KeyId=key["KeyId"], Policy=fits + " ") == "LimitExceededException"
