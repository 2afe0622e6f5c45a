# SPDX-License-Identifier: Apache-2.0
"""The condition keys of AWS KMS, and what its guide says of policies with them."""

from typing import Any

from asked import ADMIN_SESSION, ALIAS_ARN, FULL, OTHER, OTHER_ROOT, USER_BOB, by, doc, statement
from policies import ACCOUNT, ALICE, ROLE, ROOT

from keyquorum.authz.decision import Reason, Source
from policy_suite import KMS, KMS_KEYS, C, Page, condition, decided, permitted

ALIASES = "Using aliases to control access to KMS keys"
TAGGING = "Using tags to control access to KMS keys"


def key(name: str) -> Page:
    return Page(KMS, KMS_KEYS, name)


BYPASS = key("kms:BypassPolicyLockoutSafetyCheck")
CALLER = key("kms:CallerAccount")
PAIR = key("kms:EncryptionContext:context-key")
PAIR_CASE = key("Case sensitivity of the encryption context condition")
PAIRS = key("Using multiple encryption context pairs")
PAIR_VARIABLE = key("Using variables in an encryption context condition")
CONTEXT_KEYS = key("kms:EncryptionContextKeys")
OPERATIONS = key("kms:GrantOperations")
CONSTRAINT_TYPE = key("kms:GrantConstraintType")
FOR_SERVICE = key("kms:GrantIsForAWSResource")
REQUEST_ALIAS, RESOURCE_ALIASES = Page(KMS, ALIASES, "kms:RequestAlias"), Page(KMS, ALIASES, "kms:ResourceAliases")
TAGS = Page(KMS, TAGGING, "Using tags to control access to KMS keys")

APP, STAGE = "kms:EncryptionContext:AppName", "kms:EncryptionContext:Stage"
KEYS_OF = "kms:EncryptionContextKeys"
EXAMPLE: dict[str, Any] = {APP: "ExampleApp", KEYS_OF: ["AppName"]}
ONLY_EXAMPLE = {**C("StringEquals", APP, "ExampleApp"), **C("ForAllValues:StringEquals", KEYS_OF, "AppName")}
BOTH_PAIRS = {"StringEquals": {APP: "ExampleApp", "kms:EncryptionContext:FilePath": "/var/opt/secrets/"}}


def in_key_policy(page: Page, applies: bool, block: Any, context: Any, **asked: Any) -> Any:
    """An Allow with the condition ``block`` in a key policy."""
    principal = asked.pop("principal", {"AWS": ALICE})
    return permitted(page, applies, key_policy=doc(by(principal, Condition=block)), context=context, **asked)


def of_everybody(account: str, **asked: Any) -> Any:
    block = C("StringEquals", "kms:CallerAccount", account)
    return {"key_policy": doc(by({"AWS": "*"}, Condition=block)), "context": {"kms:CallerAccount": account}, **asked}


NO_GRANTS_BY_HAND = doc(
    statement(), statement("Deny", "kms:CreateGrant", Condition=C("Bool", "kms:GrantIsForAWSResource", False))
)

ROWS = [
    # kms:BypassPolicyLockoutSafetyCheck
    condition(BYPASS, C("Bool", "kms:BypassPolicyLockoutSafetyCheck", True), {}, False, action="kms:PutKeyPolicy"),
    condition(
        BYPASS,
        C("Bool", "kms:BypassPolicyLockoutSafetyCheck", True),
        {"kms:BypassPolicyLockoutSafetyCheck": "true"},
        True,
        action="kms:PutKeyPolicy",
    ),
    condition(BYPASS, C("Null", "kms:BypassPolicyLockoutSafetyCheck", True), {}, True, action="kms:PutKeyPolicy"),
    condition(
        BYPASS,
        C("Null", "kms:BypassPolicyLockoutSafetyCheck", True),
        {"kms:BypassPolicyLockoutSafetyCheck": "true"},
        False,
        action="kms:PutKeyPolicy",
    ),
    # kms:CallerAccount
    permitted(CALLER, True, **of_everybody(ACCOUNT)),
    permitted(CALLER, True, **of_everybody(ACCOUNT, who=ADMIN_SESSION)),
    permitted(CALLER, False, **{**of_everybody(ACCOUNT), "context": {"kms:CallerAccount": OTHER}}),
    permitted(CALLER, False, **of_everybody(OTHER, who=USER_BOB)),
    permitted(CALLER, True, **of_everybody(OTHER, who=USER_BOB, identity=(FULL,))),
    condition(CALLER, C("StringNotEquals", "kms:CallerAccount", ACCOUNT), {"kms:CallerAccount": ACCOUNT}, False),
    # of the key, or of the key that CreateKey asks for
    condition(
        key("kms:KeySpec"), C("StringEquals", "kms:KeySpec", "RSA_4096"), {"kms:KeySpec": "SYMMETRIC_DEFAULT"}, False
    ),
    condition(key("kms:KeySpec"), C("StringLike", "kms:KeySpec", "RSA*"), {"kms:KeySpec": "RSA_4096"}, True),
    condition(
        key("kms:KeyUsage"), C("StringEquals", "kms:KeyUsage", "SIGN_VERIFY"), {"kms:KeyUsage": "SIGN_VERIFY"}, True
    ),
    condition(
        key("kms:KeyOrigin"), C("StringEquals", "kms:KeyOrigin", "AWS_KMS"), {"kms:KeyOrigin": "EXTERNAL"}, False
    ),
    condition(key("kms:MultiRegion"), C("Bool", "kms:MultiRegion", False), {"kms:MultiRegion": "false"}, True),
    condition(key("kms:MultiRegion"), C("Bool", "kms:MultiRegion", True), {"kms:MultiRegion": "false"}, False),
    condition(
        key("kms:MultiRegionKeyType"),
        C("StringEquals", "kms:MultiRegionKeyType", "REPLICA"),
        {"kms:MultiRegionKeyType": "PRIMARY"},
        False,
    ),
    # of the request
    condition(
        key("kms:DataKeyPairSpec"),
        C("StringLike", "kms:DataKeyPairSpec", "RSA*"),
        {"kms:DataKeyPairSpec": "RSA_3072"},
        True,
        action="kms:GenerateDataKeyPair",
    ),
    condition(
        key("kms:EncryptionAlgorithm"),
        C("StringLike", "kms:EncryptionAlgorithm", "RSAES_OAEP*"),
        {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"},
        False,
    ),
    condition(
        key("kms:EncryptionAlgorithm"),
        C("StringNotLike", "kms:EncryptionAlgorithm", "RSAES_OAEP*"),
        {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"},
        True,
    ),
    condition(
        key("kms:MacAlgorithm"),
        C("StringEquals", "kms:MacAlgorithm", "HMAC_SHA_384", "HMAC_SHA_512"),
        {"kms:MacAlgorithm": "HMAC_SHA_256"},
        False,
        action="kms:GenerateMac",
    ),
    condition(
        key("kms:MessageType"),
        C("StringEquals", "kms:MessageType", "RAW"),
        {"kms:MessageType": "RAW"},
        True,
        action="kms:Sign",
    ),
    condition(
        key("kms:SigningAlgorithm"),
        C("StringLike", "kms:SigningAlgorithm", "RSASSA_PSS*"),
        {"kms:SigningAlgorithm": "RSASSA_PKCS1_V1_5_SHA_256"},
        False,
        action="kms:Sign",
    ),
    condition(
        key("kms:ReEncryptOnSameKey"),
        C("Bool", "kms:ReEncryptOnSameKey", True),
        {"kms:ReEncryptOnSameKey": "true"},
        True,
        action="kms:ReEncryptTo",
    ),
    condition(
        key("kms:ReplicaRegion"),
        C("StringEquals", "kms:ReplicaRegion", "us-east-1", "eu-west-3"),
        {"kms:ReplicaRegion": "ap-southeast-2"},
        False,
        action="kms:ReplicateKey",
    ),
    condition(
        key("kms:PrimaryRegion"),
        C("StringEquals", "kms:PrimaryRegion", "eu-west-3"),
        {"kms:PrimaryRegion": "eu-west-3"},
        True,
        action="kms:UpdatePrimaryRegion",
    ),
    condition(
        key("kms:RotationPeriodInDays"),
        C("NumericLessThanEquals", "kms:RotationPeriodInDays", "365"),
        {"kms:RotationPeriodInDays": "180"},
        True,
        action="kms:EnableKeyRotation",
    ),
    condition(
        key("kms:ScheduleKeyDeletionPendingWindowInDays"),
        C("NumericGreaterThanEquals", "kms:ScheduleKeyDeletionPendingWindowInDays", "21"),
        {"kms:ScheduleKeyDeletionPendingWindowInDays": "7"},
        False,
        action="kms:ScheduleKeyDeletion",
    ),
    condition(
        key("kms:ExpirationModel"),
        C("StringEquals", "kms:ExpirationModel", "KEY_MATERIAL_EXPIRES"),
        {"kms:ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
        False,
        action="kms:ImportKeyMaterial",
    ),
    condition(
        key("kms:ValidTo"),
        C("NumericLessThanEquals", "kms:ValidTo", "1640995199.0"),
        {"kms:ValidTo": "1640995198"},
        True,
        action="kms:ImportKeyMaterial",
    ),
    condition(
        key("kms:ValidTo"),
        C("DateLessThanEquals", "kms:ValidTo", "1609459199"),
        {"kms:ValidTo": "2020-12-31T23:59:59Z"},
        True,
        action="kms:ImportKeyMaterial",
    ),
    condition(
        key("kms:WrappingAlgorithm"),
        C("StringEquals", "kms:WrappingAlgorithm", "RSAES_OAEP_SHA_256"),
        {"kms:WrappingAlgorithm": "RSAES_OAEP_SHA_1"},
        False,
        action="kms:GetParametersForImport",
    ),
    condition(
        key("kms:WrappingKeySpec"),
        C("StringEquals", "kms:WrappingKeySpec", "RSA_4096"),
        {"kms:WrappingKeySpec": "RSA_4096"},
        True,
        action="kms:GetParametersForImport",
    ),
    condition(
        key("kms:KeyAgreementAlgorithm"),
        C("StringEquals", "kms:KeyAgreementAlgorithm", "ECDH"),
        {"kms:KeyAgreementAlgorithm": "ECDH"},
        True,
        action="kms:DeriveSharedSecret",
    ),
    condition(key("kms:ViaService"), C("StringEquals", "kms:ViaService", "ec2.eu-west-1.amazonaws.com"), {}, False),
    condition(key("kms:ViaService"), C("StringNotEquals", "kms:ViaService", "ec2.eu-west-1.amazonaws.com"), {}, True),
    # an encryption context, pair by pair
    in_key_policy(PAIR, True, C("StringEquals", APP, "ExampleApp"), EXAMPLE),
    in_key_policy(PAIR, False, C("StringEquals", APP, "ExampleApp"), {}),
    in_key_policy(PAIR, False, C("StringEquals", APP, "ExampleApp"), {APP: "Other"}),
    in_key_policy(
        PAIR, True, C("StringEquals", APP, "ExampleApp"), {**EXAMPLE, STAGE: "Test", KEYS_OF: ["AppName", "Stage"]}
    ),
    in_key_policy(PAIR, True, ONLY_EXAMPLE, EXAMPLE),
    in_key_policy(PAIR, False, ONLY_EXAMPLE, {**EXAMPLE, STAGE: "Test", KEYS_OF: ["AppName", "Stage"]}),
    in_key_policy(PAIR, False, ONLY_EXAMPLE, {}),
    condition(PAIR, C("StringEquals", STAGE, "Restricted"), {STAGE: "Restricted"}, True),
    condition(PAIR, C("StringEquals", STAGE, "Restricted"), {STAGE: "Test"}, False),
    condition(PAIRS, C("StringEquals", STAGE, "Restricted", "Production"), {STAGE: "Production"}, True),
    condition(PAIRS, C("StringEquals", STAGE, "Restricted", "Production"), {STAGE: "Test"}, False),
    condition(PAIRS, BOTH_PAIRS, {APP: "ExampleApp", "kms:EncryptionContext:FilePath": "/var/opt/secrets/"}, True),
    condition(PAIRS, BOTH_PAIRS, EXAMPLE, False),
    condition(PAIRS, BOTH_PAIRS, {"kms:EncryptionContext:FilePath": "/var/opt/secrets/"}, False),
    condition(PAIRS, C("ForAnyValue:StringEquals", APP, "ExampleApp"), {}, False),
    condition(PAIR_CASE, C("StringEquals", APP, "ExampleApp"), {"kms:EncryptionContext:appname": "ExampleApp"}, True),
    condition(PAIR_CASE, C("StringEquals", APP, "ExampleApp"), {APP: "exampleapp"}, False),
    condition(PAIR_CASE, C("StringEqualsIgnoreCase", APP, "ExampleApp"), {APP: "exampleAPP"}, True),
    condition(PAIR_VARIABLE, C("StringEquals", APP, "${aws:username}"), {APP: "alice", "aws:username": "alice"}, True),
    condition(PAIR_VARIABLE, C("StringEquals", APP, "${aws:username}"), {APP: "bob", "aws:username": "alice"}, False),
    condition(
        PAIR_VARIABLE,
        C("StringLike", APP, "${aws:username}*"),
        {APP: "alice-test", "aws:username": "alice"},
        True,
    ),
    # and by the keys of its pairs
    condition(CONTEXT_KEYS, C("ForAnyValue:StringEquals", KEYS_OF, "AppName"), EXAMPLE, True),
    condition(CONTEXT_KEYS, C("ForAnyValue:StringEquals", KEYS_OF, "AppName"), {KEYS_OF: ["appname"]}, False),
    condition(CONTEXT_KEYS, C("ForAnyValue:StringEqualsIgnoreCase", KEYS_OF, "AppName"), {KEYS_OF: ["appname"]}, True),
    condition(CONTEXT_KEYS, C("ForAllValues:StringEquals", KEYS_OF, "AppName"), {KEYS_OF: ["AppName", "Stage"]}, False),
    condition(CONTEXT_KEYS, C("ForAllValues:StringEquals", KEYS_OF, "AppName"), {}, True),
    condition(CONTEXT_KEYS, C("Null", KEYS_OF, "false"), {}, False),
    condition(CONTEXT_KEYS, C("Null", KEYS_OF, "false"), EXAMPLE, True),
    condition(CONTEXT_KEYS, C("Null", KEYS_OF, True), {}, True),
    # creating grants
    condition(
        OPERATIONS,
        C("ForAllValues:StringEquals", "kms:GrantOperations", "Encrypt", "ReEncryptTo"),
        {"kms:GrantOperations": ["Encrypt", "Decrypt"]},
        False,
        action="kms:CreateGrant",
    ),
    condition(
        OPERATIONS,
        C("ForAllValues:StringEquals", "kms:GrantOperations", "Encrypt", "ReEncryptTo"),
        {"kms:GrantOperations": ["ReEncryptTo"]},
        True,
        action="kms:CreateGrant",
    ),
    condition(
        OPERATIONS,
        C("ForAnyValue:StringEquals", "kms:GrantOperations", "Encrypt", "ReEncryptTo"),
        {"kms:GrantOperations": ["Encrypt", "Decrypt"]},
        True,
        action="kms:CreateGrant",
    ),
    condition(
        OPERATIONS,
        C("ForAllValues:StringEquals", "kms:GrantOperations", "encrypt"),
        {"kms:GrantOperations": ["Encrypt"]},
        False,
        action="kms:CreateGrant",
    ),
    condition(
        CONSTRAINT_TYPE,
        C("StringEquals", "kms:GrantConstraintType", "EncryptionContextEquals"),
        {"kms:GrantConstraintType": "EncryptionContextEquals"},
        True,
        action="kms:CreateGrant",
    ),
    condition(
        CONSTRAINT_TYPE,
        C("StringEquals", "kms:GrantConstraintType", "EncryptionContextEquals"),
        {},
        False,
        action="kms:CreateGrant",
    ),
    decided(FOR_SERVICE, Reason.ALLOWED, Source.IDENTITY, action="kms:CreateGrant", identity=(FULL,)),
    decided(
        FOR_SERVICE,
        Reason.EXPLICIT_DENY,
        Source.IDENTITY,
        action="kms:CreateGrant",
        identity=(NO_GRANTS_BY_HAND,),
        context={"kms:GrantIsForAWSResource": "false"},
    ),
    condition(
        key("kms:GranteePrincipal"),
        C("StringEquals", "kms:GranteePrincipal", ROLE),
        {"kms:GranteePrincipal": ROLE},
        True,
        action="kms:CreateGrant",
    ),
    condition(
        key("kms:GranteePrincipal"),
        C("StringEquals", "kms:GranteePrincipal", ROLE),
        {"kms:GranteePrincipal": ALICE},
        False,
        action="kms:CreateGrant",
    ),
    condition(
        key("kms:RetiringPrincipal"),
        C("StringEquals", "kms:RetiringPrincipal", ROOT, OTHER_ROOT),
        {"kms:RetiringPrincipal": OTHER_ROOT},
        True,
        action="kms:CreateGrant",
    ),
    condition(
        key("kms:RetiringPrincipal"), C("StringLike", "kms:RetiringPrincipal", "*"), {}, False, action="kms:CreateGrant"
    ),
    # aliases
    in_key_policy(
        REQUEST_ALIAS,
        True,
        C("StringLike", "kms:RequestAlias", "alias/*alpha*"),
        {"kms:RequestAlias": "alias/project-alpha"},
    ),
    in_key_policy(
        REQUEST_ALIAS,
        False,
        C("StringLike", "kms:RequestAlias", "alias/*alpha*"),
        {"kms:RequestAlias": "alias/project-beta"},
    ),
    in_key_policy(REQUEST_ALIAS, False, C("StringLike", "kms:RequestAlias", "alias/*alpha*"), {}),
    condition(
        REQUEST_ALIAS,
        C("StringEquals", "kms:RequestAlias", ALIAS_ARN.split(":")[5]),
        {"kms:RequestAlias": "alias/app"},
        True,
    ),
    condition(
        RESOURCE_ALIASES,
        C("ForAnyValue:StringLike", "kms:ResourceAliases", "alias/restricted*"),
        {"kms:ResourceAliases": ["alias/x", "alias/restricted-1"]},
        True,
    ),
    condition(
        RESOURCE_ALIASES,
        C("ForAnyValue:StringLike", "kms:ResourceAliases", "alias/restricted*"),
        {"kms:ResourceAliases": ["alias/x"]},
        False,
    ),
    condition(RESOURCE_ALIASES, C("ForAnyValue:StringLike", "kms:ResourceAliases", "alias/*"), {}, False),
    condition(
        RESOURCE_ALIASES,
        C("ForAllValues:StringLike", "kms:ResourceAliases", "alias/test*"),
        {"kms:ResourceAliases": ["alias/test-1", "alias/prod"]},
        False,
    ),
    condition(RESOURCE_ALIASES, C("Null", "kms:ResourceAliases", "true"), {}, True),
    # tags
    condition(TAGS, C("StringEquals", "aws:ResourceTag/Project", "Alpha"), {"aws:ResourceTag/Project": "Alpha"}, True),
    condition(TAGS, C("StringEquals", "aws:ResourceTag/Project", "Alpha"), {"aws:ResourceTag/project": "Alpha"}, True),
    condition(TAGS, C("StringEquals", "aws:ResourceTag/Project", "Alpha"), {"aws:ResourceTag/Project": "alpha"}, False),
    condition(TAGS, C("StringEquals", "aws:ResourceTag/Project", "Alpha"), {}, False),
    condition(TAGS, C("StringEquals", "aws:ResourceTag/Type", "Reserved"), {"aws:ResourceTag/Type": "Test"}, False),
    condition(
        TAGS,
        C("StringEquals", "aws:ResourceTag/team", "${aws:PrincipalTag/team}"),
        {"aws:ResourceTag/team": "blue", "aws:PrincipalTag/team": "blue"},
        True,
    ),
    condition(
        TAGS,
        C("StringEquals", "aws:RequestTag/Stage", "prod"),
        {"aws:RequestTag/Stage": "prod", "aws:TagKeys": ["Stage"]},
        True,
        action="kms:TagResource",
    ),
    condition(
        TAGS,
        C("ForAllValues:StringEquals", "aws:TagKeys", "Stage", "Team"),
        {"aws:TagKeys": ["Stage", "Owner"]},
        False,
        action="kms:TagResource",
    ),
]
