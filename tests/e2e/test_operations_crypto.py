# SPDX-License-Identifier: Apache-2.0
"""Encrypt, Decrypt, ReEncrypt, data keys and random numbers through boto3; and the mistakes that other servers made."""

import base64
import json
from typing import Any

import pytest
from servers import ACCOUNT, REGION, Access, Production, code_of, refused, signed_request

pytestmark = pytest.mark.slow

PREFIX = f"arn:aws:kms:{REGION}:{ACCOUNT}:"
ABSENT = "0000abcd-12ab-34cd-56ef-1234567890ab"
DRY_RUN = "The request would have succeeded, but the DryRun option is set."
WRONG_KEY = "The key ID in the request does not identify a CMK that can perform this operation."


def members(answer: Any) -> set[str]:
    return set(answer) - {"ResponseMetadata"}


# -- round trips


@pytest.mark.parametrize("plaintext", [b"\x00", b"hello", bytes(range(256)) * 16])
def test_encrypt_and_decrypt(kms: Any, key: Any, plaintext: bytes) -> None:
    encrypted = kms.encrypt(KeyId=key["KeyId"], Plaintext=plaintext)
    assert members(encrypted) == {"CiphertextBlob", "KeyId", "EncryptionAlgorithm"}
    assert (encrypted["KeyId"], encrypted["EncryptionAlgorithm"]) == (key["Arn"], "SYMMETRIC_DEFAULT")
    assert len(encrypted["CiphertextBlob"]) <= 6144
    for named in ({}, {"KeyId": key["KeyId"]}, {"KeyId": key["Arn"]}):
        decrypted = kms.decrypt(CiphertextBlob=encrypted["CiphertextBlob"], **named)
        assert members(decrypted) == {"Plaintext", "KeyId", "EncryptionAlgorithm", "KeyMaterialId"}
        assert decrypted["Plaintext"] == plaintext
        assert (decrypted["KeyId"], decrypted["KeyMaterialId"]) == (key["Arn"], key["CurrentKeyMaterialId"])


def test_no_two_ciphertexts_are_alike(kms: Any, key: Any) -> None:
    """Neither a constant keystream nor a repeated nonce: nothing behind the header is ever the same."""
    one, two = (kms.encrypt(KeyId=key["KeyId"], Plaintext=bytes(64))["CiphertextBlob"] for _ in range(2))
    body = len(one) - 64 - 16 - 24
    assert one[:body] == two[:body]
    assert one[body : body + 16] != two[body : body + 16]
    assert not {one[i : i + 8] for i in range(body, len(one) - 8)} & {two[i : i + 8] for i in range(body, len(two) - 8)}


@pytest.mark.parametrize("size", [0, 4097])
def test_plaintext_sizes(server: Production, key: Any, size: int) -> None:
    body = {"KeyId": key["KeyId"], "Plaintext": base64.b64encode(bytes(size)).decode()}
    answer = server.signed("Encrypt", body)
    bound = "greater than or equal to 1" if size == 0 else "less than or equal to 4096"
    assert answer.json == {
        "__type": "ValidationException",
        "message": "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: "
        f"Member must have length {bound}",
    }


def test_what_must_be_there(server: Production) -> None:
    assert server.signed("CreateAlias", {}).json == {
        "__type": "ValidationException",
        "message": "2 validation errors detected: Value null at 'aliasName' failed to satisfy constraint: "
        "Member must not be null; Value null at 'targetKeyId' failed to satisfy constraint: Member must not be null",
    }
    assert server.signed("Decrypt", {}).json["message"] == (
        "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: "
        "Member must not be null"
    )
    assert server.signed("DescribeKey", {"KeyId": ""}).fault == (400, "ValidationException")


# -- the encryption context


def test_encryption_contexts_must_be_the_same(kms: Any, key: Any) -> None:
    context = {"tenant": "a", "purpose": "b", "ü": "ß"}
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=context)["CiphertextBlob"]
    reordered = dict(reversed(context.items()))
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=reordered)["Plaintext"] == b"x"
    for wrong in (
        {},
        {"tenant": "a", "purpose": "b"},
        {**context, "more": ""},
        {**context, "tenant": "A"},
        {"Tenant": "a", "purpose": "b", "ü": "ß"},
        {"tenant": "b", "purpose": "a", "ü": "ß"},
    ):
        with refused("InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=blob, EncryptionContext=wrong)
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob)


COLLIDING: tuple[tuple[dict[str, str], dict[str, str]], ...] = (
    ({"a": "bc"}, {"ab": "c"}),
    ({"a": "b", "c": "d"}, {"a": "bcd"}),
    ({"a": "b,c=d"}, {"a": "b", "c": "d"}),
    ({"a": "b\x00c"}, {"a\x00b": "c"}),
    ({"a": ""}, {}),
    ({"a": "b"}, {"b": "a"}),
    ({"é": "x"}, {"e\u0301": "x"}),
)


@pytest.mark.parametrize(("one", "other"), COLLIDING)
def test_contexts_that_differ_never_pass_for_each_other(kms: Any, key: Any, one: Any, other: Any) -> None:
    for here, there in ((one, other), (other, one)):
        blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=here)["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=here)["Plaintext"] == b"x"
        with refused("InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=blob, EncryptionContext=there)


# -- ciphertexts


def test_any_changed_byte_is_found(kms: Any, key: Any) -> None:
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"hello")["CiphertextBlob"]
    # All but the length of the key ID: a longer one may or may not be a key ID, which the header's next byte decides.
    for i in (0, *range(2, len(blob))):
        damaged = blob[:i] + bytes((blob[i] ^ 1,)) + blob[i + 1 :]
        code = code_of(kms.decrypt, CiphertextBlob=damaged)
        # A changed key ID names another key, and a caller may not know whether there is one.
        named = 2 <= i < 38
        assert code == ("AccessDeniedException" if named else "InvalidCiphertextException"), i
        assert code_of(kms.decrypt, CiphertextBlob=damaged, KeyId=key["KeyId"]) == (
            "IncorrectKeyException" if named else "InvalidCiphertextException"
        ), i
    for cut in (blob[:-1], blob + b"\x00", blob[:40], b"\x01", b"garbage"):
        for named_key in ({}, {"KeyId": key["KeyId"]}):
            with refused("InvalidCiphertextException"):
                kms.decrypt(CiphertextBlob=cut, **named_key)


def test_a_key_that_is_named_must_be_the_ciphertexts(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    with refused("IncorrectKeyException", WRONG_KEY):
        kms.decrypt(CiphertextBlob=blob, KeyId=other["KeyId"])
    with refused("IncorrectKeyException", WRONG_KEY):
        kms.re_encrypt(CiphertextBlob=blob, SourceKeyId=other["KeyId"], DestinationKeyId=key["KeyId"])
    kms.disable_key(KeyId=other["KeyId"])
    with refused("IncorrectKeyException", WRONG_KEY):
        kms.decrypt(CiphertextBlob=blob, KeyId=other["Arn"])


def test_other_accounts_and_regions_cannot_decrypt(server: Production, kms: Any, bob: Any, key: Any) -> None:
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    why = (
        "on the resource associated with this ciphertext because the resource does not exist in this Region, no "
        "resource-based policies allow access, or a resource-based policy explicitly denies access"
    )
    with refused(
        "AccessDeniedException",
        f"User: arn:aws:iam::444455556666:user/Bob is not authorized to perform: kms:Decrypt {why}",
    ):
        bob.decrypt(CiphertextBlob=blob)
    elsewhere = server.client(access=Access(server.root.key_id, server.root.secret, "eu-west-1"))
    with refused(
        "AccessDeniedException",
        f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: kms:Decrypt {why}",
    ):
        elsewhere.decrypt(CiphertextBlob=blob)
    with refused(
        "AccessDeniedException",
        f"User: arn:aws:iam::444455556666:user/Bob is not authorized to perform: kms:ReEncryptFrom {why}",
    ):
        bob.re_encrypt(CiphertextBlob=blob, DestinationKeyId=bob.create_key()["KeyMetadata"]["KeyId"])


def test_re_encrypt(kms: Any, key: Any) -> None:
    other = kms.create_key()["KeyMetadata"]
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext={"a": "1"})["CiphertextBlob"]
    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext={"a": "1"},
        DestinationKeyId=other["KeyId"],
        DestinationEncryptionContext={"b": "2"},
    )
    new = moved.pop("CiphertextBlob")
    del moved["ResponseMetadata"]
    assert moved == {
        "SourceKeyId": key["Arn"],
        "KeyId": other["Arn"],
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "SourceKeyMaterialId": key["CurrentKeyMaterialId"],
        "DestinationKeyMaterialId": other["CurrentKeyMaterialId"],
    }
    decrypted = kms.decrypt(CiphertextBlob=new, KeyId=other["KeyId"], EncryptionContext={"b": "2"})
    assert decrypted["Plaintext"] == b"x"
    for wrong in ({}, {"b": "2"}):
        with refused("InvalidCiphertextException"):
            kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=wrong, DestinationKeyId=other["KeyId"])
    kms.disable_key(KeyId=other["KeyId"])
    with refused("DisabledException", f"{other['Arn']} is disabled."):
        kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext={"a": "1"}, DestinationKeyId=other["KeyId"])


def test_algorithms_of_other_specs_are_refused(kms: Any, key: Any) -> None:
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionAlgorithm="SYMMETRIC_DEFAULT")["CiphertextBlob"]
    message = "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."
    with refused("InvalidKeyUsageException", message):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    with refused("InvalidKeyUsageException", message):
        kms.decrypt(KeyId=key["KeyId"], CiphertextBlob=blob, EncryptionAlgorithm="RSAES_OAEP_SHA_256")


# -- data keys and random numbers


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ({"KeySpec": "AES_128"}, 16),
        ({"KeySpec": "AES_256"}, 32),
        *(({"NumberOfBytes": n}, n) for n in (1, 33, 64, 1024)),
    ],
)
def test_data_keys_have_the_size_asked_for(kms: Any, key: Any, size: Any, count: int) -> None:
    context = {"table": "orders"}
    made = kms.generate_data_key(KeyId=key["KeyId"], EncryptionContext=context, **size)
    assert members(made) == {"CiphertextBlob", "KeyId", "KeyMaterialId", "Plaintext"}
    assert (made["KeyId"], made["KeyMaterialId"]) == (key["Arn"], key["CurrentKeyMaterialId"])
    assert len(made["Plaintext"]) == count
    assert (
        kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=context)["Plaintext"] == made["Plaintext"]
    )
    hidden = kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], EncryptionContext=context, **size)
    assert members(hidden) == {"CiphertextBlob", "KeyId", "KeyMaterialId"}
    assert len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"], EncryptionContext=context)["Plaintext"]) == count
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=made["CiphertextBlob"])


@pytest.mark.parametrize("call", ["generate_data_key", "generate_data_key_without_plaintext"])
def test_data_keys_need_exactly_one_size(kms: Any, key: Any, call: str) -> None:
    generate = getattr(kms, call)
    message = "Please specify either number of bytes or key spec."
    for sizes in ({}, {"KeySpec": "AES_256", "NumberOfBytes": 32}):
        with refused("ValidationException", message):
            generate(KeyId=key["KeyId"], **sizes)
        with refused("NotFoundException", f"Key '{PREFIX}key/{ABSENT}' does not exist"):
            generate(KeyId=ABSENT, **sizes)
    kms.disable_key(KeyId=key["KeyId"])
    with refused("ValidationException", message):
        generate(KeyId=key["KeyId"])
    with refused("DisabledException", f"{key['Arn']} is disabled."):
        generate(KeyId=key["KeyId"], NumberOfBytes=32)
    with refused(
        "ValidationException",
        "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: "
        "Member must have value less than or equal to 1024",
    ):
        generate(KeyId=ABSENT, NumberOfBytes=1025)


def test_generate_random(kms: Any) -> None:
    for count in (1, 32, 1024):
        assert len(kms.generate_random(NumberOfBytes=count)["Plaintext"]) == count
    assert kms.generate_random(NumberOfBytes=32)["Plaintext"] != kms.generate_random(NumberOfBytes=32)["Plaintext"]
    with refused("ValidationException", "NumberOfBytes is required."):
        kms.generate_random()
    with refused(
        "ValidationException",
        "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: "
        "Member must have value less than or equal to 1024",
    ):
        kms.generate_random(NumberOfBytes=1025)


# -- DryRun and Recipient


def test_dry_run_does_all_but_the_work(kms: Any, key: Any) -> None:
    key_id = key["KeyId"]
    blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    calls = (
        (kms.encrypt, {"KeyId": key_id, "Plaintext": b"x"}),
        (kms.decrypt, {"KeyId": key_id, "CiphertextBlob": blob}),
        (kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": key_id}),
        (kms.generate_data_key, {"KeyId": key_id, "KeySpec": "AES_256"}),
        (kms.generate_data_key_without_plaintext, {"KeyId": key_id, "KeySpec": "AES_256"}),
    )
    for call, arguments in calls:
        with refused("DryRunOperationException", DRY_RUN):
            call(**arguments, DryRun=True)
        assert call(**arguments, DryRun=False)["KeyId"] == key["Arn"]
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"not": "this"}, DryRun=True)
    kms.disable_key(KeyId=key_id)
    for call, arguments in calls:
        with refused("DisabledException", f"{key['Arn']} is disabled."):
            call(**arguments, DryRun=True)


def test_a_recipient_is_refused_and_not_ignored(kms: Any, key: Any) -> None:
    """Who asks for a plaintext that only an enclave can read must not get one in the clear."""
    recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"doc"}
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    message = "Recipient is not supported: this server attests no enclaves."
    for call, arguments in (
        (kms.decrypt, {"CiphertextBlob": blob}),
        (kms.generate_data_key, {"KeyId": key["KeyId"], "KeySpec": "AES_256"}),
        (kms.generate_random, {"NumberOfBytes": 32}),
    ):
        with refused("ValidationException", message):
            call(**arguments, Recipient=recipient)


# -- which fault is told when several apply


def test_precedence(server: Production, kms: Any, key: Any) -> None:
    disabled = kms.create_key()["KeyMetadata"]
    kms.disable_key(KeyId=disabled["KeyId"])
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"]
    # The model's constraints come before any lookup,
    body = {"KeyId": ABSENT, "NumberOfBytes": 0}
    assert server.signed("GenerateDataKey", body).fault == (400, "ValidationException")
    # the form of an alias before its lookup,
    assert code_of(kms.enable_key, KeyId="alias/absent") == "InvalidArnException"
    # the key's state before the algorithm,
    with refused("DisabledException", f"{disabled['Arn']} is disabled."):
        kms.encrypt(KeyId=disabled["KeyId"], Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_1")
    # a ciphertext that is none before the key's state,
    assert code_of(kms.decrypt, KeyId=disabled["KeyId"], CiphertextBlob=b"garbage") == "InvalidCiphertextException"
    # another key's ciphertext too,
    assert code_of(kms.decrypt, KeyId=disabled["KeyId"], CiphertextBlob=blob) == "IncorrectKeyException"
    # and the state before a wrong encryption context.
    kms.disable_key(KeyId=key["KeyId"])
    assert code_of(kms.decrypt, CiphertextBlob=blob, EncryptionContext={"a": "b"}) == "DisabledException"


@pytest.mark.parametrize("body", ["", "[]", "null", '{"KeyId":1}', '{"KeyId":["a"]}', '{"KeyId":', "\xff", "{}{}"])
def test_bodies_that_are_no_request(server: Production, body: str) -> None:
    answer = server.raw(signed_request(server.url, server.root, "DescribeKey", body.encode("latin-1")))
    assert answer.fault == (400, "SerializationException")


def test_unknown_and_null_members_are_ignored(server: Production, key: Any) -> None:
    answer = server.signed("DescribeKey", {"KeyId": key["KeyId"], "GrantTokens": None, "Unheard": {"of": [1]}})
    assert answer.json["KeyMetadata"]["KeyId"] == key["KeyId"]


def test_the_wire_is_that_of_aws(server: Production, key: Any) -> None:
    answer = server.signed("DescribeKey", {"KeyId": key["KeyId"]})
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert len(answer.headers["x-amzn-requestid"]) == 36
    assert isinstance(json.loads(answer.body)["KeyMetadata"]["CreationDate"], float)
    assert b"null" not in answer.body
    nothing = server.signed("EnableKey", {"KeyId": key["KeyId"]})
    assert (nothing.status, nothing.body, nothing.headers["content-length"]) == (200, b"", "0")
    unknown = server.signed("NoSuchOperation", {})
    assert (unknown.status, unknown.body) == (400, b'{"__type":"UnknownOperationException"}')
