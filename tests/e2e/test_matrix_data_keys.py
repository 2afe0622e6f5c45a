# SPDX-License-Identifier: Apache-2.0
"""Data keys and data key pairs of every spec: what comes out is a key that others can use, and so is its ciphertext."""

from typing import Any

import pytest
from botocore.session import get_session
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)
from kyber_py.ml_kem import ML_KEM_512
from matrix import PAIR_SPECS, call, spec_cases
from servers import refused

pytestmark = pytest.mark.slow

CONTEXT = {"table": "orders"}


@pytest.fixture(scope="module")
def own_key(kms: Any) -> Any:
    return kms.create_key()["KeyMetadata"]


def test_the_specs_are_the_models() -> None:
    shape = get_session().get_service_model("kms").shape_for("DataKeyPairSpec")
    assert {*PAIR_SPECS, "SM2"} == set(shape.enum)


def public_half(spec: str, private_key: bytes) -> bytes:
    """SubjectPublicKeyInfo of a private key in PKCS #8, by somebody else's reading of it."""
    if spec == "ML_KEM_512":
        return _public_half_of_ml_kem_512(private_key)
    loaded: Any = load_der_private_key(private_key, None)
    encoded: bytes = loaded.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _public_half_of_ml_kem_512(private_key: bytes) -> bytes:
    """RFC 9935: the expanded key holds the encapsulation key, which must open what kyber-py makes for it."""
    expanded = private_key[-1632:]
    encapsulation_key = expanded[768:1568]
    secret, ciphertext = ML_KEM_512.encaps(encapsulation_key)
    assert ML_KEM_512.decaps(expanded, ciphertext) == secret
    return bytes.fromhex("30820332300b060960864801650304040103820321") + b"\x00" + encapsulation_key


@spec_cases(PAIR_SPECS)
def test_data_key_pairs(kms: Any, own_key: Any, spec: str) -> None:
    request = {"KeyId": own_key["KeyId"], "KeyPairSpec": spec, "EncryptionContext": CONTEXT}
    answer = call(kms, "GenerateDataKeyPair", **request)
    private, public, blob = (
        answer.pop(name) for name in ("PrivateKeyPlaintext", "PublicKey", "PrivateKeyCiphertextBlob")
    )
    usage = kms.get_key_last_usage(KeyId=own_key["KeyId"])["KeyLastUsage"]
    assert usage["Operation"] == "GenerateDataKeyPair"
    told = {"KeyId": own_key["Arn"], "KeyMaterialId": own_key["CurrentKeyMaterialId"], "KeyPairSpec": spec}
    assert answer == told
    assert public_half(spec, private) == public
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)["Plaintext"] == private
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob)
    hidden = call(kms, "GenerateDataKeyPairWithoutPlaintext", **request)
    other_public, other_blob = (hidden.pop(name) for name in ("PublicKey", "PrivateKeyCiphertextBlob"))
    assert hidden == told
    assert kms.get_key_last_usage(KeyId=own_key["KeyId"])["KeyLastUsage"]["Operation"] == (
        "GenerateDataKeyPairWithoutPlaintext"
    )
    decrypted = kms.decrypt(CiphertextBlob=other_blob, EncryptionContext=CONTEXT)["Plaintext"]
    assert public_half(spec, decrypted) == other_public
    assert other_public != public
    with refused("DryRunOperationException", "The request would have succeeded, but the DryRun option is set."):
        kms.generate_data_key_pair(**request, DryRun=True)


@pytest.mark.parametrize("operation", ["GenerateDataKey", "GenerateDataKeyWithoutPlaintext"])
@pytest.mark.parametrize(("size", "count"), [({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 1024}, 1024)])
def test_data_keys_are_the_last_usage(kms: Any, own_key: Any, operation: str, size: Any, count: int) -> None:
    answer = call(kms, operation, KeyId=own_key["KeyId"], **size)
    assert kms.get_key_last_usage(KeyId=own_key["KeyId"])["KeyLastUsage"]["Operation"] == operation
    assert len(kms.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"]) == count
