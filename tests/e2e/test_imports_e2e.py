# SPDX-License-Identifier: Apache-2.0
"""Imported key material: every kind of it under every wrapping, its tokens, its expiry, and what is refused."""

import hmac
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)
from matrix import (
    EXPIRES,
    FOREVER,
    KINDS,
    MAC,
    SIGNING,
    SYMMETRIC,
    Kind,
    Own,
    call,
    described,
    digest,
    entries,
    external,
    import_request,
    outcome,
    own,
    put,
    refusal,
    wrap,
    wrapping_algorithm,
)
from servers import ACCOUNT, Production, refused

from keyquorum.crypto.importing import WRAPPING
from keyquorum.testing import Server

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)


@pytest.fixture
def dev(keyquorum: Server) -> Any:
    """A client of a server with a clock."""
    return keyquorum.client()


# -- what is imported is what is used


def _uses_own(kms: Any, key: Any, kind: Kind, mine: Own) -> None:
    """The server does with the key what only who has the material can do, or undo."""
    key_id, algorithm = key["KeyId"], kind.algorithms[0]
    if kind.spec == "SYMMETRIC_DEFAULT":
        blob = kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        return
    if kind.usage == "GENERATE_VERIFY_MAC":
        mac = kms.generate_mac(KeyId=key_id, Message=b"message", MacAlgorithm=algorithm)["Mac"]
        assert hmac.digest(mine.material, b"message", f"sha{algorithm[-3:]}") == mac
        return
    assert kms.get_public_key(KeyId=key_id)["PublicKey"] == mine.public_key
    if kind.usage == "KEY_AGREEMENT":
        peer = own(kind.spec)
        answer = kms.derive_shared_secret(KeyId=key_id, KeyAgreementAlgorithm="ECDH", PublicKey=peer.public_key)
        assert answer["SharedSecret"] == mine.private.exchange(ec.ECDH(), peer.private.public_key())
        assert answer["KeyOrigin"] == "EXTERNAL"
    elif kind.usage == "ENCRYPT_DECRYPT":
        oaep = OAEP(MGF1(SHA256()), SHA256(), None)
        blob = mine.private.public_key().encrypt(b"x", oaep)
        asked = {"KeyId": key_id, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
        assert kms.decrypt(CiphertextBlob=blob, **asked)["Plaintext"] == b"x"
        assert mine.private.decrypt(kms.encrypt(Plaintext=b"y", **asked)["CiphertextBlob"], oaep) == b"y"
    else:
        request = {"KeyId": key_id, "SigningAlgorithm": algorithm}
        signature = kms.sign(Message=digest(algorithm, b"message"), MessageType="DIGEST", **request)["Signature"]
        assert kms.verify(Message=b"message", Signature=signature, **request)["SignatureValid"]


def _wrappings(kind: Kind) -> list[Any]:
    """RSA_2048 with every algorithm; longer wrapping keys, whose generation takes long, with one."""
    found = []
    for wrapping, algorithms in WRAPPING[kind.spec].items():
        for algorithm in algorithms if wrapping == "RSA_2048" else algorithms[:1]:
            slow = wrapping != "RSA_2048" or kind.spec.startswith("RSA_") or algorithm != algorithms[-1]
            name = "-".join((*kind, wrapping, algorithm))
            found.append(pytest.param(kind, wrapping, algorithm, id=name, marks=(pytest.mark.slow,) if slow else ()))
    return found


@pytest.mark.parametrize(
    ("kind", "wrapping", "algorithm"), [case for kind in KINDS if kind.imported for case in _wrappings(kind)]
)
def test_every_kind_under_every_wrapping(kms: Any, kind: Kind, wrapping: str, algorithm: str) -> None:
    key, mine = external(kms, kind), own(kind.spec)
    request = import_request(kms, key["KeyId"], kind.spec, mine.material, wrapping=wrapping, algorithm=algorithm)
    answer = call(kms, "ImportKeyMaterial", **request)
    symmetric = kind == SYMMETRIC
    assert set(answer) == ({"KeyId", "KeyMaterialId"} if symmetric else {"KeyId"})
    assert answer["KeyId"] == key["Arn"]
    now = described(kms, key)
    assert (now["KeyState"], now["Enabled"], now["ExpirationModel"]) == ("Enabled", True, FOREVER)
    assert ("CurrentKeyMaterialId" in now) is symmetric
    assert "ValidTo" not in now
    _uses_own(kms, key, kind, mine)


@pytest.mark.parametrize(
    ("spec", "wrapping", "algorithm"),
    [
        (spec, wrapping, algorithm)
        for spec in ("SYMMETRIC_DEFAULT", "HMAC_512", "RSA_2048", "ECC_NIST_P521")
        for wrapping in WRAPPING[spec]
        for algorithm in (
            *("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"),
            *("RSAES_PKCS1_V1_5", "SM2PKE"),
        )
        if algorithm not in WRAPPING[spec][wrapping]
    ],
)
def test_wrappings_that_do_not_go_with_a_spec(kms: Any, spec: str, wrapping: str, algorithm: str) -> None:
    key = external(kms, next(kind for kind in KINDS if kind.spec == spec))
    with refused(
        "UnsupportedOperationException",
        f"Wrapping algorithm {algorithm} with wrapping key spec {wrapping} is not supported for key spec {spec}.",
    ):
        kms.get_parameters_for_import(KeyId=key["KeyId"], WrappingAlgorithm=algorithm, WrappingKeySpec=wrapping)


def test_parameters(kms: Any) -> None:
    key = external(kms)
    before = datetime.now().astimezone()
    answer = call(
        kms,
        "GetParametersForImport",
        KeyId=key["KeyId"],
        WrappingAlgorithm="RSAES_OAEP_SHA_256",
        WrappingKeySpec="RSA_2048",
    )
    assert set(answer) == {"KeyId", "ImportToken", "PublicKey", "ParametersValidTo"}
    assert answer["KeyId"] == key["Arn"]
    assert abs(answer["ParametersValidTo"] - before - DAY) < timedelta(minutes=1)
    public: Any = load_der_public_key(answer["PublicKey"])
    assert public.key_size == 2048
    own_origin = kms.create_key()["KeyMetadata"]
    message = f"{own_origin['Arn']} origin is AWS_KMS which is not valid for this operation."
    for operation, members in (
        ("GetParametersForImport", {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}),
        ("ImportKeyMaterial", {"ImportToken": b"x", "EncryptedKeyMaterial": b"x"}),
        ("DeleteImportedKeyMaterial", {}),
    ):
        told = outcome(kms, operation, KeyId=own_origin["KeyId"], **members)
        assert told == ("UnsupportedOperationException", message), operation


# -- tokens


def test_tokens_are_for_one_key(kms: Any) -> None:
    one, two = external(kms), external(kms)
    request = import_request(kms, one["KeyId"], "SYMMETRIC_DEFAULT", os.urandom(32))
    token = request["ImportToken"]
    for changes in (
        {"KeyId": two["KeyId"]},
        {"ImportToken": token[:-1]},
        {"ImportToken": token[:-1] + bytes([token[-1] ^ 1])},
        {"ImportToken": bytes([token[0] ^ 1]) + token[1:]},
        {"ImportToken": b"token"},
    ):
        assert outcome(kms, "ImportKeyMaterial", **{**request, **changes}) == ("InvalidImportTokenException", "")
    assert outcome(kms, "ImportKeyMaterial", **request) == ("", "")


def test_a_token_and_its_public_key_belong_together(kms: Any) -> None:
    key, material = external(kms), os.urandom(32)
    one, two = (import_request(kms, key["KeyId"], "SYMMETRIC_DEFAULT", material) for _ in range(2))
    mixed = {**one, "ImportToken": two["ImportToken"]}
    assert outcome(kms, "ImportKeyMaterial", **mixed) == ("InvalidCiphertextException", "")
    assert described(kms, key)["KeyState"] == "PendingImport"


def test_a_grant_token_is_no_import_token(kms: Any) -> None:
    """Both are sealed under one key, each for its purpose."""
    key = external(kms)
    grantable = kms.create_key()["KeyMetadata"]["KeyId"]
    token = kms.create_grant(KeyId=grantable, GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:root", Operations=["Encrypt"])[
        "GrantToken"
    ]
    told = refusal(kms, key, bytes(32), ImportToken=bytes.fromhex(token))
    assert told == ("InvalidImportTokenException", "")


def test_tokens_are_good_for_a_day(keyquorum: Server, dev: Any) -> None:
    key, other = external(dev), external(dev)
    request, late = (import_request(dev, k["KeyId"], "SYMMETRIC_DEFAULT", os.urandom(32)) for k in (key, other))
    keyquorum.advance(DAY - timedelta(minutes=5))
    assert outcome(dev, "ImportKeyMaterial", **request) == ("", "")
    assert outcome(dev, "ImportKeyMaterial", **request) == ("", "")  # the same set again, within its day
    keyquorum.advance(timedelta(minutes=6))
    assert outcome(dev, "ImportKeyMaterial", **late) == ("ExpiredImportTokenException", "")


@pytest.mark.slow
def test_tokens_and_material_outlive_the_process(start: Callable[..., Production]) -> None:
    server = start()
    kms, mine = server.client(), own(SIGNING.spec)
    key, other = external(kms, SIGNING), external(kms)
    put(kms, key, mine.material)
    request = import_request(kms, other["KeyId"], "SYMMETRIC_DEFAULT", os.urandom(32))
    server.stop()
    kms = start().client()
    _uses_own(kms, key, SIGNING, mine)
    assert outcome(kms, "ImportKeyMaterial", **request) == ("", "")


# -- expiry


def test_expiration_models(keyquorum: Server, dev: Any) -> None:
    key, material = external(dev), os.urandom(32)
    now = key["CreationDate"]
    missing = ("ValidationException", f"A validTo date must be set if the ExpirationModel is {EXPIRES}")
    assert refusal(dev, key, material, ExpirationModel=None) == missing
    assert refusal(dev, key, material, ExpirationModel=EXPIRES) == missing
    assert refusal(dev, key, material, ValidTo=now + DAY) == (
        "ValidationException",
        f"A validTo date must not be set if the ExpirationModel is {FOREVER}",
    )
    bounds = ("ValidationException", "The validTo date must be in the future, and at most 365 days ahead")
    for date in (now - timedelta(seconds=1), now + 366 * DAY):
        assert refusal(dev, key, material, ExpirationModel=EXPIRES, ValidTo=date) == bounds
    assert described(dev, key)["KeyState"] == "PendingImport"
    put(dev, key, material, ExpirationModel=None, ValidTo=now + 364 * DAY)
    found = described(dev, key)
    assert (found["ExpirationModel"], found["ValidTo"]) == (EXPIRES, now + 364 * DAY)
    # Imported again, the material gets another date, or none.
    put(dev, key, material, ExpirationModel=EXPIRES, ValidTo=now + 10 * DAY)
    assert described(dev, key)["ValidTo"] == now + 10 * DAY
    put(dev, key, material)
    found = described(dev, key)
    assert (found["ExpirationModel"], "ValidTo" in found) == (FOREVER, False)
    keyquorum.advance(400 * DAY)
    assert described(dev, key)["KeyState"] == "Enabled"


@pytest.mark.parametrize("kind", [SYMMETRIC, MAC, SIGNING], ids=lambda kind: kind.spec)
def test_material_expires_and_comes_back(keyquorum: Server, dev: Any, kind: Kind) -> None:
    key, mine = external(dev, kind), own(kind.spec)
    put(dev, key, mine.material, ExpirationModel=EXPIRES, ValidTo=key["CreationDate"] + 2 * DAY)
    blob = dev.encrypt(KeyId=key["KeyId"], Plaintext=b"x")["CiphertextBlob"] if kind == SYMMETRIC else b""
    keyquorum.advance(DAY)
    _uses_own(dev, key, kind, mine)
    keyquorum.advance(DAY)
    found = described(dev, key)
    assert (found["KeyState"], found["Enabled"]) == ("PendingImport", False)
    assert not {"ExpirationModel", "ValidTo"} & set(found)
    assert ("CurrentKeyMaterialId" in found) is (kind == SYMMETRIC)
    pending = ("KMSInvalidStateException", f"{key['Arn']} is pending import.")
    if kind == SYMMETRIC:
        assert outcome(dev, "Encrypt", KeyId=key["KeyId"], Plaintext=b"x") == pending
        assert outcome(dev, "Decrypt", CiphertextBlob=blob) == pending
        (entry,) = entries(dev, key)
        assert entry["ImportState"] == "PENDING_IMPORT"
        assert not {"ExpirationModel", "ValidTo"} & set(entry)
    assert refusal(dev, key, own(kind.spec).material)[0] == "IncorrectKeyMaterialException"
    put(dev, key, mine.material)
    assert described(dev, key)["KeyState"] == "Enabled"
    _uses_own(dev, key, kind, mine)
    if kind == SYMMETRIC:
        assert dev.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


def test_material_of_a_key_that_waits_for_its_deletion(keyquorum: Server, dev: Any) -> None:
    key, material = external(dev), os.urandom(32)
    put(dev, key, material, ExpirationModel=EXPIRES, ValidTo=key["CreationDate"] + 2 * DAY)
    dev.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    keyquorum.advance(3 * DAY)
    assert described(dev, key)["KeyState"] == "PendingDeletion"
    assert refusal_state(dev, key) == ("KMSInvalidStateException", f"{key['Arn']} is pending deletion.")
    dev.cancel_key_deletion(KeyId=key["KeyId"])
    assert described(dev, key)["KeyState"] == "PendingImport"
    put(dev, key, material)
    assert described(dev, key)["KeyState"] == "Enabled"


def refusal_state(kms: Any, key: Any) -> tuple[str, str]:
    members = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    return outcome(kms, "GetParametersForImport", KeyId=key["KeyId"], **members)


# -- deletion


@pytest.mark.parametrize("kind", [SYMMETRIC, MAC, SIGNING], ids=lambda kind: kind.spec)
def test_delete_and_import_again(kms: Any, kind: Kind) -> None:
    key, mine = external(kms, kind), own(kind.spec)
    nothing = {"KeyId": key["Arn"]}
    assert call(kms, "DeleteImportedKeyMaterial", KeyId=key["KeyId"]) == nothing
    material_id = put(kms, key, mine.material).get("KeyMaterialId")
    told = {**nothing, **({"KeyMaterialId": material_id} if kind == SYMMETRIC else {})}
    assert call(kms, "DeleteImportedKeyMaterial", KeyId=key["KeyId"]) == told
    assert described(kms, key)["KeyState"] == "PendingImport"
    assert call(kms, "DeleteImportedKeyMaterial", KeyId=key["KeyId"]) == told
    assert refusal(kms, key, own(kind.spec).material)[0] == "IncorrectKeyMaterialException"
    assert put(kms, key, mine.material).get("KeyMaterialId") == material_id
    _uses_own(kms, key, kind, mine)


# -- malformed material


def pkcs8(private: Any) -> bytes:
    encoded: bytes = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return encoded


_P256 = ec.generate_private_key(ec.SECP256R1())
_RSA = rsa.generate_private_key(65537, 2048)

MALFORMED = [
    *((SYMMETRIC, "size", material) for material in (bytes(31), bytes(33), bytes(16), b"\x00")),
    *((MAC, "size", material) for material in (bytes(31), bytes(129))),
    (SIGNING, "other curve", pkcs8(ec.generate_private_key(ec.SECP384R1()))),
    (SIGNING, "secp256k1", pkcs8(ec.generate_private_key(ec.SECP256K1()))),
    (SIGNING, "ed25519", pkcs8(ed25519.Ed25519PrivateKey.generate())),
    (SIGNING, "rsa", pkcs8(_RSA)),
    (SIGNING, "sec1", _P256.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())),
    (SIGNING, "pem", _P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())),
    (SIGNING, "cut", pkcs8(_P256)[:-1]),
    (SIGNING, "trailing", pkcs8(_P256) + b"\x00"),
    (SIGNING, "foreign point", pkcs8(_P256)[:-65] + pkcs8(ec.generate_private_key(ec.SECP256R1()))[-65:]),
    (SIGNING, "garbage", os.urandom(138)),
    (Kind("RSA_2048", "SIGN_VERIFY"), "ec", pkcs8(_P256)),
    (Kind("RSA_2048", "SIGN_VERIFY"), "pkcs1", _RSA.private_bytes(
        Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )),
    (Kind("RSA_2048", "SIGN_VERIFY"), "no prime", pkcs8(_RSA)[:-1] + bytes([pkcs8(_RSA)[-1] ^ 1])),
    (Kind("RSA_3072", "SIGN_VERIFY"), "size", pkcs8(_RSA)),
    (Kind("RSA_2048", "ENCRYPT_DECRYPT"), "garbage", os.urandom(1200)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "material"),
    [
        # The length of new material is another in each process, and its name must not be.
        pytest.param(k, m, id=f"{k.spec}-{name}-{n}", marks=(pytest.mark.slow,) if "RSA" in k.spec else ())
        for n, (k, name, m) in enumerate(MALFORMED)
    ],
)
def test_malformed_material(kms: Any, kind: Kind, material: bytes) -> None:
    key = external(kms, kind)
    assert refusal(kms, key, material) == ("IncorrectKeyMaterialException", "")
    assert described(kms, key)["KeyState"] == "PendingImport"


@pytest.mark.parametrize("kind", [SYMMETRIC, SIGNING], ids=lambda kind: kind.spec)
def test_what_does_not_unwrap(kms: Any, kind: Kind) -> None:
    key, mine = external(kms, kind), own(kind.spec)
    algorithm = wrapping_algorithm(kind.spec)
    parameters = kms.get_parameters_for_import(
        KeyId=key["KeyId"], WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_2048"
    )
    good = wrap(parameters["PublicKey"], algorithm, mine.material)
    other = "RSAES_OAEP_SHA_1" if kind == SYMMETRIC else "RSA_AES_KEY_WRAP_SHA_1"
    public: Any = load_der_public_key(parameters["PublicKey"])
    short = public.encrypt(bytes(16), OAEP(MGF1(SHA256()), SHA256(), None))
    for wrong in (
        good[:-1],
        good + b"\x00",
        good[:-1] + bytes([good[-1] ^ 1]),
        mine.material,
        wrap(parameters["PublicKey"], other, mine.material),
        short + aes_key_wrap_with_padding(bytes(16), mine.material),
    ):
        with refused("InvalidCiphertextException"):
            kms.import_key_material(
                KeyId=key["KeyId"],
                ImportToken=parameters["ImportToken"],
                EncryptedKeyMaterial=wrong,
                ExpirationModel=FOREVER,
            )
    assert described(kms, key)["KeyState"] == "PendingImport"
