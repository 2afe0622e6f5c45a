# SPDX-License-Identifier: Apache-2.0
"""Keys, aliases, tags and policies through boto3: what AWS's clients and their infrastructure tools rely on."""

import json
from typing import Any

import pytest
from servers import ACCOUNT, REGION, Access, Production, code_of, refused

PREFIX = f"arn:aws:kms:{REGION}:{ACCOUNT}:"
ABSENT = "0000abcd-12ab-34cd-56ef-1234567890ab"
ALIASES_REFUSED = "Key Aliases are not supported for this operation."


def violation(value: str, member: str, words: str) -> str:
    return f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {words}"


def every(call: Any, result: str, **arguments: Any) -> tuple[list[Any], int]:
    """All items of a list, page by page, and how many pages that took."""
    items: list[Any] = []
    pages = 0
    marker: dict[str, str] = {}
    while True:
        page = call(**arguments, **marker)
        items += page[result]
        pages += 1
        assert page["Truncated"] == ("NextMarker" in page)
        if not page["Truncated"]:
            return items, pages
        marker = {"Marker": page["NextMarker"]}


# -- keys


def test_key_metadata_has_every_member(kms: Any) -> None:
    created = kms.create_key(Description="for orders")["KeyMetadata"]
    key_id = created["KeyId"]
    material_id, date = created.pop("CurrentKeyMaterialId"), created.pop("CreationDate")
    assert created == {
        "AWSAccountId": ACCOUNT,
        "KeyId": key_id,
        "Arn": f"{PREFIX}key/{key_id}",
        "Enabled": True,
        "Description": "for orders",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }
    assert (len(material_id), set(material_id) <= set("0123456789abcdef")) == (64, True)
    described = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    assert described == {**created, "CurrentKeyMaterialId": material_id, "CreationDate": date}
    assert kms.create_key()["KeyMetadata"]["Description"] == ""


def test_create_key_takes_tags_policy_usage_and_spec(kms: Any) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }
    tags = [{"TagKey": "team", "TagValue": "orders"}, {"TagKey": "empty", "TagValue": ""}]
    key_id = kms.create_key(
        Policy=json.dumps(policy),
        Tags=tags,
        KeyUsage="ENCRYPT_DECRYPT",
        Origin="AWS_KMS",
        CustomerMasterKeySpec="SYMMETRIC_DEFAULT",
        MultiRegion=False,
    )["KeyMetadata"]["KeyId"]
    assert sorted(kms.list_resource_tags(KeyId=key_id)["Tags"], key=str) == sorted(tags, key=str)
    assert json.loads(kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]) == policy
    assert kms.list_key_policies(KeyId=key_id)["PolicyNames"] == ["default"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            {"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"},
            "ValidationException",
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
            "CustomerMasterKeySpec is deprecated.",
        ),
        (
            {"KeyUsage": "SIGN_VERIFY"},
            "ValidationException",
            "KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT",
        ),
        (
            {"KeyUsage": "SIGN"},
            "ValidationException",
            violation(
                "SIGN",
                "keyUsage",
                "Member must satisfy enum value set: "
                "[SIGN_VERIFY, ENCRYPT_DECRYPT, GENERATE_VERIFY_MAC, KEY_AGREEMENT, ENCAPSULATE_DECAPSULATE]",
            ),
        ),
        ({"Tags": [{"TagKey": "a", "TagValue": "1"}] * 2}, "TagException", "Duplicate tag keys"),
        (
            {"Tags": [{"TagKey": "aWs:x", "TagValue": ""}]},
            "TagException",
            "Tags beginning with aws: are reserved",
        ),
        (
            {"Tags": [{"TagKey": f"t{n}", "TagValue": ""} for n in range(51)]},
            "TagException",
            "Too many tags",
        ),
    ],
)
def test_create_key_refuses(kms: Any, arguments: Any, code: str, message: str) -> None:
    before, _ = every(kms.list_keys, "Keys")
    with refused(code, message):
        kms.create_key(**arguments)
    assert every(kms.list_keys, "Keys")[0] == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"Origin": "AWS_CLOUDHSM"}, "Origin AWS_CLOUDHSM is not supported yet."),
        ({"Origin": "EXTERNAL_KEY_STORE"}, "Origin EXTERNAL_KEY_STORE is not supported yet."),
        ({"CustomKeyStoreId": "cks-1234567890abcdef0"}, "Custom key stores are not supported yet."),
        ({"XksKeyId": "1"}, "Custom key stores are not supported yet."),
    ],
)
def test_what_is_not_there_yet_is_refused_and_not_something_else(kms: Any, arguments: Any, message: str) -> None:
    with refused("UnsupportedOperationException", message):
        kms.create_key(**arguments)


def test_key_states_and_what_they_refuse(kms: Any, key: Any) -> None:
    key_id, arn = key["KeyId"], key["Arn"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key_id)
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Enabled"] is False
    users = (
        (kms.encrypt, {"KeyId": key_id, "Plaintext": b"x"}),
        (kms.decrypt, {"CiphertextBlob": blob}),
        (kms.decrypt, {"CiphertextBlob": blob, "KeyId": key_id}),
        (kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": key_id}),
        (kms.generate_data_key, {"KeyId": key_id, "KeySpec": "AES_256"}),
        (kms.generate_data_key_without_plaintext, {"KeyId": key_id, "KeySpec": "AES_256"}),
    )
    for call, arguments in users:
        with refused("DisabledException", f"{arn} is disabled."):
            call(**arguments)
    kms.enable_key(KeyId=arn)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"

    scheduled = kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    assert (scheduled["KeyId"], scheduled["KeyState"], scheduled["PendingWindowInDays"]) == (arn, "PendingDeletion", 7)
    metadata = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    assert metadata["DeletionDate"] == scheduled["DeletionDate"]
    assert (metadata["KeyState"], metadata["Enabled"]) == ("PendingDeletion", False)
    for call, arguments in (
        *users,
        (kms.enable_key, {"KeyId": key_id}),
        (kms.disable_key, {"KeyId": key_id}),
        (kms.schedule_key_deletion, {"KeyId": key_id}),
        (kms.update_key_description, {"KeyId": key_id, "Description": "late"}),
        (kms.tag_resource, {"KeyId": key_id, "Tags": [{"TagKey": "a", "TagValue": "b"}]}),
        (kms.create_alias, {"AliasName": "alias/late", "TargetKeyId": key_id}),
    ):
        with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
            call(**arguments)
    assert kms.cancel_key_deletion(KeyId=key_id)["KeyId"] == arn
    metadata = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    assert (metadata["KeyState"], "DeletionDate" in metadata) == ("Disabled", False)


@pytest.mark.parametrize(
    ("sent", "days"), [({}, 30), ({"PendingWindowInDays": 30}, 30), ({"PendingWindowInDays": 7}, 7)]
)
def test_deletion_is_as_many_days_away_as_asked_for(kms: Any, key: Any, sent: Any, days: int) -> None:
    scheduled = kms.schedule_key_deletion(KeyId=key["KeyId"], **sent)
    assert scheduled["PendingWindowInDays"] == days
    assert days <= (scheduled["DeletionDate"] - key["CreationDate"]).total_seconds() / 86_400 < days + 0.01


@pytest.mark.parametrize("days", [1, 6, 31, 365])
def test_deletion_windows_beyond_the_bounds_are_refused(kms: Any, key: Any, days: int) -> None:
    with refused("ValidationException", "PendingWindowInDays must be between 7 and 30"):
        kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=days)
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled"


def test_update_key_description(kms: Any, key: Any) -> None:
    kms.update_key_description(KeyId=key["Arn"], Description="ключ: 🔑")
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == "ключ: 🔑"
    kms.update_key_description(KeyId=key["KeyId"], Description="")
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == ""
    long = "x" * 8193
    with refused(
        "ValidationException",
        violation(long, "description", "Member must have length less than or equal to 8192"),
    ):
        kms.update_key_description(KeyId=key["KeyId"], Description=long)


def test_list_keys_pages_through_all_of_them_once(kms: Any, server: Production) -> None:
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(7)}
    listed, pages = every(kms.list_keys, "Keys", Limit=3)
    ids = [entry["KeyId"] for entry in listed]
    assert made <= set(ids)
    assert len(ids) == len(set(ids))
    assert pages == -(-len(ids) // 3)
    assert all(entry["KeyArn"] == f"{PREFIX}key/{entry['KeyId']}" for entry in listed)
    assert every(kms.list_keys, "Keys") == (listed, 1)
    marker = kms.list_keys(Limit=3)["NextMarker"]
    for wrong in ("nonsense", marker[:-2] + "AA", marker + "A"):
        assert code_of(kms.list_keys, Marker=wrong) == "InvalidMarkerException"
    # A marker of one list is none of another's.
    assert code_of(kms.list_aliases, Marker=marker) == "InvalidMarkerException"
    elsewhere = server.client(access=Access(server.root.key_id, server.root.secret, "eu-west-1"))
    assert code_of(elsewhere.list_keys, Marker=marker) == "InvalidMarkerException"
    with refused(
        "ValidationException", violation("1001", "limit", "Member must have value less than or equal to 1000")
    ):
        kms.list_keys(Limit=1001)


# -- how keys are named


def test_key_only_operations_refuse_aliases_before_they_look_them_up(kms: Any) -> None:
    tags = [{"TagKey": "a", "TagValue": "b"}]
    calls: tuple[tuple[Any, dict[str, Any]], ...] = (
        (kms.schedule_key_deletion, {}),
        (kms.cancel_key_deletion, {}),
        (kms.enable_key, {}),
        (kms.disable_key, {}),
        (kms.update_key_description, {"Description": ""}),
        (kms.tag_resource, {"Tags": tags}),
        (kms.untag_resource, {"TagKeys": ["a"]}),
        (kms.list_resource_tags, {}),
        (kms.get_key_policy, {}),
        (kms.put_key_policy, {"Policy": "{}"}),
        (kms.list_key_policies, {}),
    )
    for call, arguments in calls:
        for alias in ("alias/no-such", f"{PREFIX}alias/no-such"):
            with refused("InvalidArnException", ALIASES_REFUSED):
                call(KeyId=alias, **arguments)


@pytest.mark.parametrize(
    ("key_id", "message"),
    [
        (ABSENT, f"Key '{PREFIX}key/{ABSENT}' does not exist"),
        (f"{PREFIX}key/{ABSENT}", f"Key '{PREFIX}key/{ABSENT}' does not exist"),
        ("foo", "Invalid keyId 'foo'"),
        ("1234abcd12ab34cd56ef1234567890ab", "Invalid keyId '1234abcd12ab34cd56ef1234567890ab'"),
        (f"{PREFIX}key/foo", "Invalid keyId foo"),
        ("mrk-" + "0" * 32, f"Key '{PREFIX}key/mrk-{'0' * 32}' does not exist"),
        (ABSENT.upper(), f"Key '{PREFIX}key/{ABSENT.upper()}' does not exist"),
        (f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{ABSENT}", "Invalid arn eu-west-1"),
        (f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/x", "Invalid arn eu-west-1"),
        ("alias/absent", f"Alias {PREFIX}alias/absent is not found."),
        (f"{PREFIX}alias/absent", f"Alias {PREFIX}alias/absent is not found."),
        ("alias/aws/s3", f"Alias {PREFIX}alias/aws/s3 is not found."),
    ],
)
def test_keys_that_are_not_there(kms: Any, key_id: str, message: str) -> None:
    with refused("NotFoundException", message):
        kms.describe_key(KeyId=key_id)
    with refused("NotFoundException", message):
        kms.encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_malformed_arn(kms: Any) -> None:
    with refused("InvalidArnException", "Invalid arn arn:aws:kms:nowhere"):
        kms.describe_key(KeyId="arn:aws:kms:nowhere")
    # Encrypt does not declare InvalidArnException.
    with refused("NotFoundException", "Invalid arn arn:aws:kms:nowhere"):
        kms.encrypt(KeyId="arn:aws:kms:nowhere", Plaintext=b"x")


def test_key_ids_that_the_model_refuses(kms: Any) -> None:
    pattern = r"Member must satisfy regular expression pattern: ^\p{ASCII}+$"
    with refused("ValidationException", violation("キー", "keyId", pattern)):
        kms.describe_key(KeyId="キー")


def test_regions_do_not_see_each_others_keys(server: Production, kms: Any, key: Any) -> None:
    elsewhere = server.client(access=Access(server.root.key_id, server.root.secret, "eu-west-1"))
    arn = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{key['KeyId']}"
    with refused("NotFoundException", f"Key '{arn}' does not exist"):
        elsewhere.describe_key(KeyId=key["KeyId"])
    with refused("NotFoundException", f"Invalid arn {REGION}"):
        elsewhere.describe_key(KeyId=key["Arn"])
    made = elsewhere.create_key()["KeyMetadata"]
    assert made["Arn"] == f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/{made['KeyId']}"
    assert [entry["KeyId"] for entry in elsewhere.list_keys()["Keys"]] == [made["KeyId"]]
    assert made["KeyId"] not in {entry["KeyId"] for entry in every(kms.list_keys, "Keys")[0]}


def test_another_accounts_key_looks_like_an_absent_one(kms: Any, bob: Any, alice: Any, key: Any) -> None:
    kms.create_alias(AliasName="alias/private", TargetKeyId=key["KeyId"])
    sentence = (
        "User: arn:aws:iam::444455556666:user/Bob is not authorized to perform: kms:{} on this resource because the "
        "resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy "
        "explicitly denies access"
    )
    for foreign in (key["Arn"], f"{PREFIX}key/{ABSENT}", f"{PREFIX}alias/private", f"{PREFIX}alias/absent"):
        with refused("AccessDeniedException", sentence.format("Encrypt")):
            bob.encrypt(KeyId=foreign, Plaintext=b"x")
    for foreign in (key["Arn"], f"{PREFIX}key/{ABSENT}"):
        with refused("AccessDeniedException", sentence.format("DisableKey")):
            bob.disable_key(KeyId=foreign)
        with refused("AccessDeniedException", sentence.format("ScheduleKeyDeletion")):
            bob.schedule_key_deletion(KeyId=foreign)
    # A bare key ID means the caller's own account, where there is no such key.
    own = f"arn:aws:kms:{REGION}:444455556666:key/{key['KeyId']}"
    with refused("NotFoundException", f"Key '{own}' does not exist"):
        bob.describe_key(KeyId=key["KeyId"])
    assert bob.list_keys()["Keys"] == []
    assert bob.list_aliases()["Aliases"] == []
    # Alice is of the key's account.
    assert alice.describe_key(KeyId="alias/private")["KeyMetadata"]["KeyState"] == "Enabled"


# -- operations that are known and not there yet, and unknown ones


def test_known_operations_that_are_not_there_yet_say_so(kms: Any) -> None:
    for operation, call in {
        "DescribeCustomKeyStores": kms.describe_custom_key_stores,
        "CreateCustomKeyStore": lambda: kms.create_custom_key_store(CustomKeyStoreName="mine"),
        "ConnectCustomKeyStore": lambda: kms.connect_custom_key_store(CustomKeyStoreId="cks-1"),
    }.items():
        with refused("UnsupportedOperationException", f"{operation} is not supported yet."):
            call()


def test_operations_for_other_kinds_of_keys_say_so(kms: Any, key: Any) -> None:
    usage = f"{key['Arn']} key usage is ENCRYPT_DECRYPT which is not valid for"
    with refused("InvalidKeyUsageException", f"{usage} Sign."):
        kms.sign(KeyId=key["KeyId"], Message=b"m", SigningAlgorithm="ECDSA_SHA_256")
    with refused("InvalidKeyUsageException", f"{usage} GenerateMac."):
        kms.generate_mac(KeyId=key["KeyId"], Message=b"m", MacAlgorithm="HMAC_SHA_256")


def test_get_caller_identity(server: Production, alice: Any) -> None:
    identity = server.client("sts").get_caller_identity()
    del identity["ResponseMetadata"]
    assert identity == {"Arn": f"arn:aws:iam::{ACCOUNT}:root", "UserId": ACCOUNT, "Account": ACCOUNT}
