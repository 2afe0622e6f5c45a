# SPDX-License-Identifier: Apache-2.0
"""GetKeyLastUsage: which requests are a use, what is told of the last one, and that the audit log has it."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from matrix import call, outcome
from servers import Access, Production, refused

from keyquorum.testing import Server

pytestmark = pytest.mark.slow


def last(kms: Any, key: Any) -> dict[str, Any]:
    found: dict[str, Any] = call(kms, "GetKeyLastUsage", KeyId=key["KeyId"])["KeyLastUsage"]
    return found


def test_a_key_that_was_never_used(kms: Any, key: Any) -> None:
    assert call(kms, "GetKeyLastUsage", KeyId=key["KeyId"]) == {
        "KeyId": key["Arn"],
        "KeyLastUsage": {},
        "TrackingStartDate": key["CreationDate"],
        "KeyCreationDate": key["CreationDate"],
    }


def test_the_last_use_names_request_and_audit_record(server: Production, kms: Any, key: Any) -> None:
    answer = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    found = last(kms, key)
    assert set(found) == {"Operation", "Timestamp", "CloudTrailEventId", "KmsRequestId"}
    assert found["Operation"] == "Encrypt"
    assert found["KmsRequestId"] == answer["ResponseMetadata"]["RequestId"]
    assert timedelta(0) <= found["Timestamp"] - key["CreationDate"] < timedelta(minutes=1)
    files = (server.data / "audit").glob("[0-9]*.jsonl")
    records = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
    events = [record for record in records if found["CloudTrailEventId"] in json.dumps(record)]
    assert len(events) == 1
    assert (events[0].get("record") or events[0])["eventName"] == "Encrypt"


def test_what_is_no_use(kms: Any, key: Any) -> None:
    key_id = key["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    before = last(kms, key)
    kms.describe_key(KeyId=key_id)
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "b"}])
    kms.rotate_key_on_demand(KeyId=key_id)
    kms.get_key_rotation_status(KeyId=key_id)
    assert outcome(kms, "Decrypt", CiphertextBlob=blob, DryRun=True)[0] == "DryRunOperationException"
    assert outcome(kms, "Decrypt", CiphertextBlob=blob, EncryptionContext={"a": "b"})[0] == "InvalidCiphertextException"
    assert outcome(kms, "GenerateMac", KeyId=key_id, Message=b"x", MacAlgorithm="HMAC_SHA_256")[0] != ""
    kms.disable_key(KeyId=key_id)
    assert outcome(kms, "Encrypt", KeyId=key_id, Plaintext=b"x")[0] == "DisabledException"
    assert last(kms, key) == before
    signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    kms.get_public_key(KeyId=signing["KeyId"])
    request = {"KeyId": signing["KeyId"], "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}
    assert outcome(kms, "Verify", **request, Signature=b"x")[0] == "KMSInvalidSignatureException"
    assert last(kms, signing) == {}


def test_re_encryption_uses_two_keys(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    answer = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["KeyId"])
    one, two = last(kms, key), last(kms, other)
    assert one == two
    assert (one["Operation"], one["KmsRequestId"]) == ("ReEncrypt", answer["ResponseMetadata"]["RequestId"])


def test_it_is_the_last_one(kms: Any, key: Any) -> None:
    for n in range(20):
        answer = kms.encrypt(KeyId=key["KeyId"], Plaintext=bytes([n]))
    assert last(kms, key)["KmsRequestId"] == answer["ResponseMetadata"]["RequestId"]


def test_aliases_and_other_accounts(kms: Any, bob: Any, key: Any) -> None:
    kms.create_alias(AliasName="alias/last", TargetKeyId=key["KeyId"])
    with refused("InvalidArnException", "Key Aliases are not supported for this operation."):
        kms.get_key_last_usage(KeyId="alias/last")
    assert outcome(bob, "GetKeyLastUsage", KeyId=key["Arn"])[0] == "AccessDeniedException"


def test_it_goes_by_the_servers_clock(keyquorum: Server) -> None:
    kms = keyquorum.client()
    key = kms.create_key()["KeyMetadata"]
    keyquorum.advance(timedelta(days=3))
    kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    assert abs(last(kms, key)["Timestamp"] - key["CreationDate"] - timedelta(days=3)) < timedelta(minutes=1)


def test_each_region_has_its_own(server: Production, kms: Any) -> None:
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]
    kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion="eu-west-1")
    there = server.client(access=Access(server.root.key_id, server.root.secret, "eu-west-1"))
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    assert last(there, key) == {}
    there.decrypt(CiphertextBlob=blob)
    assert (last(kms, key)["Operation"], last(there, key)["Operation"]) == ("Encrypt", "Decrypt")


@pytest.mark.slow
def test_it_outlives_the_process_and_is_seen_by_others(start: Callable[..., Production]) -> None:
    server = start()
    kms = server.client()
    key = kms.create_key()["KeyMetadata"]
    kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    before = last(kms, key)
    assert before["Operation"] == "Encrypt"
    kms.decrypt(CiphertextBlob=kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"])
    server.stop()  # what was noted a moment ago is written at the end
    assert last(start().client(), key)["Operation"] == "Decrypt"
