# SPDX-License-Identifier: Apache-2.0
"""What each family of operations refuses by itself, and the details that are easily got wrong."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from direct import ACCOUNT, REGION, Direct, development

from keyquorum import api
from keyquorum.arns import ArnLayout
from keyquorum.errors import TagException
from keyquorum.ops import registry
from keyquorum.ops.operation import Call, Services
from keyquorum.ops.rules import merged_tags
from keyquorum.quotas import Quotas

ABSENT = "1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.fixture
def kms() -> Iterator[Direct]:
    with development() as direct:
        yield direct


def tags(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"TagKey": key, "TagValue": value} for key, value in pairs]


# -- all of them


def test_every_operation_is_one_of_the_api() -> None:
    assert set(registry.KMS) <= set(api.OPERATIONS)
    assert all(name == operation.name for name, operation in registry.KMS.items())


@pytest.mark.parametrize("name", sorted(set(api.OPERATIONS) - set(registry.KMS)))
def test_what_is_not_there_yet_says_so(kms: Direct, name: str) -> None:
    told = kms(name)
    assert (told.code, told.message) == ("UnsupportedOperationException", f"{name} is not supported yet.")


def test_an_operation_that_is_not_marked_as_changing_something_cannot(kms: Direct) -> None:
    call = Call(None, None, 0.0, "id", may_wait=True)  # type: ignore[arg-type]  # neither is reached
    with pytest.raises(RuntimeError):
        call.write()


MESSAGE = {"Message": b"m"}
SIGN = {**MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}
MAC = {**MESSAGE, "MacAlgorithm": "HMAC_SHA_256"}
PAIR = {"KeyPairSpec": "ECC_NIST_P256"}
ME = f"arn:aws:iam::{ACCOUNT}:root"
ECC = {"KeySpec": "ECC_NIST_P256"}
KEM = {"KeySpec": "ML_KEM_512", "KeyUsage": "ENCAPSULATE_DECAPSULATE"}

# Operation -> the key that it is for, and its members; a text between angle brackets is what ``made`` holds by then.
DRY: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "Encrypt": ({}, {"Plaintext": b"x"}),
    "Decrypt": ({}, {"CiphertextBlob": "<ciphertext>"}),
    "ReEncrypt": ({}, {"CiphertextBlob": "<ciphertext>", "DestinationKeyId": "<key>"}),
    "GenerateDataKey": ({}, {"KeySpec": "AES_256"}),
    "GenerateDataKeyWithoutPlaintext": ({}, {"KeySpec": "AES_256"}),
    "GenerateDataKeyPair": ({}, PAIR),
    "GenerateDataKeyPairWithoutPlaintext": ({}, PAIR),
    "Sign": ({**ECC, "KeyUsage": "SIGN_VERIFY"}, SIGN),
    "Verify": ({**ECC, "KeyUsage": "SIGN_VERIFY"}, {**SIGN, "Signature": "<signature>"}),
    "GenerateMac": ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, MAC),
    "VerifyMac": ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, {**MAC, "Mac": "<mac>"}),
    "DeriveSharedSecret": (
        {**ECC, "KeyUsage": "KEY_AGREEMENT"},
        {"KeyAgreementAlgorithm": "ECDH", "PublicKey": "<public>"},
    ),
    "Encapsulate": (KEM, {"EncapsulationAlgorithm": "ML_KEM"}),
    "Decapsulate": (KEM, {"EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": "<encapsulated>"}),
    "CreateGrant": ({}, {"GranteePrincipal": ME, "Operations": ["Decrypt"]}),
    "RetireGrant": ({}, {"GrantId": "<grant>"}),
    "RevokeGrant": ({}, {"GrantId": "<grant>"}),
}
WHATEVER_THE_STATE = {"RetireGrant", "RevokeGrant"}


def answered(kms: Direct, operation: str, **members: Any) -> dict[str, Any]:
    told = kms(operation, **members)
    assert told.code is None, (operation, told.code, told.message)
    return told.body


def made(kms: Direct, operation: str, key_id: str) -> dict[str, Any]:
    """What the operation takes that another has made."""
    if operation in ("Decrypt", "ReEncrypt"):
        return {"<ciphertext>": answered(kms, "Encrypt", KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]}
    if operation == "Verify":
        return {"<signature>": answered(kms, "Sign", KeyId=key_id, **SIGN)["Signature"]}
    if operation == "VerifyMac":
        return {"<mac>": answered(kms, "GenerateMac", KeyId=key_id, **MAC)["Mac"]}
    if operation == "DeriveSharedSecret":
        return {"<public>": answered(kms, "GetPublicKey", KeyId=key_id)["PublicKey"]}
    if operation == "Decapsulate":
        told = answered(kms, "Encapsulate", KeyId=key_id, EncapsulationAlgorithm="ML_KEM")
        return {"<encapsulated>": told["SharedSecretCiphertextBlob"]}
    if operation in ("RetireGrant", "RevokeGrant"):
        grant = answered(kms, "CreateGrant", KeyId=key_id, GranteePrincipal=ME, Operations=["Decrypt"])
        return {"<grant>": grant["GrantId"]}
    return {}


@pytest.mark.parametrize(
    "name", [n for n, shape in api.OPERATIONS.items() if "dry_run" in shape.request.__struct_fields__]
)
def test_a_dry_run_does_nothing(kms: Direct, name: str) -> None:
    spec, wanted = DRY[name]
    key_id = kms.key(**spec)
    known = {"<key>": key_id, **made(kms, name, key_id)}
    members = {k: known.get(v, v) if isinstance(v, str) else v for k, v in wanted.items()}
    if name != "ReEncrypt":
        members["KeyId"] = key_id
    grants = answered(kms, "ListGrants", KeyId=key_id)["Grants"]
    told = kms(name, DryRun=True, **members)
    assert (told.code, told.message) == (
        "DryRunOperationException",
        "The request would have succeeded, but the DryRun option is set.",
    )
    assert set(told.body) == {"__type", "message"}
    assert answered(kms, "ListGrants", KeyId=key_id)["Grants"] == grants
    answered(kms, "DisableKey", KeyId=key_id)
    if name in WHATEVER_THE_STATE:
        answered(kms, name, **members)
        assert answered(kms, "ListGrants", KeyId=key_id)["Grants"] == []
    else:
        assert kms(name, DryRun=True, **members).code == "DisabledException"


# -- keys


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"KeySpec": "SYMMETRIC_DEFAULT", "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT"}, "ValidationException"),
        ({"KeyUsage": "SIGN_VERIFY"}, "ValidationException"),
        ({"KeySpec": "SM2"}, "UnsupportedOperationException"),
        ({"Origin": "AWS_CLOUDHSM"}, "UnsupportedOperationException"),
        ({"CustomKeyStoreId": "cks-1"}, "UnsupportedOperationException"),
        ({"Policy": "{}"}, "MalformedPolicyDocumentException"),
        ({"Tags": tags(("a", "1"), ("a", "2"))}, "TagException"),
        ({"Tags": tags(("aws:a", "1"))}, "TagException"),
        ({"Tags": tags(("_custom_id_", "a b"))}, "ValidationException"),
        ({"Tags": tags(("_custom_key_material_", "AAAA"))}, "ValidationException"),
        ({"Tags": tags(("_custom_key_material_", "not base64"))}, "ValidationException"),
    ],
)
def test_a_key_that_is_not_made(kms: Direct, members: dict[str, Any], code: str) -> None:
    assert kms("CreateKey", **members).code == code
    assert kms("ListKeys").body["Keys"] == []


def test_the_emulators_tags_choose_and_are_not_kept(kms: Direct) -> None:
    material = base64.b64encode(b"m" * 32).decode()
    chosen = tags(("_custom_id_", "my-key"), ("_custom_key_material_", material), ("env", "test"))
    assert kms.key(Tags=chosen) == "my-key"
    assert kms("ListResourceTags", KeyId="my-key").body["Tags"] == tags(("env", "test"))
    assert kms("CreateKey", Tags=tags(("_custom_id_", "my-key"))).code == "AlreadyExistsException"


# -- tags


def merged(present: dict[str, str], *new: tuple[str, str], **quotas: int) -> dict[str, str]:
    services = Services(None, None, None, None, ArnLayout("aws"), Quotas(**quotas))  # type: ignore[arg-type]  # not reached
    call = Call(services, None, 0.0, "id", may_wait=True)  # type: ignore[arg-type]  # nor is a caller
    return merged_tags(call, present, [api.Tag(tag_key=key, tag_value=value) for key, value in new])


def test_tags_are_added_and_replaced() -> None:
    assert merged({"a": "1", "b": "1"}, ("a", "2"), ("A", "")) == {"a": "2", "b": "1", "A": ""}


@pytest.mark.parametrize("name", ["aws:x", "AWS:x", "aWs:"])
def test_awss_own_tags_are_reserved(name: str) -> None:
    with pytest.raises(TagException, match="Tags beginning with aws: are reserved"):
        merged({}, (name, ""))


def test_a_key_has_at_most_fifty_tags_or_what_the_quota_says() -> None:
    present = {str(n): "" for n in range(50)}
    assert len(merged(present, ("7", "new"))) == 50
    with pytest.raises(TagException, match="Too many tags"):
        merged(present, ("new", ""))
    assert len(merged(present, ("new", ""), tags_per_key=51)) == 51


def test_tags_come_in_pages_and_an_unknown_one_is_untagged_in_silence(kms: Direct) -> None:
    key_id = kms.key(Tags=tags(*[(f"t{n:02}", "v") for n in range(7)]))
    assert kms("UntagResource", KeyId=key_id, TagKeys=["absent", "t03"]).code is None
    seen: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = kms("ListResourceTags", KeyId=key_id, Limit=4, **marker).body
        seen += [tag["TagKey"] for tag in page["Tags"]]
        if not page["Truncated"]:
            break
        marker = {"Marker": page["NextMarker"]}
    assert seen == ["t00", "t01", "t02", "t04", "t05", "t06"]
    other = kms.key()
    assert kms("ListResourceTags", KeyId=other, **marker).code == "InvalidMarkerException"


# -- aliases


@pytest.mark.parametrize("operation", ["CreateAlias", "UpdateAlias", "DeleteAlias"])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("app", "ValidationException"),
        ("Alias/app", "ValidationException"),
        ("alias/aws/s3", "NotAuthorizedException"),
        ("alias/aws", "NotAuthorizedException"),
        ("alias/a b", "ValidationException"),
        ("alias/", "ValidationException"),
        ("alias/a:b", "ValidationException"),
    ],
)
def test_a_name_that_is_no_alias(kms: Direct, operation: str, name: str, code: str) -> None:
    target = {} if operation == "DeleteAlias" else {"TargetKeyId": kms.key()}
    assert kms(operation, AliasName=name, **target).code == code


def test_an_alias_that_only_begins_like_awss_is_ones_own(kms: Direct) -> None:
    assert kms("CreateAlias", AliasName="alias/awsome", TargetKeyId=kms.key()).code is None


@pytest.mark.parametrize("target", ["alias/a", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/a"])
def test_an_alias_does_not_name_an_alias(kms: Direct, target: str) -> None:
    kms("CreateAlias", AliasName="alias/a", TargetKeyId=kms.key())
    told = kms("CreateAlias", AliasName="alias/b", TargetKeyId=target)
    assert (told.code, told.message) == ("ValidationException", "Aliases must refer to keys. Not aliases")


def test_a_key_has_at_most_fifty_aliases(kms: Direct) -> None:
    key_id, other = kms.key(), kms.key()
    for number in range(50):
        assert kms("CreateAlias", AliasName=f"alias/{number}", TargetKeyId=key_id).code is None
    assert kms("CreateAlias", AliasName="alias/one-more", TargetKeyId=key_id).code == "LimitExceededException"
    assert kms("UpdateAlias", AliasName="alias/7", TargetKeyId=key_id).code is None
    kms("CreateAlias", AliasName="alias/one-more", TargetKeyId=other)
    assert kms("UpdateAlias", AliasName="alias/one-more", TargetKeyId=key_id).code == "LimitExceededException"


def test_an_alias_is_of_its_region(kms: Direct) -> None:
    with development(region="eu-west-1") as elsewhere:
        kms("CreateAlias", AliasName="alias/a", TargetKeyId=kms.key())
        assert elsewhere("DescribeKey", KeyId="alias/a").code == "NotFoundException"
    told = kms("DescribeKey", KeyId=f"arn:aws:kms:eu-west-1:{ACCOUNT}:alias/a")
    assert (told.code, told.message) == ("NotFoundException", "Invalid arn eu-west-1")


# -- data keys


@pytest.mark.parametrize(
    ("size", "length"), [({"KeySpec": "AES_128"}, 16), ({"KeySpec": "AES_256"}, 32), ({"NumberOfBytes": 57}, 57)]
)
def test_a_data_key_is_as_long_as_was_asked(kms: Direct, size: dict[str, Any], length: int) -> None:
    key_id = kms.key()
    made = kms("GenerateDataKey", KeyId=key_id, **size).body
    assert len(base64.b64decode(made["Plaintext"])) == length
    assert kms("Decrypt", CiphertextBlob=made["CiphertextBlob"]).body["Plaintext"] == made["Plaintext"]
    hidden = kms("GenerateDataKeyWithoutPlaintext", KeyId=key_id, **size).body
    assert "Plaintext" not in hidden
    opened = kms("Decrypt", CiphertextBlob=hidden["CiphertextBlob"]).body["Plaintext"]
    assert len(base64.b64decode(opened)) == length


@pytest.mark.parametrize("size", [{}, {"KeySpec": "AES_256", "NumberOfBytes": 32}])
def test_a_data_key_has_one_size(kms: Direct, size: dict[str, Any]) -> None:
    for name in ("GenerateDataKey", "GenerateDataKeyWithoutPlaintext"):
        told = kms(name, KeyId=kms.key(), **size)
        assert (told.code, told.message) == (
            "ValidationException",
            "Please specify either number of bytes or key spec.",
        )


# -- which fault is told when several apply


def test_what_is_not_a_key_is_told_before_what_is_wrong_with_its_state(kms: Direct) -> None:
    key_id, other = kms.key(), kms.key()
    blob = kms("Encrypt", KeyId=other, Plaintext=b"x").body["CiphertextBlob"]
    kms("DisableKey", KeyId=key_id)
    kms("DisableKey", KeyId=other)
    assert kms("Decrypt", KeyId=key_id, CiphertextBlob=blob).code == "IncorrectKeyException"
    assert kms("Decrypt", KeyId=key_id, CiphertextBlob=b"x").code == "InvalidCiphertextException"
    assert kms("Decrypt", KeyId=ABSENT, CiphertextBlob=blob).code == "NotFoundException"
    wrong_context = kms("Decrypt", CiphertextBlob=blob, EncryptionContext={"a": "b"})
    assert wrong_context.code == "DisabledException"
    assert kms("Encrypt", KeyId=ABSENT, Plaintext=b"").code == "ValidationException"
