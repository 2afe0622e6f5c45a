# SPDX-License-Identifier: Apache-2.0
"""Multi-Region keys: what the Regions share and what each has of its own, and how such a key comes to its end."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.config import Config
from matrix import KINDS, Kind, call, cases, outcome
from servers import ACCOUNT, Access, Program, client, refused

from keyquorum.testing import Server

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
HERE, THERE, FAR = "us-east-1", "eu-west-1", "ap-south-1"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"


@pytest.fixture
def here(keyquorum: Server) -> Any:
    return keyquorum.client(region_name=HERE)


@pytest.fixture
def there(keyquorum: Server) -> Any:
    return keyquorum.client(region_name=THERE)


@pytest.fixture
def far(keyquorum: Server) -> Any:
    return keyquorum.client(region_name=FAR)


@pytest.fixture
def key(here: Any) -> Any:
    """A primary key without replicas."""
    return here.create_key(MultiRegion=True, Description="in many places")["KeyMetadata"]


def arn(key: Any, region: str) -> str:
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{key['KeyId']}"


def described(kms: Any, key: Any) -> dict[str, Any]:
    found: dict[str, Any] = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    return found


def configuration(key: Any, kind: str, primary: str, replicas: list[str]) -> dict[str, Any]:
    return {
        "MultiRegionKeyType": kind,
        "PrimaryKey": {"Arn": arn(key, primary), "Region": primary},
        "ReplicaKeys": [{"Arn": arn(key, region), "Region": region} for region in replicas],
    }


def state(kms: Any, key: Any) -> str:
    return str(described(kms, key)["KeyState"])


# -- replicas


def test_replicas_have_what_is_shared_and_their_own_of_the_rest(here: Any, there: Any, key: Any) -> None:
    answer = call(here, "ReplicateKey", KeyId=key["KeyId"], ReplicaRegion=THERE)
    assert set(answer) == {"ReplicaKeyMetadata", "ReplicaPolicy"}
    replica = described(there, key)
    for name in ("KeyId", "KeySpec", "KeyUsage", "Origin", "MultiRegion", "CurrentKeyMaterialId", "AWSAccountId"):
        assert replica[name] == key[name], name
    assert (replica["Arn"], replica["Description"]) == (arn(key, THERE), "")
    assert replica["MultiRegionConfiguration"] == configuration(key, "REPLICA", HERE, [THERE])
    assert answer["ReplicaKeyMetadata"]["MultiRegionConfiguration"] == replica["MultiRegionConfiguration"]
    assert answer["ReplicaPolicy"] == there.get_key_policy(KeyId=key["KeyId"])["Policy"]
    assert described(here, key)["MultiRegionConfiguration"] == configuration(key, "PRIMARY", HERE, [THERE])


def test_replicas_take_description_policy_and_tags(here: Any, there: Any, key: Any) -> None:
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"}],
        }
    )
    tags = [{"TagKey": "team", "TagValue": "orders"}]
    answer = here.replicate_key(
        KeyId=key["KeyId"], ReplicaRegion=THERE, Description="over there", Policy=policy, Tags=tags
    )
    assert (answer["ReplicaPolicy"], answer["ReplicaTags"]) == (policy, tags)
    assert described(there, key)["Description"] == "over there"
    assert there.list_resource_tags(KeyId=key["KeyId"])["Tags"] == tags
    assert here.list_resource_tags(KeyId=key["KeyId"])["Tags"] == []


def test_what_is_independent(here: Any, there: Any, key: Any) -> None:
    key_id = key["KeyId"]
    here.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "here"}])
    here.create_alias(AliasName="alias/it", TargetKeyId=key_id)
    here.create_grant(KeyId=key_id, GranteePrincipal=ROOT, Operations=["Encrypt"])
    here.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    assert there.list_resource_tags(KeyId=key_id)["Tags"] == []
    assert there.list_aliases(KeyId=key_id)["Aliases"] == []
    assert there.list_grants(KeyId=key_id)["Grants"] == []
    there.create_alias(AliasName="alias/it", TargetKeyId=key_id)
    assert there.describe_key(KeyId="alias/it")["KeyMetadata"]["Arn"] == arn(key, THERE)
    there.update_key_description(KeyId=key_id, Description="elsewhere")
    assert described(here, key)["Description"] == "in many places"
    there.disable_key(KeyId=key_id)
    assert (state(here, key), state(there, key)) == ("Enabled", "Disabled")
    here.encrypt(KeyId=key_id, Plaintext=b"x")
    assert here.get_key_last_usage(KeyId=key_id)["KeyLastUsage"]["Operation"] == "Encrypt"
    assert there.get_key_last_usage(KeyId=key_id)["KeyLastUsage"] == {}
    policy = json.loads(there.get_key_policy(KeyId=key_id)["Policy"])
    policy["Id"] = "another"
    there.put_key_policy(KeyId=key_id, Policy=json.dumps(policy))
    assert json.loads(here.get_key_policy(KeyId=key_id)["Policy"])["Id"] != "another"


def test_a_region_knows_its_own_keys_only(here: Any, there: Any, key: Any) -> None:
    with refused("NotFoundException", f"Key '{arn(key, THERE)}' does not exist"):
        there.describe_key(KeyId=key["KeyId"])
    with refused("NotFoundException", f"Invalid arn {HERE}"):
        there.describe_key(KeyId=key["Arn"])
    assert there.list_keys()["Keys"] == []
    here.replicate_key(KeyId=key["KeyId"], ReplicaRegion=THERE)
    assert there.list_keys()["Keys"] == [{"KeyId": key["KeyId"], "KeyArn": arn(key, THERE)}]


# -- one key, wherever it is used


def test_ciphertexts_are_of_every_region(here: Any, there: Any, far: Any, key: Any) -> None:
    for region in (THERE, FAR):
        here.replicate_key(KeyId=key["KeyId"], ReplicaRegion=region)
    context = {"tenant": "a"}
    for one, other in ((here, there), (there, far), (far, here)):
        blob = one.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
        for named in ({}, {"KeyId": key["KeyId"]}):
            decrypted = other.decrypt(CiphertextBlob=blob, EncryptionContext=context, **named)
            assert decrypted["Plaintext"] == b"x"
            assert decrypted["KeyId"] == arn(key, other.meta.region_name)
            assert decrypted["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    there.disable_key(KeyId=key["KeyId"])
    blob = here.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert outcome(there, "Decrypt", CiphertextBlob=blob) == (
        "DisabledException",
        f"{arn(key, THERE)} is disabled.",
    )
    assert far.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_ciphertexts_of_keys_of_one_region_are_not(here: Any, there: Any, key: Any) -> None:
    here.replicate_key(KeyId=key["KeyId"], ReplicaRegion=THERE)
    single = here.create_key()["KeyMetadata"]["KeyId"]
    blob = here.encrypt(KeyId=single, Plaintext=b"x")["CiphertextBlob"]
    assert outcome(there, "Decrypt", CiphertextBlob=blob)[0] == "AccessDeniedException"
    assert outcome(there, "Decrypt", CiphertextBlob=blob, KeyId=key["KeyId"])[0] == "IncorrectKeyException"


OTHER_KINDS = [k for k in KINDS if k.spec in ("RSA_2048", "ECC_NIST_P256", "HMAC_256", "ML_DSA_44", "ML_KEM_512")]


@cases([*OTHER_KINDS, Kind("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"), Kind("ECC_SECG_P256K1", "SIGN_VERIFY")])
def test_replicas_of_other_kinds(here: Any, there: Any, kind: Kind) -> None:
    made = here.create_key(KeySpec=kind.spec, KeyUsage=kind.usage, MultiRegion=True)["KeyMetadata"]
    key_id, algorithm = made["KeyId"], kind.algorithms[0]
    here.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    if kind.usage == "GENERATE_VERIFY_MAC":
        request = {"KeyId": key_id, "Message": b"x", "MacAlgorithm": algorithm}
        assert there.verify_mac(Mac=here.generate_mac(**request)["Mac"], **request)["MacValid"]
        return
    assert there.get_public_key(KeyId=key_id)["PublicKey"] == here.get_public_key(KeyId=key_id)["PublicKey"]
    if kind.usage == "SIGN_VERIFY":
        request = {"KeyId": key_id, "Message": b"x", "SigningAlgorithm": algorithm}
        assert there.verify(Signature=here.sign(**request)["Signature"], **request)["SignatureValid"]
    elif kind.usage == "ENCRYPT_DECRYPT":
        request = {"KeyId": key_id, "EncryptionAlgorithm": algorithm}
        blob = here.encrypt(Plaintext=b"x", **request)["CiphertextBlob"]
        assert there.decrypt(CiphertextBlob=blob, **request)["Plaintext"] == b"x"
    elif kind.usage == "ENCAPSULATE_DECAPSULATE":
        request = {"KeyId": key_id, "EncapsulationAlgorithm": algorithm}
        sent = here.encapsulate(**request)
        blob = sent["SharedSecretCiphertextBlob"]
        received = there.decapsulate(SharedSecretCiphertextBlob=blob, **request)
        assert received["SharedSecret"] == sent["SharedSecret"]


# -- rotation is shared


def test_rotation_is_the_primarys(keyquorum: Server, here: Any, there: Any, key: Any) -> None:
    key_id = key["KeyId"]
    old = here.encrypt(KeyId=key_id, Plaintext=b"old")["CiphertextBlob"]
    here.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    here.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    for operation in ("EnableKeyRotation", "DisableKeyRotation", "RotateKeyOnDemand"):
        told = ("UnsupportedOperationException", f"{arn(key, THERE)} is not a multi-region primary key.")
        assert outcome(there, operation, KeyId=key_id) == told
    status = call(here, "GetKeyRotationStatus", KeyId=key_id)
    assert status["RotationPeriodInDays"] == 90
    assert call(there, "GetKeyRotationStatus", KeyId=key_id) == {**status, "KeyId": arn(key, THERE)}
    here.rotate_key_on_demand(KeyId=key_id)
    keyquorum.advance(91 * DAY)
    one, two = (call(kms, "ListKeyRotations", KeyId=key_id)["Rotations"] for kms in (here, there))
    assert [entry["RotationType"] for entry in one] == ["ON_DEMAND", "AUTOMATIC"]
    assert two == [{**entry, "KeyId": arn(key, THERE)} for entry in one]
    current = described(here, key)["CurrentKeyMaterialId"]
    assert described(there, key)["CurrentKeyMaterialId"] == current == one[-1]["KeyMaterialId"]
    new = there.encrypt(KeyId=key_id, Plaintext=b"new")["CiphertextBlob"]
    assert here.decrypt(CiphertextBlob=new)["KeyMaterialId"] == current
    assert there.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"


def test_a_disabled_replica_does_not_keep_the_key_from_rotating(
    keyquorum: Server, here: Any, there: Any, key: Any
) -> None:
    here.replicate_key(KeyId=key["KeyId"], ReplicaRegion=THERE)
    there.disable_key(KeyId=key["KeyId"])
    here.enable_key_rotation(KeyId=key["KeyId"], RotationPeriodInDays=90)
    keyquorum.advance(91 * DAY)
    blob = here.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    there.enable_key(KeyId=key["KeyId"])
    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# -- another primary


@pytest.mark.slow
def test_the_primary_moves(keyquorum: Server, here: Any, there: Any, far: Any, key: Any) -> None:
    key_id = key["KeyId"]
    here.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    here.rotate_key_on_demand(KeyId=key_id)
    for region in (FAR, THERE):
        here.replicate_key(KeyId=key_id, ReplicaRegion=region)
    status = call(here, "GetKeyRotationStatus", KeyId=key_id)
    assert call(here, "UpdatePrimaryRegion", KeyId=key_id, PrimaryRegion=THERE) == {}
    replicas = [FAR, HERE]
    assert described(there, key)["MultiRegionConfiguration"] == configuration(key, "PRIMARY", THERE, replicas)
    for kms in (here, far):
        assert described(kms, key)["MultiRegionConfiguration"] == configuration(key, "REPLICA", THERE, replicas)
        assert state(kms, key) == "Enabled"
    assert call(there, "GetKeyRotationStatus", KeyId=key_id) == {**status, "KeyId": arn(key, THERE)}
    message = f"{arn(key, HERE)} is not a multi-region primary key."
    for operation, members in (
        ("ReplicateKey", {"ReplicaRegion": "sa-east-1"}),
        ("UpdatePrimaryRegion", {"PrimaryRegion": FAR}),
        ("RotateKeyOnDemand", {}),
    ):
        told = ("UnsupportedOperationException", message)
        assert outcome(here, operation, KeyId=key_id, **members) == told, operation
    keyquorum.advance(91 * DAY)
    assert len(there.list_key_rotations(KeyId=key_id)["Rotations"]) == 2
    for _ in range(24):  # the one from before the move is counted
        there.rotate_key_on_demand(KeyId=key_id)
    assert outcome(there, "RotateKeyOnDemand", KeyId=key_id)[0] == "LimitExceededException"


def test_regions_that_cannot_be_primary(here: Any, there: Any, key: Any) -> None:
    key_id = key["KeyId"]
    with refused("NotFoundException", f"Key '{arn(key, THERE)}' does not exist"):
        here.update_primary_region(KeyId=key_id, PrimaryRegion=THERE)
    code, _ = outcome(here, "UpdatePrimaryRegion", KeyId=key_id, PrimaryRegion=HERE)
    assert code == "UnsupportedOperationException"
    here.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    there.disable_key(KeyId=key_id)
    assert outcome(here, "UpdatePrimaryRegion", KeyId=key_id, PrimaryRegion=THERE) == (
        "DisabledException",
        f"{arn(key, THERE)} is disabled.",
    )
    there.schedule_key_deletion(KeyId=key_id)
    assert outcome(here, "UpdatePrimaryRegion", KeyId=key_id, PrimaryRegion=THERE) == (
        "KMSInvalidStateException",
        f"{arn(key, THERE)} is pending deletion.",
    )
    assert described(here, key)["MultiRegionConfiguration"] == configuration(key, "PRIMARY", HERE, [THERE])


# -- the end


def test_a_primary_and_two_replicas_end_in_the_right_order(
    keyquorum: Server, here: Any, there: Any, far: Any, key: Any
) -> None:
    key_id = key["KeyId"]
    blob = here.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    for region in (THERE, FAR):
        here.replicate_key(KeyId=key_id, ReplicaRegion=region)
    waiting = {"KeyId": key["Arn"], "KeyState": "PendingReplicaDeletion", "PendingWindowInDays": 10}
    assert call(here, "ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=10) == waiting
    primary = described(here, key)
    assert (primary["KeyState"], primary["PendingDeletionWindowInDays"]) == ("PendingReplicaDeletion", 10)
    assert (primary["Enabled"], "DeletionDate" in primary) == (False, False)
    message = f"{key['Arn']} is pending replica deletion."
    assert outcome(here, "Encrypt", KeyId=key_id, Plaintext=b"x") == ("KMSInvalidStateException", message)
    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    keyquorum.advance(60 * DAY)  # nothing happens to it by itself
    assert state(here, key) == "PendingReplicaDeletion"

    scheduled = call(there, "ScheduleKeyDeletion", KeyId=key_id, PendingWindowInDays=7)
    assert (scheduled["KeyState"], scheduled["KeyId"]) == ("PendingDeletion", arn(key, THERE))
    keyquorum.advance(7 * DAY)
    assert outcome(there, "DescribeKey", KeyId=key_id)[0] == "NotFoundException"
    assert state(here, key) == "PendingReplicaDeletion"
    assert described(here, key)["MultiRegionConfiguration"] == configuration(key, "PRIMARY", HERE, [FAR])

    far.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    keyquorum.advance(6 * DAY)
    assert state(here, key) == "PendingReplicaDeletion"  # the last replica is only scheduled
    keyquorum.advance(1 * DAY)
    last = described(here, key)
    assert (last["KeyState"], "PendingDeletionWindowInDays" in last) == ("PendingDeletion", False)
    assert abs(last["DeletionDate"] - key["CreationDate"] - (60 + 7 + 7 + 10) * DAY) < timedelta(minutes=1)
    keyquorum.advance(9 * DAY)
    assert state(here, key) == "PendingDeletion"
    keyquorum.advance(1 * DAY)
    assert outcome(here, "DescribeKey", KeyId=key_id) == ("NotFoundException", f"Key '{key['Arn']}' does not exist")
    assert outcome(here, "Decrypt", CiphertextBlob=blob)[0] == "AccessDeniedException"


def test_all_at_once_still_ends_in_order(keyquorum: Server, here: Any, there: Any, far: Any, key: Any) -> None:
    for region in (THERE, FAR):
        here.replicate_key(KeyId=key["KeyId"], ReplicaRegion=region)
    for kms in (here, there, far):
        kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    keyquorum.advance(8 * DAY)
    assert [outcome(kms, "DescribeKey", KeyId=key["KeyId"])[0] for kms in (there, far)] == ["NotFoundException"] * 2
    found = described(here, key)
    assert found["KeyState"] == "PendingDeletion"
    assert abs(found["DeletionDate"] - key["CreationDate"] - 14 * DAY) < timedelta(minutes=1)
    keyquorum.advance(7 * DAY)
    assert outcome(here, "DescribeKey", KeyId=key["KeyId"])[0] == "NotFoundException"


def test_a_deletion_that_waits_for_replicas_is_cancelled(keyquorum: Server, here: Any, there: Any, key: Any) -> None:
    key_id = key["KeyId"]
    here.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    here.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    assert call(here, "CancelKeyDeletion", KeyId=key_id) == {"KeyId": key["Arn"]}
    found = described(here, key)
    assert (found["KeyState"], "PendingDeletionWindowInDays" in found) == ("Disabled", False)
    there.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    keyquorum.advance(40 * DAY)
    assert state(here, key) == "Disabled"
    here.enable_key(KeyId=key_id)
    # The Region that lost its replica can have one again.
    here.replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    blob = here.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# -- what is refused


def test_replications_that_are_refused(keyquorum: Server, here: Any, there: Any, far: Any, key: Any) -> None:
    key_id = key["KeyId"]

    def told(**changes: Any) -> str:
        return outcome(here, "ReplicateKey", **{"KeyId": key_id, "ReplicaRegion": THERE, **changes})[0]

    assert told(ReplicaRegion=HERE) == "AlreadyExistsException"
    assert told(Policy="{") == "MalformedPolicyDocumentException"
    assert told(Tags=[{"TagKey": "a", "TagValue": "b"}] * 2) == "TagException"
    assert told(KeyId="0000abcd-12ab-34cd-56ef-1234567890ab") == "NotFoundException"
    assert outcome(there, "DescribeKey", KeyId=key_id)[0] == "NotFoundException"
    assert told() == ""
    assert told() == "AlreadyExistsException"
    message = f"{arn(key, THERE)} is not a multi-region primary key."
    assert outcome(there, "ReplicateKey", KeyId=key_id, ReplicaRegion=FAR) == ("UnsupportedOperationException", message)
    there.schedule_key_deletion(KeyId=key_id)
    assert told() == "AlreadyExistsException"
    here.disable_key(KeyId=key_id)
    assert told(ReplicaRegion=FAR) == "DisabledException"
    here.schedule_key_deletion(KeyId=key_id)
    assert told(ReplicaRegion=FAR) == "KMSInvalidStateException"
    unchecked = keyquorum.client(region_name=HERE, config=Config(parameter_validation=False))
    for region in ("nowhere", "", "US-EAST-1", "us-east-1a"):
        code, text = outcome(unchecked, "ReplicateKey", KeyId=key_id, ReplicaRegion=region)
        assert (code, "'replicaRegion' failed to satisfy constraint" in text) == ("ValidationException", True), region


def test_the_operator_restricts_the_regions(start_dev: Callable[..., Program]) -> None:
    server = start_dev("--regions", f"{HERE},{THERE}", "--quota", "keys_per_region=1")
    here, there, far = (client(server.url, "kms", Access("test", "test", region)) for region in (HERE, THERE, FAR))
    key_id = here.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    assert outcome(here, "ReplicateKey", KeyId=key_id, ReplicaRegion=FAR)[0] == "ValidationException"
    assert outcome(far, "ListKeys")[0] != ""
    there.create_key()
    assert outcome(here, "ReplicateKey", KeyId=key_id, ReplicaRegion=THERE)[0] == "LimitExceededException"
    assert outcome(here, "CreateKey")[0] == "LimitExceededException"


def test_aliases_do_not_name_the_key_here(here: Any, key: Any) -> None:
    here.create_alias(AliasName="alias/it", TargetKeyId=key["KeyId"])
    for operation, member in (("ReplicateKey", "ReplicaRegion"), ("UpdatePrimaryRegion", "PrimaryRegion")):
        told = outcome(here, operation, KeyId="alias/it", **{member: THERE})
        assert told[1] == "Key Aliases are not supported for this operation."
