# SPDX-License-Identifier: Apache-2.0
"""Attacks on decisions, as whoever sends requests can make them. Those on policies' own logic are with ``authz``."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from matrix import outcome
from people import (
    ABLE,
    ADMIN,
    CLOSED,
    NOBODY,
    OPEN,
    OTHER,
    STRANGER,
    VISITOR,
    Inside,
    Person,
    allow,
    closed,
    document,
    encrypt,
    inside,
    naming,
)
from servers import ACCOUNT, Access, code_of

pytestmark = pytest.mark.slow

DENIED = "AccessDeniedException"
ALLOWED = ("", "")
DAY = 86_400
MALFORMED = "MalformedPolicyDocumentException"
UNKNOWN_PRINCIPAL = (MALFORMED, "Policy contains a statement with one or more invalid principals.")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Inside]:
    with inside(tmp_path) as made:
        yield made


def to(person: Person, *actions: str, **condition: Any) -> dict[str, Any]:
    more: dict[str, Any] = {"Condition": condition} if condition else {}
    return allow(list(actions) or "kms:*", Principal={"AWS": person.arn}, **more)


# -- across accounts


def test_a_deputy_with_all_rights_at_home_opens_nothing_for_whoever_asks_it(world: Inside) -> None:
    """Neither by a ciphertext nor by an ARN that it is given."""
    key = world.key(CLOSED)
    blob = world.by(ADMIN).encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    for deputy in (VISITOR, ABLE):
        client = world.by(deputy)
        assert code_of(client.decrypt, CiphertextBlob=blob) == DENIED
        assert code_of(client.decrypt, CiphertextBlob=blob, KeyId=key) == DENIED
    own = world.by(VISITOR).create_key()["KeyMetadata"]["Arn"]
    assert code_of(world.by(VISITOR).re_encrypt, CiphertextBlob=blob, DestinationKeyId=own) == DENIED


def test_a_deputy_is_held_to_the_tenant_that_the_key_is_for(world: Inside) -> None:
    key = world.key(closed(to(VISITOR, "kms:Encrypt", StringEquals={"kms:EncryptionContext:tenant": "a"})))
    assert encrypt(world, VISITOR, key, tenant="a") == ""
    for context in ({"tenant": "b"}, {}, {"tenant": "A"}, {"Tenant ": "a"}, {"tenant": "a\x00"}):
        assert encrypt(world, VISITOR, key, **context) == DENIED


def test_everyone_of_an_account_is_nobody_of_another_and_needs_its_own_accounts_leave(world: Inside) -> None:
    everyone = allow("kms:*", Principal="*", Condition={"StringEquals": {"kms:CallerAccount": OTHER}})
    key = world.key(closed(everyone))
    assert [encrypt(world, person, key) for person in (VISITOR, STRANGER, NOBODY, ABLE)] == ["", DENIED, DENIED, DENIED]


def test_what_is_meant_for_services_is_for_no_user(world: Inside) -> None:
    """No request comes by way of a service: whatever header says so, it is not believed."""
    source = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/orders"
    via = {"kms:ViaService": "s3.us-east-1.amazonaws.com", "aws:SourceArn": source, "aws:SourceAccount": ACCOUNT}
    for name, value in via.items():
        key = world.key(closed(to(NOBODY, "kms:*", StringEquals={name: value})))
        client = world.client("kms", NOBODY.access)
        client.meta.events.register(
            "before-call.kms",
            lambda params, value=value, **_event: params["headers"].update(
                {"x-amz-source-arn": value, "x-amz-source-account": value, "x-amz-via-service": value, "via": value}
            ),
        )
        assert code_of(client.encrypt, KeyId=key, Plaintext=b"x") == DENIED
    unless = {"Effect": "Deny", **{k: v for k, v in to(NOBODY).items() if k != "Effect"}}
    unless["Condition"] = {"StringNotEquals": {"kms:ViaService": via["kms:ViaService"]}}
    assert encrypt(world, NOBODY, world.key(closed(to(NOBODY), unless))) == DENIED
    key = world.key(CLOSED)
    constraints = {"SourceArn": source}
    for person in (NOBODY, VISITOR):
        world.by(ADMIN).create_grant(
            KeyId=key, GranteePrincipal=person.arn, Operations=["Encrypt"], Constraints=constraints
        )
        assert encrypt(world, person, key) == DENIED


def test_a_ciphertext_tells_nobody_elses_whether_its_key_is_there(world: Inside) -> None:
    key = world.key(CLOSED)
    blob = world.by(ADMIN).encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    key_id = key.rpartition("/")[2]
    never = blob.replace(key_id.encode(), key_id[::-1].replace("-", "0").encode())
    told = [outcome(world.by(VISITOR), "Decrypt", CiphertextBlob=given) for given in (blob, never)]
    world.by(ADMIN).schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    told.append(outcome(world.by(VISITOR), "Decrypt", CiphertextBlob=blob))
    world.service.advance(8 * DAY)
    assert code_of(world.by(ADMIN).describe_key, KeyId=key) == "NotFoundException"
    told.append(outcome(world.by(VISITOR), "Decrypt", CiphertextBlob=blob))
    assert set(told) == {
        (
            DENIED,
            f"User: {VISITOR.arn} is not authorized to perform: kms:Decrypt on the resource associated with this "
            "ciphertext because the resource does not exist in this Region, no resource-based policies allow access, "
            "or a resource-based policy explicitly denies access",
        )
    }


def test_both_sides_of_a_re_encryption_are_asked(world: Inside) -> None:
    both = ("kms:ReEncryptFrom", "kms:ReEncryptTo")
    halves = [world.key(naming(NOBODY, action)) for action in both]
    whole, neither = world.key(naming(NOBODY, list(both))), world.key(naming(NOBODY, ["kms:Encrypt", "kms:Decrypt"]))
    blobs = {
        key: world.by(ADMIN).encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"] for key in (*halves, whole, neither)
    }
    allowed = set()
    for source, blob in blobs.items():
        for destination in blobs:
            members = {"CiphertextBlob": blob, "DestinationKeyId": destination}
            found = outcome(world.by(NOBODY), "ReEncrypt", **members)
            assert found[0] in ("", DENIED)
            assert found == outcome(world.by(NOBODY), "ReEncrypt", **members, SourceKeyId=source)
            if not found[0]:
                allowed.add((source, destination))
    assert allowed == {(source, to_) for source in (halves[0], whole) for to_ in (halves[1], whole)}
    # The key that is named is the one that is asked, and it must be the ciphertext's.
    wrong = {"CiphertextBlob": blobs[neither], "SourceKeyId": whole, "DestinationKeyId": whole}
    assert outcome(world.by(NOBODY), "ReEncrypt", **wrong)[0] == "IncorrectKeyException"


def test_a_list_of_aliases_is_of_ones_own_account(world: Inside) -> None:
    key = world.key(closed(to(VISITOR)))
    world.by(ADMIN).create_alias(AliasName="alias/private", TargetKeyId=key)
    assert code_of(world.by(VISITOR).list_aliases, KeyId=key) == DENIED
    assert world.by(VISITOR).list_aliases()["Aliases"] == []
    arn = f"{key.rpartition(':')[0]}:alias/private"
    for operation in ("DeleteAlias", "UpdateAlias"):
        members = {"AliasName": arn, **({"TargetKeyId": key} if operation == "UpdateAlias" else {})}
        assert outcome(world.by(VISITOR), operation, **members)[0] == "ValidationException"


# -- aliases that move


def moved(world: Inside, name: str, keys: list[str], stop: threading.Event) -> None:
    turn = 0
    while not stop.is_set():
        turn += 1
        world.by(ADMIN).update_alias(AliasName=name, TargetKeyId=keys[turn % len(keys)])


@pytest.mark.parametrize("key_name", ["kms:RequestAlias", "kms:ResourceAliases"])
def test_an_alias_that_moves_meanwhile_leads_to_the_key_that_was_decided_on(world: Inside, key_name: str) -> None:
    """Of the two keys one allows it, to who names it so. A request ends with that key, or is refused for the other."""
    operator = "StringEquals" if key_name == "kms:RequestAlias" else "ForAnyValue:StringEquals"
    named = closed(to(NOBODY, "kms:Encrypt", **{operator: {key_name: "alias/moving"}}))
    allows, refuses = world.key(named), world.key(CLOSED)
    world.by(ADMIN).create_alias(AliasName="alias/moving", TargetKeyId=allows)
    stop = threading.Event()
    mover = threading.Thread(target=moved, args=(world, "alias/moving", [allows, refuses], stop))
    client, used, refused = world.by(NOBODY), set(), set()
    mover.start()
    try:
        for _ in range(400):
            try:
                answer = client.encrypt(KeyId="alias/moving", Plaintext=b"x")
            except ClientError as error:
                refused.add((error.response["Error"]["Code"], error.response["Error"]["Message"]))
                continue
            used.add(answer["KeyId"])
            opened = world.by(ADMIN).decrypt(CiphertextBlob=answer["CiphertextBlob"], KeyId=allows)
            assert opened["Plaintext"] == b"x"
    finally:
        stop.set()
        mover.join()
    assert used == {allows}
    assert {code for code, _ in refused} == {DENIED}
    if key_name == "kms:RequestAlias":
        assert all(refuses in message for _, message in refused)


def test_an_alias_that_has_moved_takes_the_right_with_it_at_once(world: Inside) -> None:
    named = closed(to(NOBODY, "kms:Encrypt", **{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/moving"}}))
    keys = [world.key(named) for _ in range(2)]
    admin = world.by(ADMIN)
    admin.create_alias(AliasName="alias/moving", TargetKeyId=keys[0])
    for turn in range(1, 20):
        assert [encrypt(world, NOBODY, key) for key in keys] == (["", DENIED] if turn % 2 else [DENIED, ""])
        admin.update_alias(AliasName="alias/moving", TargetKeyId=keys[turn % 2])
    admin.delete_alias(AliasName="alias/moving")
    assert [encrypt(world, NOBODY, key) for key in keys] == [DENIED, DENIED]


def test_a_name_by_which_the_request_does_not_go_is_not_its_alias(world: Inside) -> None:
    key = world.key(closed(to(NOBODY, "kms:Encrypt", StringEquals={"kms:RequestAlias": "alias/front"})))
    for name in ("alias/front", "alias/back"):
        world.by(ADMIN).create_alias(AliasName=name, TargetKeyId=key)
    place = key.rpartition(":")[0]
    found = {
        ref: encrypt(world, NOBODY, ref) for ref in (key, key.rpartition("/")[2], "alias/back", f"{place}:alias/back")
    }
    assert set(found.values()) == {DENIED}
    assert [encrypt(world, NOBODY, ref) for ref in ("alias/front", f"{place}:alias/front")] == ["", ""]


# -- names


def recreated(world: Inside, person: Person) -> Any:
    """The client of a new user of the same name."""
    iam = world.root("iam", person.account)
    iam.delete_access_key(UserName=person.name, AccessKeyId=person.access.key_id)
    iam.delete_user(UserName=person.name)
    iam.create_user(UserName=person.name)
    made = iam.create_access_key(UserName=person.name)["AccessKey"]
    return world.client("kms", Access(made["AccessKeyId"], made["SecretAccessKey"]))


def test_a_user_that_is_made_again_under_its_name_is_another(world: Inside) -> None:
    named, granted = world.key(naming(NOBODY)), world.key(CLOSED)
    admin = world.by(ADMIN)
    made = admin.create_grant(
        KeyId=granted, GranteePrincipal=NOBODY.arn, RetiringPrincipal=NOBODY.arn, Operations=["Encrypt"]
    )
    assert [encrypt(world, NOBODY, key) for key in (named, granted)] == ["", ""]
    again = recreated(world, NOBODY)
    assert [encrypt(world, NOBODY, key) for key in (named, granted)] == ["UnrecognizedClientException"] * 2
    for key in (named, granted):
        assert code_of(again.encrypt, KeyId=key, Plaintext=b"x") == DENIED
    assert code_of(again.retire_grant, KeyId=granted, GrantId=made["GrantId"]) == DENIED
    admin.put_key_policy(KeyId=named, Policy=naming(NOBODY))
    assert code_of(again.encrypt, KeyId=named, Plaintext=b"x") == ""


def test_a_user_that_is_renamed_stays_who_it_is_and_its_old_name_is_worth_nothing(world: Inside) -> None:
    named, granted, iam = world.key(naming(NOBODY)), world.key(CLOSED), world.root("iam")
    world.by(ADMIN).create_grant(KeyId=granted, GranteePrincipal=NOBODY.arn, Operations=["Encrypt"])
    iam.update_user(UserName=NOBODY.name, NewUserName="renamed", NewPath="/staff/")
    assert [encrypt(world, NOBODY, key) for key in (named, granted)] == ["", ""]
    iam.create_user(UserName=NOBODY.name)
    made = iam.create_access_key(UserName=NOBODY.name)["AccessKey"]
    other = world.client("kms", Access(made["AccessKeyId"], made["SecretAccessKey"]))
    for key in (named, granted):
        assert code_of(other.encrypt, KeyId=key, Plaintext=b"x") == DENIED


def test_a_deny_outlives_no_name_either(world: Inside) -> None:
    """A Deny for all but one user spares that user, not the next of its name."""
    spared = {
        "Effect": "Deny",
        "NotPrincipal": {"AWS": [NOBODY.arn, ADMIN.arn, f"arn:aws:iam::{ACCOUNT}:root"]},
        "Action": "kms:Encrypt",
        "Resource": "*",
    }
    everyone = allow("kms:*", Principal={"AWS": "*"}, Condition={"StringEquals": {"kms:CallerAccount": ACCOUNT}})
    key = world.key(closed(everyone, spared))
    assert encrypt(world, NOBODY, key) == ""
    assert encrypt(world, ABLE, key) == DENIED
    assert code_of(recreated(world, NOBODY).encrypt, KeyId=key, Plaintext=b"x") == DENIED


def test_names_that_differ_in_case_alone_are_not_given_out_and_not_taken_for_each_other(world: Inside) -> None:
    iam = world.root("iam")
    trust = document({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"})
    iam.create_role(RoleName="clerk", AssumeRolePolicyDocument=trust)
    assert code_of(iam.create_user, UserName="Nobody") == "EntityAlreadyExists"
    assert code_of(iam.create_role, RoleName="CLERK", AssumeRolePolicyDocument=trust) == "EntityAlreadyExists"
    role = f"arn:aws:iam::{ACCOUNT}:role/clerk"
    admin, key = world.by(ADMIN), world.key(CLOSED)
    for arn in (NOBODY.arn.replace("nobody", "Nobody"), role.replace("clerk", "Clerk"), NOBODY.arn.upper()):
        policy = closed(allow("kms:*", Principal={"AWS": arn}))
        assert outcome(admin, "PutKeyPolicy", KeyId=key, Policy=policy) == UNKNOWN_PRINCIPAL
        members = {"KeyId": key, "GranteePrincipal": arn, "Operations": ["Encrypt"]}
        told = ("InvalidArnException", f"ARN does not refer to a valid principal: {arn}")
        assert outcome(admin, "CreateGrant", **members) == told


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        (lambda key: allow("KMS:eNCRYPT", key), True),
        (lambda key: allow("kms:Encrypt", key.replace(":kms:", ":KMS:")), False),
        (lambda key: allow("kms:Encrypt", key.replace(":key/", ":Key/")), False),
        (lambda key: allow("kms:Encrypt", key.replace("us-east-1", "US-EAST-1")), False),
        (lambda key: allow("kms:Encrypt", f"{key}x"), False),
        (lambda key: allow("kms:Encrypt", "arn:aws:kms:*:*:key/*"), True),
    ],
)
def test_case_in_an_identity_policy(world: Inside, statement: Any, allowed: bool) -> None:
    """Actions compare without case; ARNs with it."""
    key = world.key(OPEN)
    policy = document(statement(key))
    world.root("iam").put_user_policy(UserName=NOBODY.name, PolicyName="p", PolicyDocument=policy)
    assert encrypt(world, NOBODY, key) == ("" if allowed else DENIED)


# -- policies that cannot be


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEqualz": {"kms:ViaService": "x"}},
        {"stringequals ": {"kms:ViaService": "x"}},
        {"ForSomeValues:StringEquals": {"aws:TagKeys": "x"}},
        {"StringEqualsIfExist": {"kms:ViaService": "x"}},
        {"NullIfExists": {"kms:ViaService": "true"}},
        {"": {"kms:ViaService": "x"}},
    ],
)
def test_an_unknown_condition_operator_is_refused_and_what_was_in_force_stays(
    world: Inside, condition: dict[str, Any]
) -> None:
    key, admin, iam = world.key(OPEN), world.by(ADMIN), world.root("iam")
    policy = closed(to(NOBODY, "kms:*", **condition))
    assert outcome(admin, "PutKeyPolicy", KeyId=key, Policy=policy)[0] == MALFORMED
    assert outcome(admin, "CreateKey", Policy=policy)[0] == MALFORMED
    assert outcome(admin, "PutKeyPolicy", KeyId=key, Policy=policy, BypassPolicyLockoutSafetyCheck=True)[0] == MALFORMED
    own = document(allow("kms:*", Condition=condition))
    members = {"UserName": NOBODY.name, "PolicyName": "p", "PolicyDocument": own}
    assert outcome(iam, "PutUserPolicy", **members)[0] == "MalformedPolicyDocument"
    assert iam.list_user_policies(UserName=NOBODY.name)["PolicyNames"] == []
    assert admin.get_key_policy(KeyId=key)["Policy"] == OPEN
    assert encrypt(world, NOBODY, key) == DENIED


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": f"arn:aws:iam::{ACCOUNT}:user/ghost"},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:role/nobody"},
        {"AWS": [NOBODY.arn, "arn:aws:iam::999999999999:root"]},
        {"AWS": "999999999999"},
        {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/ghost/session"},
        {"AWS": NOBODY.arn.replace("user/", "user/path/")},
    ],
)
@pytest.mark.parametrize("element", ["Principal", "NotPrincipal"])
def test_a_principal_that_is_not_there_is_refused(world: Inside, principal: dict[str, Any], element: str) -> None:
    effect = "Allow" if element == "Principal" else "Deny"
    policy = closed({"Effect": effect, element: principal, "Action": "kms:*", "Resource": "*"})
    admin, key = world.by(ADMIN), world.key(CLOSED)
    assert outcome(admin, "PutKeyPolicy", KeyId=key, Policy=policy) == UNKNOWN_PRINCIPAL
    assert outcome(admin, "CreateKey", Policy=policy) == UNKNOWN_PRINCIPAL
