# SPDX-License-Identifier: Apache-2.0
"""One row for each operation: the key that it is for, its smallest request, and the permissions that it needs."""

import os
from collections.abc import Callable
from itertools import count
from typing import Any, Final, NamedTuple

from boundaries import model
from matrix import import_request, snake
from people import ADMIN, NOBODY, World

MESSAGE: Final = b"m" * 32
REPLICA_REGION: Final = "eu-west-1"

_MODEL: Final = model()
_NUMBERS = count()

Members = dict[str, Any]


class Made(NamedTuple):
    """What a request is made for: the ARN of its key, the key's policy, and what made it."""

    world: World
    arn: str
    policy: str
    spec: Members

    @property
    def admin(self) -> Any:
        return self.world.by(ADMIN)

    def another(self) -> str:
        """The ARN of another such key under the same policy."""
        return self.world.key(self.policy, **self.spec)

    def after(self, operation: str, **members: Any) -> Members:
        """The answer to something that the administrator does first, with this key."""
        answer: Members = getattr(self.admin, snake(operation))(KeyId=self.arn, **members)
        return answer


class Row(NamedTuple):
    """``key``: the members of CreateKey, None where the request is about no key. ``members``: the request, its KeyId
    apart, unless it has none by ``ref``. ``permissions``: on keys. ``needs``: whether identity-based policies must
    allow something besides, on an alias or the account."""

    key: Members | None
    members: Callable[[Made], Members]
    permissions: tuple[str, ...] = ()
    ref: str | None = "KeyId"
    needs: bool = False


def _plain(**members: Any) -> Callable[[Made], Members]:
    return lambda _made: members


def _new_alias() -> str:
    return f"alias/access-{next(_NUMBERS)}"


def _alias(made: Made) -> str:
    name = _new_alias()
    made.admin.create_alias(AliasName=name, TargetKeyId=made.arn)
    return name


def _encrypted(made: Made) -> bytes:
    blob: bytes = made.after("Encrypt", Plaintext=b"x")["CiphertextBlob"]
    return blob


def _import(made: Made) -> Members:
    return import_request(made.admin, made.arn, "SYMMETRIC_DEFAULT", os.urandom(32))


def _imported(made: Made) -> Members:
    made.admin.import_key_material(**_import(made))
    return {}


def _scheduled(made: Made) -> Members:
    made.after("ScheduleKeyDeletion", PendingWindowInDays=7)
    return {}


def _replicated(made: Made) -> Members:
    made.after("ReplicateKey", ReplicaRegion=REPLICA_REGION, Policy=made.policy)
    return {"PrimaryRegion": REPLICA_REGION}


def _shared(made: Made) -> Members:
    blob = made.after("Encapsulate", **_KEM)["SharedSecretCiphertextBlob"]
    return {**_KEM, "SharedSecretCiphertextBlob": blob}


def _agreed(made: Made) -> Members:
    return {"KeyAgreementAlgorithm": "ECDH", "PublicKey": made.after("GetPublicKey")["PublicKey"]}


def _moved(made: Made) -> Members:
    return {"CiphertextBlob": _encrypted(made), "DestinationKeyId": made.another()}


def _granted(made: Made) -> Members:
    return {"GrantId": made.after("CreateGrant", **GRANT)["GrantId"]}


GRANT: Final = {"GranteePrincipal": ADMIN.arn, "Operations": ["DescribeKey"]}
_SYMMETRIC: Final[Members] = {}
_SIGNING: Final = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
_AGREEING: Final = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"}
_MAC: Final = {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}
_SHARING: Final = {"KeySpec": "ML_KEM_512", "KeyUsage": "ENCAPSULATE_DECAPSULATE"}
_EXTERNAL: Final = {"Origin": "EXTERNAL"}
_REGIONAL: Final = {"MultiRegion": True}
_SIGN: Final = {"Message": MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}
_MACS: Final = {"Message": MESSAGE, "MacAlgorithm": "HMAC_SHA_256"}
_KEM: Final = {"EncapsulationAlgorithm": "ML_KEM"}
_WRAPPING: Final = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
_PAIR: Final = {"KeyPairSpec": "ECC_NIST_P256"}
_BOTH: Final = ("kms:ReEncryptFrom", "kms:ReEncryptTo")
_TAGS: Final = {"Tags": [{"TagKey": "a", "TagValue": "b"}]}

ROWS: Final = {
    "CancelKeyDeletion": Row(_SYMMETRIC, _scheduled),
    "CreateAlias": Row(_SYMMETRIC, lambda _made: {"AliasName": _new_alias()}, ref="TargetKeyId", needs=True),
    "CreateGrant": Row(_SYMMETRIC, _plain(**GRANT)),
    "CreateKey": Row(None, _plain()),
    "Decapsulate": Row(_SHARING, _shared),
    "Decrypt": Row(_SYMMETRIC, lambda made: {"CiphertextBlob": _encrypted(made)}),
    "DeleteAlias": Row(_SYMMETRIC, lambda made: {"AliasName": _alias(made)}, ref=None, needs=True),
    "DeleteImportedKeyMaterial": Row(_EXTERNAL, _imported),
    "DeriveSharedSecret": Row(_AGREEING, _agreed),
    "DescribeKey": Row(_SYMMETRIC, _plain()),
    "DisableKey": Row(_SYMMETRIC, _plain()),
    "DisableKeyRotation": Row(_SYMMETRIC, _plain()),
    "EnableKey": Row(_SYMMETRIC, _plain()),
    "EnableKeyRotation": Row(_SYMMETRIC, _plain()),
    "Encapsulate": Row(_SHARING, _plain(**_KEM)),
    "Encrypt": Row(_SYMMETRIC, _plain(Plaintext=b"x")),
    "GenerateDataKey": Row(_SYMMETRIC, _plain(KeySpec="AES_256")),
    "GenerateDataKeyPair": Row(_SYMMETRIC, _plain(**_PAIR)),
    "GenerateDataKeyPairWithoutPlaintext": Row(_SYMMETRIC, _plain(**_PAIR)),
    "GenerateDataKeyWithoutPlaintext": Row(_SYMMETRIC, _plain(KeySpec="AES_256")),
    "GenerateMac": Row(_MAC, _plain(**_MACS)),
    "GenerateRandom": Row(None, _plain(NumberOfBytes=1)),
    "GetKeyLastUsage": Row(_SYMMETRIC, _plain()),
    "GetKeyPolicy": Row(_SYMMETRIC, _plain()),
    "GetKeyRotationStatus": Row(_SYMMETRIC, _plain()),
    "GetParametersForImport": Row(_EXTERNAL, _plain(**_WRAPPING)),
    "GetPublicKey": Row(_SIGNING, _plain()),
    "ImportKeyMaterial": Row(_EXTERNAL, _import),
    "ListAliases": Row(None, _plain()),
    "ListGrants": Row(_SYMMETRIC, _plain()),
    "ListKeyPolicies": Row(_SYMMETRIC, _plain()),
    "ListKeyRotations": Row(_SYMMETRIC, _plain()),
    "ListKeys": Row(None, _plain()),
    "ListResourceTags": Row(_SYMMETRIC, _plain()),
    "ListRetirableGrants": Row(None, _plain(RetiringPrincipal=NOBODY.arn)),
    "PutKeyPolicy": Row(_SYMMETRIC, lambda made: {"Policy": made.policy}),
    "ReEncrypt": Row(_SYMMETRIC, _moved, _BOTH, ref="SourceKeyId"),
    "ReplicateKey": Row(_REGIONAL, _plain(ReplicaRegion=REPLICA_REGION), needs=True),
    "RetireGrant": Row(_SYMMETRIC, _granted),
    "RevokeGrant": Row(_SYMMETRIC, _granted),
    "RotateKeyOnDemand": Row(_SYMMETRIC, _plain()),
    "ScheduleKeyDeletion": Row(_SYMMETRIC, _plain(PendingWindowInDays=7)),
    "Sign": Row(_SIGNING, _plain(**_SIGN)),
    "TagResource": Row(_SYMMETRIC, _plain(**_TAGS)),
    "UntagResource": Row(_SYMMETRIC, _plain(TagKeys=["a"])),
    "UpdateAlias": Row(
        _SYMMETRIC, lambda made: {"AliasName": _alias(made), "TargetKeyId": made.another()}, ref=None, needs=True
    ),
    "UpdateKeyDescription": Row(_SYMMETRIC, _plain(Description="d")),
    "UpdatePrimaryRegion": Row(_REGIONAL, _replicated),
    "Verify": Row(_SIGNING, lambda made: {**_SIGN, "Signature": made.after("Sign", **_SIGN)["Signature"]}),
    "VerifyMac": Row(_MAC, lambda made: {**_MACS, "Mac": made.after("GenerateMac", **_MACS)["Mac"]}),
}


def permissions(operation: str) -> tuple[str, ...]:
    return ROWS[operation].permissions or (f"kms:{operation}",)


def grantable(operation: str) -> list[str]:
    """The grant operations that allow it, by AWS's model; none if no grant can."""
    names = [permission.removeprefix("kms:") for permission in permissions(operation)]
    return names if set(names) <= set(_MODEL.shape_for("GrantOperation").enum) else []


def crosses_accounts(operation: str) -> bool:
    """Whether AWS has it work on a key of another account, by "Cross-account use" of its page in the API reference."""
    text = _MODEL.operation_model(operation).documentation.replace(" ", "").replace("<b>", "").replace("</b>", "")
    return "Cross-accountuse:Yes" in text


def prepare(world: World, operation: str, policy: str) -> Members:
    """The members of a request on a new key under ``policy``."""
    row = ROWS[operation]
    if row.key is None:
        return row.members(Made(world, "", policy, {}))
    made = Made(world, world.key(policy, **row.key), policy, row.key)
    members = row.members(made)
    return members if row.ref is None else {row.ref: made.arn, **members}
