# SPDX-License-Identifier: Apache-2.0
"""Every kind of key: its metadata, its public key, and all 50 operations with it, as docs/operations.md has them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.session import get_session
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from matrix import (
    KINDS,
    WITHOUT_KEY,
    Kind,
    Stock,
    accepts,
    call,
    cases,
    import_request,
    message_for,
    outcome,
    own,
    wrapping_algorithm,
)
from servers import ACCOUNT, REGION, Production, refused

from keyquorum.ops import registry

pytestmark = pytest.mark.slow

OTHER_REGION = "eu-west-1"
GRANTEE = f"arn:aws:iam::{ACCOUNT}:user/Alice"

ALGORITHMS = {
    "ENCRYPT_DECRYPT": "EncryptionAlgorithms",
    "SIGN_VERIFY": "SigningAlgorithms",
    "GENERATE_VERIFY_MAC": "MacAlgorithms",
    "KEY_AGREEMENT": "KeyAgreementAlgorithms",
    "ENCAPSULATE_DECAPSULATE": "EncapsulationAlgorithms",
}

#: What OpenSSL, as `cryptography` carries it, must say a public key is; None where it knows the spec not.
PUBLIC: dict[str, tuple[Any, Any] | None] = {
    "RSA_2048": (rsa.RSAPublicKey, 2048),
    "RSA_3072": (rsa.RSAPublicKey, 3072),
    "RSA_4096": (rsa.RSAPublicKey, 4096),
    "ECC_NIST_P256": (ec.EllipticCurvePublicKey, "secp256r1"),
    "ECC_NIST_P384": (ec.EllipticCurvePublicKey, "secp384r1"),
    "ECC_NIST_P521": (ec.EllipticCurvePublicKey, "secp521r1"),
    "ECC_SECG_P256K1": (ec.EllipticCurvePublicKey, "secp256k1"),
    "ECC_NIST_EDWARDS25519": (ed25519.Ed25519PublicKey, None),
    "ML_DSA_44": (mldsa.MLDSA44PublicKey, None),
    "ML_DSA_65": (mldsa.MLDSA65PublicKey, None),
    "ML_DSA_87": (mldsa.MLDSA87PublicKey, None),
    "ML_KEM_512": None,
    "ML_KEM_768": (mlkem.MLKEM768PublicKey, None),
    "ML_KEM_1024": (mlkem.MLKEM1024PublicKey, None),
}


@pytest.fixture(scope="module")
def stock(kms: Any) -> Stock:
    return Stock(kms)


# -- metadata


@cases(KINDS)
def test_metadata(kms: Any, stock: Stock, kind: Kind) -> None:
    made = dict(stock.key(kind))
    described = kms.describe_key(KeyId=made["KeyId"])["KeyMetadata"]
    assert described == made
    symmetric = kind.spec == "SYMMETRIC_DEFAULT"
    assert ("CurrentKeyMaterialId" in made) is symmetric
    del made["CreationDate"]
    made.pop("CurrentKeyMaterialId", None)
    key_id = made.pop("KeyId")
    assert made == {
        "AWSAccountId": ACCOUNT,
        "Arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}",
        "Enabled": True,
        "Description": "",
        "KeyUsage": kind.usage,
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": kind.spec,
        "KeySpec": kind.spec,
        "MultiRegion": False,
        ALGORITHMS[kind.usage]: list(kind.algorithms),
    }


@cases([kind for kind in KINDS if kind.imported])
def test_metadata_of_a_key_that_waits_for_its_material(stock: Stock, kind: Kind) -> None:
    made = dict(stock.key(kind, Origin="EXTERNAL"))
    assert (made["KeyState"], made["Enabled"], made["Origin"]) == ("PendingImport", False, "EXTERNAL")
    assert not {"CurrentKeyMaterialId", "ExpirationModel", "ValidTo"} & set(made)
    assert made[ALGORITHMS[kind.usage]] == list(kind.algorithms)


@cases(KINDS)
def test_metadata_of_multi_region_keys(stock: Stock, kind: Kind) -> None:
    made = stock.key(kind, MultiRegion=True)
    assert made["MultiRegion"] is True
    assert (made["KeyId"][:4], len(made["KeyId"])) == ("mrk-", 36)
    assert made["MultiRegionConfiguration"] == {
        "MultiRegionKeyType": "PRIMARY",
        "PrimaryKey": {"Arn": made["Arn"], "Region": REGION},
        "ReplicaKeys": [],
    }


@cases(KINDS)
def test_usages_that_a_spec_has_not(kms: Any, kind: Kind) -> None:
    offered = {k.usage for k in KINDS if k.spec == kind.spec}
    for usage in set(ALGORITHMS) - offered:
        with refused("ValidationException", f"KeyUsage {usage} is not compatible with KeySpec {kind.spec}"):
            kms.create_key(KeySpec=kind.spec, KeyUsage=usage)
    if kind.spec != "SYMMETRIC_DEFAULT":
        with refused(
            "ValidationException",
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.",
        ):
            kms.create_key(KeySpec=kind.spec)


@cases([kind for kind in KINDS if not kind.imported])
def test_kinds_that_are_not_imported(kms: Any, kind: Kind) -> None:
    with refused("UnsupportedOperationException", f"Importing key material is not supported for key spec {kind.spec}."):
        kms.create_key(KeySpec=kind.spec, KeyUsage=kind.usage, Origin="EXTERNAL")


@pytest.mark.parametrize("usage", ["ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT"])
def test_sm2_is_of_china_regions_only(kms: Any, usage: str) -> None:
    symmetric = kms.create_key()["KeyMetadata"]["KeyId"]
    with refused("UnsupportedOperationException", "KeySpec SM2 is not supported in this Region."):
        kms.create_key(KeySpec="SM2", KeyUsage=usage)
    for generate in (kms.generate_data_key_pair, kms.generate_data_key_pair_without_plaintext):
        with refused("UnsupportedOperationException", "KeyPairSpec SM2 is not supported in this Region."):
            generate(KeyId=symmetric, KeyPairSpec="SM2")


@pytest.mark.parametrize("member", ["KeySpec", "CustomerMasterKeySpec"])
def test_the_deprecated_member_names_the_same_specs(kms: Any, member: str) -> None:
    made = kms.create_key(**{member: "ECC_NIST_P256"}, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    assert (made["KeySpec"], made["CustomerMasterKeySpec"]) == ("ECC_NIST_P256", "ECC_NIST_P256")


# -- public keys


@cases([kind for kind in KINDS if accepts("GetPublicKey", kind)])
def test_public_keys(kms: Any, stock: Stock, kind: Kind) -> None:
    key = stock.key(kind)
    answer = call(kms, "GetPublicKey", KeyId=key["Arn"])
    public = answer.pop("PublicKey")
    assert answer == {
        "KeyId": key["Arn"],
        "KeySpec": kind.spec,
        "CustomerMasterKeySpec": kind.spec,
        "KeyUsage": kind.usage,
        ALGORITHMS[kind.usage]: list(kind.algorithms),
    }
    assert stock.public_key(kind) == public
    expected = PUBLIC[kind.spec]
    if expected is None:
        # SEQUENCE, SEQUENCE, OID 2.16.840.1.101.3.4.4.1, BIT STRING of the 800 bytes of an encapsulation key
        assert public.startswith(bytes.fromhex("30820332300b0609608648016503040401 03820321 00".replace(" ", "")))
        assert len(public) == 822
        return
    type_, detail = expected
    loaded: Any = load_der_public_key(public)
    assert isinstance(loaded, type_)
    found = loaded.key_size if type_ is rsa.RSAPublicKey else getattr(getattr(loaded, "curve", None), "name", None)
    assert found == detail


# -- every operation with every kind


class Subjects:
    """What requests about a kind of key name."""

    def __init__(self, kms: Any, kind: Kind, stock: Stock) -> None:
        self.kms, self.kind = kms, kind
        self.key = kms.create_key(KeySpec=kind.spec, KeyUsage=kind.usage)["KeyMetadata"]
        self.key_id: str = self.key["KeyId"]
        self.algorithm = kind.algorithms[0]
        self.stock = stock

    def encrypted(self) -> dict[str, Any]:
        """A ciphertext of this key, or something to be refused before anyone looks at it."""
        if self.kind.usage == "ENCRYPT_DECRYPT":
            return dict(call(self.kms, "Encrypt", **self.encrypt()))
        return {"CiphertextBlob": bytes(256), "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}

    def encrypt(self) -> dict[str, Any]:
        algorithm = self.algorithm if self.kind.usage == "ENCRYPT_DECRYPT" else "SYMMETRIC_DEFAULT"
        return {"KeyId": self.key_id, "Plaintext": b"secret", "EncryptionAlgorithm": algorithm}

    def decrypt(self) -> dict[str, Any]:
        found = self.encrypted()
        chosen = ("CiphertextBlob", "EncryptionAlgorithm")
        return {"KeyId": self.key_id, **{name: found[name] for name in chosen}}

    def re_encrypt(self) -> dict[str, Any]:
        found = self.decrypt()
        return {
            "CiphertextBlob": found["CiphertextBlob"],
            "SourceKeyId": self.key_id,
            "SourceEncryptionAlgorithm": found["EncryptionAlgorithm"],
            "DestinationKeyId": self.key_id,
            "DestinationEncryptionAlgorithm": found["EncryptionAlgorithm"],
        }

    def message(self) -> dict[str, Any]:
        algorithm = self.algorithm if self.kind.usage == "SIGN_VERIFY" else "ECDSA_SHA_256"
        message_type, message = message_for(algorithm, b"message")
        return {"KeyId": self.key_id, "Message": message, "MessageType": message_type, "SigningAlgorithm": algorithm}

    def verify(self) -> dict[str, Any]:
        signed = self.kind.usage == "SIGN_VERIFY"
        signature = self.kms.sign(**self.message())["Signature"] if signed else b"signature"
        return {**self.message(), "Signature": signature}

    def mac(self) -> dict[str, Any]:
        algorithm = self.algorithm if self.kind.usage == "GENERATE_VERIFY_MAC" else "HMAC_SHA_256"
        return {"KeyId": self.key_id, "Message": b"message", "MacAlgorithm": algorithm}

    def verify_mac(self) -> dict[str, Any]:
        made = self.kind.usage == "GENERATE_VERIFY_MAC"
        return {**self.mac(), "Mac": self.kms.generate_mac(**self.mac())["Mac"] if made else bytes(32)}

    def peer(self) -> dict[str, Any]:
        public = self.stock.public_key(self.kind) if self.kind.usage == "KEY_AGREEMENT" else b"public key"
        return {"KeyId": self.key_id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": public}

    def encapsulated(self) -> dict[str, Any]:
        wanted = {"KeyId": self.key_id, "EncapsulationAlgorithm": "ML_KEM"}
        made = self.kind.usage == "ENCAPSULATE_DECAPSULATE"
        blob = self.kms.encapsulate(**wanted)["SharedSecretCiphertextBlob"] if made else bytes(768)
        return {**wanted, "SharedSecretCiphertextBlob": blob}

    def alias(self) -> str:
        name = f"alias/{self.kind.spec}/{self.kind.usage}"
        if outcome(self.kms, "UpdateAlias", AliasName=name, TargetKeyId=self.key_id)[0]:
            self.kms.create_alias(AliasName=name, TargetKeyId=self.key_id)
        return name

    def grant(self) -> dict[str, Any]:
        return {"KeyId": self.key_id, "GranteePrincipal": GRANTEE, "Operations": ["DescribeKey"]}

    def granted(self) -> str:
        return str(self.kms.create_grant(**self.grant())["GrantId"])

    def external(self) -> str:
        """A key that waits for its material; where there is none of this kind, the one that is here."""
        if not self.kind.imported:
            return self.key_id
        made = self.kms.create_key(KeySpec=self.kind.spec, KeyUsage=self.kind.usage, Origin="EXTERNAL")
        return str(made["KeyMetadata"]["KeyId"])

    def parameters(self) -> dict[str, Any]:
        algorithm = wrapping_algorithm(self.kind.spec)
        return {"KeyId": self.external(), "WrappingAlgorithm": algorithm, "WrappingKeySpec": "RSA_2048"}

    def imported(self) -> dict[str, Any]:
        if not self.kind.imported:
            token = {"ImportToken": b"token", "EncryptedKeyMaterial": b"material"}
            return {"KeyId": self.key_id, **token, "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
        return import_request(self.kms, self.external(), self.kind.spec, own(self.kind.spec).material)

    def deletable(self) -> dict[str, Any]:
        if not self.kind.imported:
            return {"KeyId": self.key_id}
        request = self.imported()
        self.kms.import_key_material(**request)
        return {"KeyId": request["KeyId"]}

    def primary(self, replicas: tuple[str, ...] = ()) -> str:
        made = self.kms.create_key(KeySpec=self.kind.spec, KeyUsage=self.kind.usage, MultiRegion=True)["KeyMetadata"]
        for region in replicas:
            self.kms.replicate_key(KeyId=made["KeyId"], ReplicaRegion=region)
        return str(made["KeyId"])

    def doomed(self) -> str:
        made = self.kms.create_key(KeySpec=self.kind.spec, KeyUsage=self.kind.usage)["KeyMetadata"]
        self.kms.schedule_key_deletion(KeyId=made["KeyId"])
        return str(made["KeyId"])


Arguments = Callable[[Subjects], dict[str, Any]]


def _about_key(subjects: Subjects) -> dict[str, Any]:
    return {"KeyId": subjects.key_id}


def _tagged(subjects: Subjects) -> dict[str, Any]:
    return {"KeyId": subjects.key_id, "Tags": [{"TagKey": "a", "TagValue": "b"}]}


def _policy(subjects: Subjects) -> dict[str, Any]:
    policy = subjects.kms.get_key_policy(KeyId=subjects.key_id)["Policy"]
    return {"KeyId": subjects.key_id, "Policy": json.dumps(json.loads(policy))}


def _pair(subjects: Subjects) -> dict[str, Any]:
    return {"KeyId": subjects.key_id, "KeyPairSpec": "ECC_NIST_P256"}


def _data_key(subjects: Subjects) -> dict[str, Any]:
    return {"KeyId": subjects.key_id, "KeySpec": "AES_256"}


#: Every operation, with a request that must succeed if the operation takes keys of that kind.
REQUESTS: dict[str, Arguments] = {
    "CreateKey": lambda s: {"KeySpec": s.kind.spec, "KeyUsage": s.kind.usage},
    "DescribeKey": _about_key,
    "ListKeys": lambda s: {},
    "UpdateKeyDescription": lambda s: {"KeyId": s.key_id, "Description": "new"},
    "DisableKey": _about_key,
    "EnableKey": _about_key,
    "ScheduleKeyDeletion": lambda s: {"KeyId": s.primary()},
    "CancelKeyDeletion": lambda s: {"KeyId": s.doomed()},
    "GetParametersForImport": Subjects.parameters,
    "ImportKeyMaterial": Subjects.imported,
    "DeleteImportedKeyMaterial": Subjects.deletable,
    "EnableKeyRotation": _about_key,
    "DisableKeyRotation": _about_key,
    "GetKeyRotationStatus": _about_key,
    "RotateKeyOnDemand": _about_key,
    "ListKeyRotations": _about_key,
    "ReplicateKey": lambda s: {"KeyId": s.primary(), "ReplicaRegion": OTHER_REGION},
    "UpdatePrimaryRegion": lambda s: {"KeyId": s.primary((OTHER_REGION,)), "PrimaryRegion": OTHER_REGION},
    "CreateAlias": lambda s: {"AliasName": f"{s.alias()}/2", "TargetKeyId": s.key_id},
    "UpdateAlias": lambda s: {"AliasName": s.alias(), "TargetKeyId": s.key_id},
    "DeleteAlias": lambda s: {"AliasName": s.alias()},
    "ListAliases": _about_key,
    "TagResource": _tagged,
    "UntagResource": lambda s: {"KeyId": s.key_id, "TagKeys": ["a"]},
    "ListResourceTags": _about_key,
    "GetKeyPolicy": _about_key,
    "PutKeyPolicy": _policy,
    "ListKeyPolicies": _about_key,
    "CreateGrant": Subjects.grant,
    "ListGrants": _about_key,
    "ListRetirableGrants": lambda s: {"RetiringPrincipal": GRANTEE},
    "RetireGrant": lambda s: {"KeyId": s.key["Arn"], "GrantId": s.granted()},
    "RevokeGrant": lambda s: {"KeyId": s.key_id, "GrantId": s.granted()},
    "Encrypt": Subjects.encrypt,
    "Decrypt": Subjects.decrypt,
    "ReEncrypt": Subjects.re_encrypt,
    "GenerateDataKey": _data_key,
    "GenerateDataKeyWithoutPlaintext": _data_key,
    "GenerateDataKeyPair": _pair,
    "GenerateDataKeyPairWithoutPlaintext": _pair,
    "GenerateRandom": lambda s: {"NumberOfBytes": 32},
    "Sign": Subjects.message,
    "Verify": Subjects.verify,
    "GetPublicKey": _about_key,
    "GenerateMac": Subjects.mac,
    "VerifyMac": Subjects.verify_mac,
    "DeriveSharedSecret": Subjects.peer,
    "Encapsulate": lambda s: {"KeyId": s.key_id, "EncapsulationAlgorithm": "ML_KEM"},
    "Decapsulate": Subjects.encapsulated,
    "GetKeyLastUsage": _about_key,
}


def _refusal(operation: str, subjects: Subjects) -> tuple[str, str]:
    """How an operation refuses a kind of key that it does not take."""
    key, kind = subjects.key, subjects.kind
    usage = registry.KMS[operation].usage
    if usage is not None and usage != kind.usage:
        return (
            "InvalidKeyUsageException",
            f"{key['Arn']} key usage is {kind.usage} which is not valid for {operation}.",
        )
    if operation.startswith("GenerateDataKey"):
        return "InvalidKeyUsageException", "You cannot generate a data key with an asymmetric CMK"
    if operation == "GetPublicKey":
        return (
            "UnsupportedOperationException",
            f"{key['Arn']} key spec is {kind.spec} which has no public key.",
        )
    if "Import" in operation:
        return (
            "UnsupportedOperationException",
            f"{key['Arn']} origin is AWS_KMS which is not valid for this operation.",
        )
    assert "Rotat" in operation
    return "UnsupportedOperationException", ""


@pytest.mark.slow
@cases(KINDS)
def test_every_operation_takes_or_refuses_every_kind_of_key(kms: Any, stock: Stock, kind: Kind) -> None:
    subjects = Subjects(kms, kind, stock)
    assert set(REQUESTS) == set(registry.KMS)
    for operation, request in REQUESTS.items():
        told = outcome(kms, operation, **request(subjects))
        if operation in WITHOUT_KEY or accepts(operation, kind):
            assert told == ("", ""), operation
        else:
            assert told == _refusal(operation, subjects), operation


@cases([Kind("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), Kind("HMAC_256", "GENERATE_VERIFY_MAC")])
def test_what_only_primary_keys_can(kms: Any, stock: Stock, kind: Kind) -> None:
    key = stock.key(kind)
    message = f"{key['Arn']} is not a multi-region primary key."
    with refused("UnsupportedOperationException", message):
        kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion=OTHER_REGION)
    with refused("UnsupportedOperationException", message):
        kms.update_primary_region(KeyId=key["KeyId"], PrimaryRegion=OTHER_REGION)


def test_the_six_others_are_those_of_custom_key_stores(server: Production) -> None:
    others = set(get_session().get_service_model("kms").operation_names) - set(REQUESTS)
    assert len(REQUESTS) == 50
    assert others == {f"{verb}CustomKeyStore" for verb in ("Connect", "Create", "Delete", "Disconnect", "Update")} | {
        "DescribeCustomKeyStores"
    }
    for operation in others:
        assert server.signed(operation, {}).fault == (400, "UnsupportedOperationException")


# -- algorithms of other kinds

#: KeyUsage -> the member that chooses the algorithm, and requests that have it. (The other usages have one algorithm.)
CHOOSING: dict[str, tuple[str, dict[str, dict[str, bytes]]]] = {
    "ENCRYPT_DECRYPT": ("EncryptionAlgorithm", {"Encrypt": {"Plaintext": b"x"}}),
    "SIGN_VERIFY": (
        "SigningAlgorithm",
        {"Sign": {"Message": bytes(32)}, "Verify": {"Message": bytes(32), "Signature": b"x"}},
    ),
    "GENERATE_VERIFY_MAC": (
        "MacAlgorithm",
        {"GenerateMac": {"Message": b"x"}, "VerifyMac": {"Message": b"x", "Mac": bytes(32)}},
    ),
}


@cases([kind for kind in KINDS if kind.usage in CHOOSING])
def test_algorithms_of_other_specs(kms: Any, stock: Stock, kind: Kind) -> None:
    member, requests = CHOOSING[kind.usage]
    model, key = get_session().get_service_model("kms"), stock.key(kind)
    for operation, content in requests.items():
        every: list[str] = model.operation_model(operation).input_shape.members[member].enum
        foreign = set(every) - set(kind.algorithms)
        assert foreign
        for algorithm in sorted(foreign):
            told = outcome(kms, operation, KeyId=key["KeyId"], **content, **{member: algorithm})
            message = f"Algorithm {algorithm} is incompatible with key spec {kind.spec}."
            assert told == ("InvalidKeyUsageException", message), (operation, algorithm)
