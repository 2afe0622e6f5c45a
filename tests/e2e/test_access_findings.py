# SPDX-License-Identifier: Apache-2.0
"""Attacks by way of a second spelling, a second key, a second Region or a second life: what a decision is about is what
happens then."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matrix import outcome
from people import ABLE, ADMIN, CLOSED, NOBODY, OPEN, OTHER, STRANGER, VISITOR, Inside, Person, allow, document, inside
from servers import ACCOUNT, code_of

pytestmark = pytest.mark.slow

DENIED = "AccessDeniedException"
ABSENT = "12345678-1234-1234-1234-123456789012"
THERE = "eu-west-1"
CREATES: dict[str, Any] = {"Operations": ["Decrypt"]}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Inside]:
    with inside(tmp_path) as made:
        yield made


def limited(world: Inside, person: Person, *statements: dict[str, Any]) -> Any:
    """The client of a person who may do all of KMS, but for what the statements say."""
    world.root("iam", person.account).put_user_policy(
        UserName=person.name, PolicyName="limits", PolicyDocument=document(allow("kms:*"), *statements)
    )
    return world.by(person)


def denying(action: str, **condition: Any) -> dict[str, Any]:
    return allow(action, effect="Deny", Condition=condition)


# -- a principal has one spelling


@pytest.mark.parametrize("member", ["GranteePrincipal", "RetiringPrincipal"])
def test_an_account_by_its_number_is_the_root_that_a_condition_names(world: Inside, member: str) -> None:
    """KMS developer guide, "kms:GranteePrincipal" and "kms:RetiringPrincipal": the condition keys compare ARNs."""
    root = f"arn:aws:iam::{OTHER}:root"
    key = world.key(OPEN)
    denied = limited(world, NOBODY, denying("kms:CreateGrant", StringEquals={f"kms:{member}": root}))
    for spelling in (root, OTHER):
        asked = {"KeyId": key, "GranteePrincipal": ABLE.arn, **CREATES, member: spelling}
        assert outcome(denied, "CreateGrant", **asked)[0] == DENIED
    asked = {"KeyId": key, "GranteePrincipal": ABLE.arn, **CREATES}
    assert outcome(denied, "CreateGrant", **asked, RetiringPrincipal=ABLE.arn) == ("", "")
    only = limited(world, NOBODY, denying("kms:CreateGrant", StringNotEquals={f"kms:{member}": root}))
    for spelling in (root, OTHER):
        assert outcome(only, "CreateGrant", **{**asked, "RetiringPrincipal": root, member: spelling}) == ("", "")
    assert outcome(only, "CreateGrant", **{**asked, "RetiringPrincipal": root, member: NOBODY.arn})[0] == DENIED


# -- a stranger learns nothing of keys


def test_no_operation_tells_a_stranger_what_another_account_has(world: Inside) -> None:
    key = world.key(OPEN)
    world.by(ADMIN).create_alias(AliasName="alias/there", TargetKeyId=key)
    place = key.rpartition("key/")[0]
    disabled = world.key(CLOSED)
    world.by(ADMIN).disable_key(KeyId=disabled)
    mac = world.key(OPEN, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    keys, aliases = (key, disabled, mac, place + "key/" + ABSENT), (place + "alias/there", place + "alias/absent")
    for person in (STRANGER, VISITOR):
        world.root("kms", OTHER).create_alias(
            AliasName=f"alias/{person.name}", TargetKeyId=world.root("kms", OTHER).create_key()["KeyMetadata"]["KeyId"]
        )
        blob = world.root("kms", OTHER).encrypt(KeyId=f"alias/{person.name}", Plaintext=b"x")["CiphertextBlob"]
        for operation, member, more in (
            ("UpdateAlias", "TargetKeyId", {"AliasName": f"alias/{person.name}"}),
            ("CreateAlias", "TargetKeyId", {"AliasName": "alias/new"}),
            ("ReEncrypt", "DestinationKeyId", {"CiphertextBlob": blob}),
            ("ReEncrypt", "SourceKeyId", {"CiphertextBlob": blob, "DestinationKeyId": f"alias/{person.name}"}),
            ("ReEncrypt", "DestinationKeyId", {"CiphertextBlob": blob, "SourceKeyId": place + "key/" + ABSENT}),
            ("ReEncrypt", "DestinationKeyId", {"CiphertextBlob": blob, "SourceKeyId": key}),
            ("DescribeKey", "KeyId", {}),
        ):
            for names in (keys, aliases):
                told = {
                    text.replace(name, "it")
                    for name in names
                    for text in outcome(world.by(person), operation, **{**more, member: name})
                }
                assert len(told) <= 2, (person.name, operation, told)


def test_the_first_key_is_decided_before_the_second_is_told_to_be_absent(world: Inside) -> None:
    own = world.key(OPEN)
    blob = world.by(ADMIN).encrypt(KeyId=own, Plaintext=b"x")["CiphertextBlob"]
    world.by(ADMIN).create_alias(AliasName="alias/own", TargetKeyId=own)
    update: dict[str, Any] = {"AliasName": "alias/own", "TargetKeyId": ABSENT}
    asked: dict[str, Any] = {"CiphertextBlob": blob, "DestinationKeyId": ABSENT}
    for operation, members in (("UpdateAlias", update), ("ReEncrypt", asked)):
        assert outcome(world.by(NOBODY), operation, **members)[0] == DENIED
        code, message = outcome(world.by(ABLE), operation, **members)
        assert (code, ABSENT in message) == ("NotFoundException", True)
    # One's own account's keys are no secret from oneself, and the first that is missing is told.
    told = outcome(world.by(NOBODY), "ReEncrypt", **asked, SourceKeyId=ABSENT.replace("1", "2"))
    assert (told[0], ABSENT.replace("1", "2") in told[1]) == ("NotFoundException", True)


# -- another Region


def test_a_replica_is_made_by_who_may_make_such_a_key(world: Inside) -> None:
    """KMS developer guide, "Creating multi-Region replica keys": kms:CreateKey in the replica's Region, too. Its
    conditions are about the key that comes of it."""
    key = world.key(OPEN, MultiRegion=True)
    mac = world.key(OPEN, MultiRegion=True, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    is_this = {
        "kms:KeySpec": "SYMMETRIC_DEFAULT",
        "kms:CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "kms:KeyUsage": "ENCRYPT_DECRYPT",
        "kms:CustomerMasterKeyUsage": "ENCRYPT_DECRYPT",
        "kms:KeyOrigin": "AWS_KMS",
        "kms:MultiRegion": "true",
        "kms:MultiRegionKeyType": "REPLICA",
        "aws:RequestedRegion": THERE,
        "aws:ResourceAccount": ACCOUNT,
    }
    for name, value in is_this.items():
        client = limited(world, NOBODY, denying("kms:CreateKey", StringEquals={name: value}))
        assert outcome(client, "ReplicateKey", KeyId=key, ReplicaRegion=THERE)[0] == DENIED, name
    bypass = {"kms:BypassPolicyLockoutSafetyCheck": "true"}
    client = limited(world, NOBODY, denying("kms:CreateKey", Bool=bypass))
    asked = {"KeyId": key, "ReplicaRegion": THERE}
    assert outcome(client, "ReplicateKey", **asked, BypassPolicyLockoutSafetyCheck=True)[0] == DENIED
    client = limited(world, NOBODY, denying("kms:CreateKey", StringNotEquals=is_this))
    assert outcome(client, "ReplicateKey", KeyId=mac, ReplicaRegion=THERE)[0] == ""
    client = limited(world, NOBODY, denying("kms:CreateKey", StringNotEquals={"kms:KeySpec": "SYMMETRIC_DEFAULT"}))
    assert outcome(client, "ReplicateKey", KeyId=mac, ReplicaRegion="eu-west-3")[0] == DENIED
    assert outcome(client, "ReplicateKey", **asked) == ("", "")


def test_who_may_make_no_key_makes_no_replica(world: Inside) -> None:
    key = world.key(OPEN, MultiRegion=True)
    for denied, more in (("kms:CreateKey", {}), ("kms:TagResource", {"Tags": [{"TagKey": "a", "TagValue": "b"}]})):
        client = limited(world, NOBODY, denying(denied))
        assert outcome(client, "ReplicateKey", KeyId=key, ReplicaRegion=THERE, **more)[0] == DENIED
        assert world.by(ADMIN).describe_key(KeyId=key)["KeyMetadata"]["MultiRegionConfiguration"]["ReplicaKeys"] == []


def test_a_primary_does_not_move_into_a_region_that_is_denied(world: Inside) -> None:
    key = world.key(OPEN, MultiRegion=True)
    world.by(ABLE).replicate_key(KeyId=key, ReplicaRegion=THERE, Policy=OPEN)
    asked = {"KeyId": key, "PrimaryRegion": THERE}
    for region in (THERE, "us-east-1"):
        client = limited(world, NOBODY, denying("kms:*", StringEquals={"aws:RequestedRegion": region}))
        assert outcome(client, "UpdatePrimaryRegion", **asked)[0] == DENIED
    client = limited(world, NOBODY, denying("kms:*", StringEquals={"aws:RequestedRegion": "eu-west-3"}))
    assert outcome(client, "UpdatePrimaryRegion", **asked) == ("", "")


# -- whose it is


def test_what_is_about_no_key_is_of_the_callers_account(world: Inside) -> None:
    """IAM user guide, "AWS global condition context keys": aws:ResourceAccount."""
    key = world.key(OPEN)
    for account, code in ((ACCOUNT, ""), (OTHER, DENIED)):
        client = limited(world, NOBODY, denying("*", StringNotEquals={"aws:ResourceAccount": account}))
        assert outcome(client, "CreateKey")[0] == code
        assert outcome(client, "ListKeys")[0] == code
        assert outcome(client, "CreateAlias", AliasName="alias/mine", TargetKeyId=key)[0] == code


def test_a_role_is_of_its_own_account(world: Inside) -> None:
    world.root("iam").create_role(
        RoleName="guest",
        AssumeRolePolicyDocument=document(
            {"Effect": "Allow", "Principal": {"AWS": VISITOR.arn}, "Action": "sts:AssumeRole"}
        ),
    )
    sts, iam = world.client("sts", VISITOR.access), world.root("iam", OTHER)
    for account, code in ((ACCOUNT, ""), (OTHER, "AccessDenied")):
        statement = allow("sts:AssumeRole", Condition={"StringEquals": {"aws:ResourceAccount": account}})
        iam.put_user_policy(UserName=VISITOR.name, PolicyName="assumes", PolicyDocument=document(statement))
        members = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/guest", "RoleSessionName": "guest"}
        assert code_of(sts.assume_role, **members) == code


# -- a second life


def test_a_user_made_again_is_not_shown_the_grants_of_the_one_before(world: Inside) -> None:
    key, iam = world.key(OPEN), world.root("iam")
    arn = f"arn:aws:iam::{ACCOUNT}:user/again"

    def grant() -> str:
        members = {"GranteePrincipal": ABLE.arn, "RetiringPrincipal": arn, **CREATES}
        grant_id: str = world.by(ADMIN).create_grant(KeyId=key, **members)["GrantId"]
        return grant_id

    def listed() -> list[str]:
        pages = world.by(ADMIN).get_paginator("list_retirable_grants")
        asked = {"RetiringPrincipal": arn, "PaginationConfig": {"PageSize": 2}}
        return [entry["GrantId"] for page in pages.paginate(**asked) for entry in page["Grants"]]

    iam.create_user(UserName="again")
    old = {grant() for _ in range(5)}
    assert set(listed()) == old
    iam.delete_user(UserName="again")
    # Nobody has the name: who looks after the account still finds them.
    assert set(listed()) == old
    iam.create_user(UserName="again")
    assert listed() == []
    new = {grant() for _ in range(5)}
    assert set(listed()) == new
