# SPDX-License-Identifier: Apache-2.0
"""The condition keys of each operation: what a policy can ask for is there, and nothing that is not."""

from typing import Any

import pytest
from asked import ADMIN_SESSION, ROOT_USER, SERVICE_S3, USER_ALICE, WEB, Asked
from decisions import subject_of
from policies import ACCOUNT, ALICE, ROLE

from keyquorum import api
from keyquorum.authz.context import Facts, RequestContext, encryption_context
from keyquorum.model import Key

KEY = Key(
    key_id="1234abcd-12ab-34cd-56ef-1234567890ab",
    account=ACCOUNT,
    region="eu-west-1",
    spec="SYMMETRIC_DEFAULT",
    usage="ENCRYPT_DECRYPT",
    origin="AWS_KMS",
    state="Enabled",
    description="",
    created_at=0.0,
    material_id="m",
    primary_region="us-east-1",
    tags=(("Stage", "test"), ("cost", "1")),
)
NOW = 1_772_366_400.0
ALL = {"kms:CallerAccount": (ACCOUNT,)}


def context(action: str, request: Any, **more: Any) -> RequestContext:
    facts: dict[str, Any] = {"subject": subject_of(Asked()), "region": "eu-west-1", "now": NOW, "key": KEY, **more}
    return RequestContext(Facts(action, request, **facts))


def constraints(**given: Any) -> api.GrantConstraints:
    return api.GrantConstraints(**given)


@pytest.mark.parametrize(
    ("action", "request_", "more", "expected"),
    [
        (
            "kms:Encrypt",
            api.EncryptRequest(encryption_context={"App": "pay", "b": "c"}),
            {"alias": "alias/app"},
            {
                "kms:EncryptionAlgorithm": ("SYMMETRIC_DEFAULT",),
                "kms:EncryptionContext:App": ("pay",),
                "kms:EncryptionContext:aPP": ("pay",),
                "kms:EncryptionContextKeys": ("App", "b"),
                "kms:RequestAlias": ("alias/app",),
                "kms:EncryptionContext:x": None,
                "kms:SigningAlgorithm": None,
                "kms:ViaService": None,
                **ALL,
            },
        ),
        (
            "kms:Encrypt",
            api.EncryptRequest(encryption_algorithm="RSAES_OAEP_SHA_1"),
            {},
            {"kms:EncryptionAlgorithm": ("RSAES_OAEP_SHA_1",)},
        ),
        (
            "kms:Encrypt",
            api.EncryptRequest(encryption_context={"a": "1", "A": "2"}),
            {},
            {"kms:EncryptionContext:a": ("1", "2")},
        ),
        ("kms:Encrypt", api.EncryptRequest(), {}, {"kms:EncryptionContextKeys": None, "kms:RequestAlias": None}),
        (
            "kms:ReEncryptFrom",
            api.ReEncryptRequest(source_encryption_context={"a": "1"}, destination_encryption_context={"a": "2"}),
            {"same_key": True},
            {"kms:EncryptionContext:a": ("1",), "kms:ReEncryptOnSameKey": ("true",)},
        ),
        (
            "kms:ReEncryptTo",
            api.ReEncryptRequest(source_encryption_context={"a": "1"}, destination_encryption_context={"a": "2"}),
            {},
            {"kms:EncryptionContext:a": ("2",), "kms:ReEncryptOnSameKey": ("false",)},
        ),
        (
            "kms:GenerateDataKeyPair",
            api.GenerateDataKeyPairRequest(key_pair_spec="RSA_3072"),
            {},
            {"kms:DataKeyPairSpec": ("RSA_3072",)},
        ),
        (
            "kms:GenerateDataKey",
            api.GenerateDataKeyRequest(key_spec="AES_256"),
            {},
            {"kms:KeySpec": ("SYMMETRIC_DEFAULT",)},
        ),
        (
            "kms:Sign",
            api.SignRequest(signing_algorithm="ECDSA_SHA_256"),
            {},
            {"kms:SigningAlgorithm": ("ECDSA_SHA_256",), "kms:MessageType": ("RAW",)},
        ),
        ("kms:Verify", api.VerifyRequest(message_type="DIGEST"), {}, {"kms:MessageType": ("DIGEST",)}),
        (
            "kms:GenerateMac",
            api.GenerateMacRequest(mac_algorithm="HMAC_SHA_256"),
            {},
            {"kms:MacAlgorithm": ("HMAC_SHA_256",)},
        ),
        (
            "kms:DeriveSharedSecret",
            api.DeriveSharedSecretRequest(key_agreement_algorithm="ECDH"),
            {},
            {"kms:KeyAgreementAlgorithm": ("ECDH",)},
        ),
        (
            "kms:CreateGrant",
            api.CreateGrantRequest(
                grantee_principal=ALICE,
                retiring_principal=ROLE,
                operations=["Encrypt", "Decrypt"],
                constraints=constraints(encryption_context_subset={"a": "1"}),
            ),
            {},
            {
                "kms:GranteePrincipal": (ALICE,),
                "kms:RetiringPrincipal": (ROLE,),
                "kms:GrantOperations": ("Encrypt", "Decrypt"),
                "kms:GrantConstraintType": ("EncryptionContextSubset",),
                "kms:GrantIsForAWSResource": ("false",),
                "kms:EncryptionContext:a": ("1",),
                "kms:EncryptionContextKeys": ("a",),
            },
        ),
        (
            "kms:CreateGrant",
            api.CreateGrantRequest(),
            {},
            {"kms:GrantConstraintType": None, "kms:GranteePrincipal": None},
        ),
        (
            "kms:RetireGrant",
            api.RetireGrantRequest(),
            {"retired": constraints(encryption_context_equals={"a": "1"})},
            {"kms:GrantConstraintType": ("EncryptionContextEquals",), "kms:EncryptionContext:a": ("1",)},
        ),
        ("kms:ListGrants", api.ListGrantsRequest(), {}, {"kms:GrantIsForAWSResource": ("false",)}),
        (
            "kms:ImportKeyMaterial",
            api.ImportKeyMaterialRequest(valid_to=NOW),
            {},
            {"kms:ExpirationModel": ("KEY_MATERIAL_EXPIRES",), "kms:ValidTo": ("2026-03-01T12:00:00Z",)},
        ),
        (
            "kms:GetParametersForImport",
            api.GetParametersForImportRequest(wrapping_algorithm="RSAES_OAEP_SHA_256", wrapping_key_spec="RSA_4096"),
            {},
            {"kms:WrappingAlgorithm": ("RSAES_OAEP_SHA_256",), "kms:WrappingKeySpec": ("RSA_4096",)},
        ),
        ("kms:EnableKeyRotation", api.EnableKeyRotationRequest(), {}, {"kms:RotationPeriodInDays": ("365",)}),
        (
            "kms:ScheduleKeyDeletion",
            api.ScheduleKeyDeletionRequest(pending_window_in_days=7),
            {},
            {"kms:ScheduleKeyDeletionPendingWindowInDays": ("7",)},
        ),
        (
            "kms:ScheduleKeyDeletion",
            api.ScheduleKeyDeletionRequest(),
            {},
            {"kms:ScheduleKeyDeletionPendingWindowInDays": ("30",)},
        ),
        (
            "kms:ReplicateKey",
            api.ReplicateKeyRequest(replica_region="eu-west-3"),
            {},
            {"kms:ReplicaRegion": ("eu-west-3",)},
        ),
        (
            "kms:UpdatePrimaryRegion",
            api.UpdatePrimaryRegionRequest(primary_region="eu-west-3"),
            {},
            {"kms:PrimaryRegion": ("eu-west-3",)},
        ),
        (
            "kms:PutKeyPolicy",
            api.PutKeyPolicyRequest(),
            {},
            {"kms:BypassPolicyLockoutSafetyCheck": None, "kms:PolicyName": ("default",)},
        ),
        (
            "kms:PutKeyPolicy",
            api.PutKeyPolicyRequest(bypass_policy_lockout_safety_check=False),
            {},
            {"kms:BypassPolicyLockoutSafetyCheck": ("false",)},
        ),
        (
            "kms:TagResource",
            api.TagResourceRequest(tags=[api.Tag(tag_key="Team", tag_value="blue")]),
            {},
            {"aws:RequestTag/team": ("blue",), "aws:TagKeys": ("Team",), "aws:RequestTag/x": None},
        ),
        ("kms:UntagResource", api.UntagResourceRequest(tag_keys=["a", "b"]), {}, {"aws:TagKeys": ("a", "b")}),
        (
            "kms:CreateKey",
            api.CreateKeyRequest(),
            {"key": None},
            {
                "kms:KeySpec": ("SYMMETRIC_DEFAULT",),
                "kms:CustomerMasterKeySpec": ("SYMMETRIC_DEFAULT",),
                "kms:KeyUsage": ("ENCRYPT_DECRYPT",),
                "kms:KeyOrigin": ("AWS_KMS",),
                "kms:MultiRegion": ("false",),
                "kms:MultiRegionKeyType": None,
                "aws:ResourceTag/Stage": None,
            },
        ),
        (
            "kms:CreateKey",
            api.CreateKeyRequest(key_spec="RSA_4096", key_usage="SIGN_VERIFY", origin="EXTERNAL", multi_region=True),
            {"key": None},
            {
                "kms:KeySpec": ("RSA_4096",),
                "kms:CustomerMasterKeyUsage": ("SIGN_VERIFY",),
                "kms:KeyOrigin": ("EXTERNAL",),
                "kms:MultiRegion": ("true",),
                "kms:MultiRegionKeyType": ("PRIMARY",),
            },
        ),
        (
            "kms:DisableKey",
            api.DisableKeyRequest(),
            {"aliases": ("alias/a", "alias/b")},
            {
                "kms:ResourceAliases": ("alias/a", "alias/b"),
                "kms:KeySpec": ("SYMMETRIC_DEFAULT",),
                "kms:KeyOrigin": ("AWS_KMS",),
                "kms:MultiRegion": ("true",),
                "kms:MultiRegionKeyType": ("REPLICA",),
                "aws:ResourceTag/stage": ("test",),
                "aws:ResourceTag/none": None,
                "aws:ResourceAccount": (ACCOUNT,),
                "kms:EncryptionAlgorithm": None,
            },
        ),
        (
            "kms:ListKeys",
            api.ListKeysRequest(),
            {"key": None},
            {"kms:CallerAccount": None, "kms:KeySpec": None, "aws:ResourceAccount": None},
        ),
        (
            "kms:ListKeys",
            api.ListKeysRequest(),
            {"source_ip": "10.1.2.3", "secure": True, "user_agent": "aws-cli"},
            {
                "aws:SourceIp": ("10.1.2.3",),
                "aws:SecureTransport": ("true",),
                "aws:UserAgent": ("aws-cli",),
                "aws:CurrentTime": ("2026-03-01T12:00:00Z",),
                "aws:EpochTime": ("1772366400",),
                "aws:RequestedRegion": ("eu-west-1",),
                "aws:ViaAWSService": ("false",),
                "aws:SourceVpce": None,
                "aws:PrincipalOrgID": None,
                "aws:SourceArn": None,
            },
        ),
    ],
)
def test_keys_of_the_operation(action: str, request_: Any, more: dict[str, Any], expected: dict[str, Any]) -> None:
    found = context(action, request_, **more)
    assert {key: found[key.lower()] for key in expected} == expected


@pytest.mark.parametrize(
    ("who", "more", "expected"),
    [
        (
            USER_ALICE,
            {},
            {
                "aws:PrincipalArn": (ALICE,),
                "aws:PrincipalAccount": (ACCOUNT,),
                "aws:PrincipalType": ("User",),
                "aws:username": ("alice",),
                "aws:userid": ("AIDAALICE",),
                "aws:TokenIssueTime": None,
                "aws:MultiFactorAuthPresent": None,
                "aws:MultiFactorAuthAge": None,
                "aws:PrincipalIsAWSService": ("false",),
            },
        ),
        (
            ADMIN_SESSION,
            {"issued_at": NOW - 60, "mfa_at": NOW - 30, "tags": (("Team", "blue"),)},
            {
                "aws:PrincipalArn": (ROLE,),
                "aws:PrincipalType": ("AssumedRole",),
                "aws:username": None,
                "aws:userid": ("AROAADMIN:laptop",),
                "aws:TokenIssueTime": ("2026-03-01T11:59:00Z",),
                "aws:MultiFactorAuthPresent": ("true",),
                "aws:MultiFactorAuthAge": ("30",),
                "aws:PrincipalTag/TEAM": ("blue",),
                "aws:PrincipalTag/x": None,
            },
        ),
        (ADMIN_SESSION, {"issued_at": NOW}, {"aws:MultiFactorAuthPresent": ("false",), "aws:MultiFactorAuthAge": None}),
        (ROOT_USER, {}, {"aws:PrincipalType": ("Account",), "aws:username": None, "aws:userid": (ACCOUNT,)}),
        (
            SERVICE_S3,
            {},
            {
                "aws:PrincipalIsAWSService": ("true",),
                "aws:PrincipalServiceNamesList": ("s3.amazonaws.com",),
                "aws:PrincipalAccount": None,
                "aws:PrincipalArn": None,
                "kms:CallerAccount": None,
            },
        ),
        (WEB, {}, {"aws:FederatedProvider": (WEB.federated,), "aws:PrincipalArn": None}),
    ],
)
def test_keys_of_the_principal(who: Any, more: dict[str, Any], expected: dict[str, Any]) -> None:
    plain = subject_of(Asked(who=who))
    subject = type(plain)(**{name: getattr(plain, name) for name in plain.__struct_fields__} | more)
    found = context("kms:Encrypt", api.EncryptRequest(), subject=subject)
    assert {key: found[key.lower()] for key in expected} == expected


def test_a_grant_is_compared_with_the_context_of_the_operation_itself() -> None:
    request = api.ReEncryptRequest(source_encryption_context={"a": "1"}, destination_encryption_context={"b": "2"})
    facts: dict[str, Any] = {"subject": subject_of(Asked()), "region": "eu-west-1", "now": NOW}
    assert encryption_context(Facts("kms:ReEncryptFrom", request, **facts)) == {"a": "1"}
    assert encryption_context(Facts("kms:ReEncryptTo", request, **facts)) == {"b": "2"}
    assert encryption_context(Facts("kms:DescribeKey", api.DescribeKeyRequest(), **facts)) == {}
