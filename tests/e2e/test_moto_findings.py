# SPDX-License-Identifier: Apache-2.0
"""Where another server's test suite expects one thing and AWS KMS answers another: AWS's answer is ours.

docs/moto.md has the whole list; each test here is one of its reasons. The first two were found by that comparison.
"""

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from servers import REGION, Production, refused

pytestmark = pytest.mark.slow

CONSTRAINT = "1 validation error detected: Value{value} at '{member}' failed to satisfy constraint: {rule}"


@pytest.mark.parametrize(
    ("operation", "member", "others", "worded"),
    [
        (
            "generate_mac",
            "MacAlgorithm",
            {"Message": b"m"},
            "HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512",
        ),
        (
            "encrypt",
            "EncryptionAlgorithm",
            {"Plaintext": b"p"},
            "RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE, SYMMETRIC_DEFAULT",
        ),
    ],
)
def test_an_enum_is_worded_in_its_own_order(
    kms: Any, key: Any, operation: str, member: str, others: dict[str, Any], worded: str
) -> None:
    text = CONSTRAINT.format(
        value=" 'NONE'",
        member=member[0].lower() + member[1:],
        rule=f"Member must satisfy enum value set: [{worded}]",
    )
    with refused("ValidationException", text):
        getattr(kms, operation)(KeyId=key["KeyId"], **{member: "NONE"}, **others)


def test_a_public_key_of_another_curve_is_refused_without_a_text(kms: Any) -> None:
    mine = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]
    foreign = ec.generate_private_key(ec.SECP384R1()).public_key()
    public = foreign.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with refused("ValidationException"):
        kms.derive_shared_secret(KeyId=mine["KeyId"], KeyAgreementAlgorithm="ECDH", PublicKey=public)


def test_answers_name_a_key_by_its_arn(kms: Any) -> None:
    key = kms.create_key()["KeyMetadata"]
    mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=root(kms), Operations=["Decrypt"])
    assert [grant["KeyId"] for grant in kms.list_grants(KeyId=key["KeyId"])["Grants"]] == [key["Arn"]]
    assert kms.rotate_key_on_demand(KeyId=key["KeyId"])["KeyId"] == key["Arn"]
    assert kms.schedule_key_deletion(KeyId=key["KeyId"])["KeyId"] == key["Arn"]
    assert kms.cancel_key_deletion(KeyId=key["KeyId"])["KeyId"] == key["Arn"]
    made = kms.generate_mac(KeyId=mac["KeyId"], MacAlgorithm="HMAC_SHA_256", Message=b"m")
    assert made["KeyId"] == mac["Arn"]
    checked = kms.verify_mac(KeyId=mac["KeyId"], MacAlgorithm="HMAC_SHA_256", Message=b"m", Mac=made["Mac"])
    assert (checked["KeyId"], checked["MacValid"]) == (mac["Arn"], True)


def test_a_digest_is_signed_as_it_is_and_a_wrong_signature_is_an_error(kms: Any) -> None:
    key = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    algorithm = {"KeyId": key["KeyId"], "SigningAlgorithm": "RSASSA_PSS_SHA_384"}
    message = b"this works as well"
    digest = hashlib.sha384(message).digest()
    signature = kms.sign(Message=digest, MessageType="DIGEST", **algorithm)["Signature"]
    assert kms.verify(Message=message, Signature=signature, **algorithm)["SignatureValid"]
    for wrong in ({"Message": digest}, {"Message": hashlib.sha384(digest).digest(), "MessageType": "DIGEST"}):
        with refused("KMSInvalidSignatureException"):
            kms.verify(Signature=signature, **wrong, **algorithm)
    with refused("ValidationException", "Digest is invalid length for algorithm RSASSA_PSS_SHA_384."):
        kms.sign(Message=hashlib.sha256(message).digest(), MessageType="DIGEST", **algorithm)


def test_a_key_pending_deletion_takes_no_tags(kms: Any, key: Any) -> None:
    kms.schedule_key_deletion(KeyId=key["KeyId"])
    with refused("KMSInvalidStateException", f"{key['Arn']} is pending deletion."):
        kms.tag_resource(KeyId=key["KeyId"], Tags=[{"TagKey": "a", "TagValue": "b"}])


def test_a_key_that_did_not_encrypt_is_the_incorrect_key(kms: Any, key: Any) -> None:
    sealed = kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=b"p")["CiphertextBlob"]
    text = "The key ID in the request does not identify a CMK that can perform this operation."
    with refused("IncorrectKeyException", text):
        kms.decrypt(KeyId=key["KeyId"], CiphertextBlob=sealed)


def test_a_region_takes_one_replica(server: Production) -> None:
    kms = server.client()
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]
    replica = kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion="eu-west-1")["ReplicaKeyMetadata"]
    with pytest.raises(kms.exceptions.AlreadyExistsException):
        kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion="eu-west-1")
    configuration = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["MultiRegionConfiguration"]
    assert configuration["ReplicaKeys"] == [{"Arn": replica["Arn"], "Region": "eu-west-1"}]
    assert f":{REGION}:" in configuration["PrimaryKey"]["Arn"]


def test_a_policy_must_be_one(kms: Any) -> None:
    for text in ("my policy", "[]"):
        with pytest.raises(kms.exceptions.MalformedPolicyDocumentException):
            kms.create_key(Policy=text)


def root(kms: Any) -> str:
    account = kms.create_key()["KeyMetadata"]["AWSAccountId"]
    return f"arn:aws:iam::{account}:root"
