# SPDX-License-Identifier: Apache-2.0
"""Request quotas over the wire: who exceeds his gets AWS's answer, SDKs back off from it, and nobody else notices."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from metrics import until
from processes import audit_records
from roles import ALICE, BOB
from servers import ACCOUNT, Access, Production, RefusedToStart, code_of, refused

MESSAGE = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
Start = Callable[..., Production]
_SEED = f"""
[[account]]
id = "444455556666"

[[user]]
name = "Alice"
access_key_id = "{ALICE.key_id}"
secret_access_key = "{ALICE.secret}"
policy = '{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"kms:*","Resource":"*"}}}}'

[[user]]
name = "Bob"
account = "444455556666"
access_key_id = "{BOB.key_id}"
secret_access_key = "{BOB.secret}"
policy = '{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"kms:*","Resource":"*"}}}}'
"""


def exhaust(call: Any, **arguments: Any) -> int:
    """Call until the quota is used up; how often it was answered."""
    for answered in range(1000):
        if code_of(call, **arguments) == "ThrottlingException":
            return answered
    raise AssertionError("there is no quota")


@pytest.fixture
def seeded(start: Start, tmp_path: Any) -> Start:
    seed = tmp_path / "seed.toml"
    seed.write_text(_SEED)
    return lambda *options: start("--seed", str(seed), *options)


def test_a_quota_is_the_accounts(seeded: Start) -> None:
    """All users of an account share it, whatever Region they name; other accounts do not notice."""
    server = seeded("--request-quota", "GenerateRandom=3/m")
    root, alice, bob = server.client(), server.client(access=ALICE), server.client(access=BOB)
    elsewhere = server.client(access=Access(server.root.key_id, server.root.secret, "eu-west-1"))
    assert exhaust(root.generate_random, NumberOfBytes=1) == 1
    for kms in (root, alice, elsewhere):
        with refused("ThrottlingException", MESSAGE):
            kms.generate_random(NumberOfBytes=1)
    assert exhaust(bob.generate_random, NumberOfBytes=1) == 1
    root.list_keys()  # another operation has another quota


def test_it_is_recorded_and_counted(start: Start) -> None:
    server = start("--request-quota", "GenerateRandom=1/m", "--metrics-port", "0")
    exhaust(server.client().generate_random, NumberOfBytes=1)
    record = audit_records(server.data)[-1]
    assert record["eventName"] == "GenerateRandom"
    assert (record["errorCode"], record["errorMessage"]) == ("ThrottlingException", MESSAGE)
    assert record["userIdentity"]["accountId"] == ACCOUNT
    until(server, lambda scrape: scrape.value("keyquorum_throttled_total", family="GenerateRandom") == 1)


def test_families_are_told_apart(start: Start) -> None:
    server = start("--request-quota", "all=off", "--request-quota", "rsa=1/m", "--request-quota", "ecc=1/m")
    kms = server.client()
    rsa = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    ecc = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    signing = {"Message": b"m", "SigningAlgorithm": "RSASSA_PSS_SHA_256"}
    assert exhaust(kms.sign, KeyId=rsa, **signing) == 1
    # The algorithm that was asked for counts, whether or not it goes with the key.
    assert code_of(kms.sign, KeyId=ecc, **signing) == "ThrottlingException"
    assert exhaust(kms.sign, KeyId=ecc, Message=b"m", SigningAlgorithm="ECDSA_SHA_256") == 1
    for _ in range(5):
        kms.encrypt(KeyId=key, Plaintext=b"x")
    assert code_of(kms.encrypt, KeyId=key, Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_1") == (
        "ThrottlingException"
    )


def test_refusals_count_and_come_first(start: Start) -> None:
    """What is malformed, or not allowed, uses up the quota as well; and the throttled learn nothing of a key."""
    server = start("--request-quota", "Encrypt=2/m", "--request-quota", "Decrypt=1/m")
    kms = server.client()
    with refused("NotFoundException", "Invalid keyId 'absent'"):
        kms.encrypt(KeyId="absent", Plaintext=b"x")
    with refused("ThrottlingException", MESSAGE):
        kms.encrypt(KeyId="absent", Plaintext=b"x")
    malformed = server.signed("Decrypt", {"CiphertextBlob": 7})
    assert malformed.fault == (400, "SerializationException")
    assert server.signed("Decrypt", {"CiphertextBlob": 7}).fault == (400, "ThrottlingException")


def test_strangers_use_up_nobodys_quota(start: Start) -> None:
    server = start("--request-quota", "GenerateRandom=1/m")
    forged = Access(server.root.key_id, "x" * 40)
    for _ in range(20):
        assert server.signed("GenerateRandom", {"NumberOfBytes": 1}, forged).fault == (400, "InvalidSignatureException")
    assert server.signed("GenerateRandom", {"NumberOfBytes": 1}).status == 200


def test_a_request_that_waits_for_a_thread_counts_once(start: Start) -> None:
    server = start("--request-quota", "CreateKey=4/s", "--request-quota", "DescribeKey=10/s")
    kms = server.client()
    made = [kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2)]
    for key_id in made:  # not in the cache yet, each is looked up in a thread
        for _ in range(4):
            kms.describe_key(KeyId=key_id)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["standard", "adaptive"])
def test_boto3_backs_off_and_succeeds(start: Start, mode: str) -> None:
    server = start("--request-quota", "GenerateRandom=4/s")
    kms = boto3.client(
        "kms",
        endpoint_url=server.url,
        aws_access_key_id=server.root.key_id,
        aws_secret_access_key=server.root.secret,
        region_name=server.root.region,
        config=Config(retries={"mode": mode, "total_max_attempts": 8}),
    )
    retried = 0
    for _ in range(10):
        retried += kms.generate_random(NumberOfBytes=1)["ResponseMetadata"]["RetryAttempts"]
    assert retried > 0
    codes = [
        record.get("errorCode") for record in audit_records(server.data) if record["eventName"] == "GenerateRandom"
    ]
    assert codes.count(None) == 10
    assert codes.count("ThrottlingException") == retried


@pytest.mark.slow
def test_the_processes_of_a_server_share_it(start: Start) -> None:
    server = start("--workers", "2", "--request-quota", "GenerateRandom=30/m")
    answered = 0
    for _ in range(30):  # each on a connection of its own, so that all workers have some
        answered += code_of(server.client().generate_random, NumberOfBytes=1) == ""
    # A second's worth at once is one here; what more there was came back meanwhile, half a request a second.
    assert 1 <= answered <= 15


def test_sts_and_iam_are_a_family(start: Start) -> None:
    server = start("--request-quota", "identities=1/m")
    server.client("sts").get_caller_identity()
    with pytest.raises(ClientError) as throttled:
        server.client("iam").list_users()
    assert throttled.value.response["Error"]["Code"] == "Throttling"  # as these services have it
    server.client().list_keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("elliptic=1/s", "'elliptic' is neither a family of operations"),
        ("rsa", "rsa must be like 100/s or 30/m"),
        ("rsa=0", "rsa must be like"),
        ("rsa=nan/s", "rsa must be like"),
        ("rsa=1/h", "rsa must be like"),
        ("rsa=99999999", "rsa must be like"),
        ("Encript=1/s", "there is no operation Encript"),
    ],
)
def test_nonsense_is_refused(start: Start, text: str, said: str) -> None:
    with pytest.raises(RefusedToStart, match=said):
        start("--request-quota", text)
