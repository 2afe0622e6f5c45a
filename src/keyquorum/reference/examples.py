# SPDX-License-Identifier: Apache-2.0
"""A working example of each operation, as data: the members of its request, and what must be there before.

Members are as on the wire: blobs in base64. ``${name.Member.Member}`` in a text stands for a member of an earlier
answer, by the step's name; ``${unique}`` for letters and digits that no name has yet, ``${elsewhere}`` for another
Region than the request's, and ``${wrapped:name.Member}`` for fresh key material wrapped with that public key.
``preparing`` puts values there. Everything is made anew, so that no example touches a key that was there before.
"""

from base64 import b64encode
from typing import Any, Final

from msgspec import Struct

Members = dict[str, Any]


class Step(Struct, frozen=True):
    """A call to make before the example's own; ``why`` ends the sentence "first, make ..."."""

    name: str
    operation: str
    members: Members
    why: str


class Example(Struct, frozen=True):
    """``works``: False where this server answers UnsupportedOperationException, whatever is asked."""

    members: Members
    needs: tuple[Step, ...] = ()
    works: bool = True


def _text(text: str) -> str:
    return b64encode(text.encode()).decode()


def _key(why: str, name: str = "key", **members: Any) -> Step:
    return Step(name, "CreateKey", {"Description": MADE, **members}, why)


def _on(step: str = "key") -> str:
    return f"${{{step}.KeyMetadata.KeyId}}"


#: Of every key that is made before an example.
MADE: Final = "made for an example of the API's reference"
_KEY: Final = _key("a symmetric encryption key")
_ANOTHER: Final = _key("another one", "another")
_SIGNING: Final = _key("a key that signs", KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
_AGREEING: Final = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"}
_MAC: Final = _key("an HMAC key", KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
_KEM: Final = _key("a key for encapsulation", KeySpec="ML_KEM_768", KeyUsage="ENCAPSULATE_DECAPSULATE")
_EXTERNAL: Final = _key("a key without key material", Origin="EXTERNAL")
_MULTI: Final = _key("a multi-Region key", MultiRegion=True)

_ORDER: Final = _text("three boxes of apples, to be paid in May")
_CONTEXT: Final = {"order": "4711"}
_SIGN: Final = {"KeyId": _on(), "Message": _ORDER, "SigningAlgorithm": "ECDSA_SHA_256"}
_MACED: Final = {"KeyId": _on(), "Message": _ORDER, "MacAlgorithm": "HMAC_SHA_256"}
_SHARED: Final = {"KeyId": _on(), "EncapsulationAlgorithm": "ML_KEM"}
_ROOT: Final = "arn:aws:iam::${key.KeyMetadata.AWSAccountId}:root"
_GRANT: Final = {
    "KeyId": _on(),
    "GranteePrincipal": _ROOT,
    "RetiringPrincipal": _ROOT,
    "Operations": ["Encrypt", "Decrypt"],
}
_TAGS: Final = [{"TagKey": "team", "TagValue": "orders"}, {"TagKey": "stage", "TagValue": "test"}]
_ALIAS: Final = "alias/example-${unique}"
_POLICY: Final = (
    '{"Version": "2012-10-17", "Statement": [{"Sid": "The account decides", "Effect": "Allow", '
    '"Principal": {"AWS": "arn:aws:iam::${key.KeyMetadata.AWSAccountId}:root"}, "Action": "kms:*", "Resource": "*"}]}'
)
_PARAMETERS: Final = {"KeyId": _on(), "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
_IMPORT: Final = {
    "KeyId": _on(),
    "ImportToken": "${parameters.ImportToken}",
    "EncryptedKeyMaterial": "${wrapped:parameters.PublicKey}",
    "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
}

_ENCRYPTED: Final = Step(
    "encrypted",
    "Encrypt",
    {"KeyId": _on(), "Plaintext": _ORDER, "EncryptionContext": _CONTEXT},
    "a ciphertext",
)
_NAMED: Final = Step("alias", "CreateAlias", {"AliasName": _ALIAS, "TargetKeyId": _on()}, "an alias of it")
_GRANTED: Final = Step("grant", "CreateGrant", _GRANT, "a grant on it")
_TAGGED: Final = Step("tags", "TagResource", {"KeyId": _on(), "Tags": _TAGS}, "tags on it")
_FOR_IMPORT: Final = Step("parameters", "GetParametersForImport", _PARAMETERS, "a public key to wrap with")

_STORE: Final = {"CustomKeyStoreId": "cks-1234567890abcdef0"}


def _plain(key: Step = _KEY, **members: Any) -> Example:
    """About a key and nothing else that has to be made."""
    return Example({"KeyId": _on(), **members}, (key,))


def _after(step: Step, key: Step = _KEY, **members: Any) -> Example:
    return Example({"KeyId": _on(), **members}, (key, step))


def _unavailable(**members: Any) -> Example:
    return Example(members, works=False)


EXAMPLES: Final[dict[str, Example]] = {
    "CreateKey": Example({"Description": "orders", "Tags": _TAGS}),
    "DescribeKey": _plain(),
    "ListKeys": Example({"Limit": 10}),
    "UpdateKeyDescription": _plain(Description="orders of the year"),
    "GetKeyLastUsage": _after(_ENCRYPTED),
    "EnableKey": _after(Step("disabled", "DisableKey", {"KeyId": _on()}, "it disabled")),
    "DisableKey": _plain(),
    "ScheduleKeyDeletion": _plain(PendingWindowInDays=7),
    "CancelKeyDeletion": _after(
        Step("scheduled", "ScheduleKeyDeletion", {"KeyId": _on(), "PendingWindowInDays": 7}, "its deletion scheduled")
    ),
    "CreateAlias": Example({"AliasName": _ALIAS, "TargetKeyId": _on()}, (_KEY,)),
    "UpdateAlias": Example({"AliasName": _ALIAS, "TargetKeyId": _on("another")}, (_KEY, _NAMED, _ANOTHER)),
    "DeleteAlias": Example({"AliasName": _ALIAS}, (_KEY, _NAMED)),
    "ListAliases": _after(_NAMED),
    "Encrypt": _plain(Plaintext=_ORDER, EncryptionContext=_CONTEXT),
    "Decrypt": _after(_ENCRYPTED, CiphertextBlob="${encrypted.CiphertextBlob}", EncryptionContext=_CONTEXT),
    "ReEncrypt": Example(
        {
            "CiphertextBlob": "${encrypted.CiphertextBlob}",
            "SourceKeyId": _on(),
            "SourceEncryptionContext": _CONTEXT,
            "DestinationKeyId": _on("another"),
            "DestinationEncryptionContext": {"order": "4711", "year": "archived"},
        },
        (_KEY, _ENCRYPTED, _ANOTHER),
    ),
    "GenerateDataKey": _plain(KeySpec="AES_256", EncryptionContext=_CONTEXT),
    "GenerateDataKeyWithoutPlaintext": _plain(KeySpec="AES_256", EncryptionContext=_CONTEXT),
    "GenerateDataKeyPair": _plain(KeyPairSpec="ECC_NIST_P256"),
    "GenerateDataKeyPairWithoutPlaintext": _plain(KeyPairSpec="ECC_NIST_P256"),
    "GenerateRandom": Example({"NumberOfBytes": 32}),
    "Sign": Example(_SIGN, (_SIGNING,)),
    "Verify": Example(
        {**_SIGN, "Signature": "${signed.Signature}"}, (_SIGNING, Step("signed", "Sign", _SIGN, "a signature"))
    ),
    "GetPublicKey": _plain(_SIGNING),
    "GenerateMac": Example(_MACED, (_MAC,)),
    "VerifyMac": Example(
        {**_MACED, "Mac": "${code.Mac}"}, (_MAC, Step("code", "GenerateMac", _MACED, "a code of the message"))
    ),
    "DeriveSharedSecret": Example(
        {"KeyId": _on(), "KeyAgreementAlgorithm": "ECDH", "PublicKey": "${peer.PublicKey}"},
        (
            _key("a key that agrees", **_AGREEING),
            _key("one of somebody else", "theirs", **_AGREEING),
            Step("peer", "GetPublicKey", {"KeyId": _on("theirs")}, "that one's public key"),
        ),
    ),
    "Encapsulate": Example(_SHARED, (_KEM,)),
    "Decapsulate": Example(
        {**_SHARED, "SharedSecretCiphertextBlob": "${shared.SharedSecretCiphertextBlob}"},
        (_KEM, Step("shared", "Encapsulate", _SHARED, "a shared secret")),
    ),
    "GetKeyPolicy": _plain(),
    "PutKeyPolicy": _plain(Policy=_POLICY),
    "ListKeyPolicies": _plain(),
    "CreateGrant": Example({**_GRANT, "Constraints": {"EncryptionContextSubset": _CONTEXT}}, (_KEY,)),
    "ListGrants": _after(_GRANTED),
    "ListRetirableGrants": Example({"RetiringPrincipal": _ROOT}, (_KEY, _GRANTED)),
    "RetireGrant": Example({"GrantToken": "${grant.GrantToken}"}, (_KEY, _GRANTED)),
    "RevokeGrant": _after(_GRANTED, GrantId="${grant.GrantId}"),
    "EnableKeyRotation": _plain(RotationPeriodInDays=180),
    "DisableKeyRotation": _plain(),
    "GetKeyRotationStatus": _after(
        Step("rotation", "EnableKeyRotation", {"KeyId": _on(), "RotationPeriodInDays": 180}, "its rotation enabled")
    ),
    "RotateKeyOnDemand": _plain(),
    "ListKeyRotations": _after(
        Step("rotated", "RotateKeyOnDemand", {"KeyId": _on()}, "a rotation of it"),
        IncludeKeyMaterial="ALL_KEY_MATERIAL",
    ),
    "GetParametersForImport": Example(_PARAMETERS, (_EXTERNAL,)),
    "ImportKeyMaterial": Example(_IMPORT, (_EXTERNAL, _FOR_IMPORT)),
    "DeleteImportedKeyMaterial": Example(
        {"KeyId": _on()},
        (_EXTERNAL, _FOR_IMPORT, Step("imported", "ImportKeyMaterial", _IMPORT, "key material in it")),
    ),
    "ReplicateKey": _plain(_MULTI, ReplicaRegion="${elsewhere}", Description=MADE),
    "UpdatePrimaryRegion": _after(
        Step(
            "replica",
            "ReplicateKey",
            {"KeyId": _on(), "ReplicaRegion": "${elsewhere}", "Description": MADE},
            "a replica of it",
        ),
        _MULTI,
        PrimaryRegion="${elsewhere}",
    ),
    "TagResource": _plain(Tags=_TAGS),
    "UntagResource": _after(_TAGGED, TagKeys=["stage"]),
    "ListResourceTags": _after(_TAGGED),
    "CreateCustomKeyStore": _unavailable(CustomKeyStoreName="outside"),
    "DescribeCustomKeyStores": _unavailable(),
    "UpdateCustomKeyStore": _unavailable(**_STORE, NewCustomKeyStoreName="elsewhere"),
    "DeleteCustomKeyStore": _unavailable(**_STORE),
    "ConnectCustomKeyStore": _unavailable(**_STORE),
    "DisconnectCustomKeyStore": _unavailable(**_STORE),
}
