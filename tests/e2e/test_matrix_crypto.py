# SPDX-License-Identifier: Apache-2.0
"""Every algorithm and message type of every kind of key through boto3, judged by implementations that are not ours: the
openssl command line, dilithium-py, kyber-py, and RFC 8032 as arithmetic."""

import hashlib
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from dilithium_py.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87
from ed25519_arithmetic import verify as verify_ed25519
from kyber_py.ml_kem import ML_KEM_512, ML_KEM_768, ML_KEM_1024
from matrix import KINDS, Kind, Stock, call, cases, digest, import_request, message_for, own
from openssl import OpenSSL
from openssl import openssl as openssl_fixture
from servers import refused

pytestmark = pytest.mark.slow

ML_DSA: dict[str, tuple[Any, int]] = {
    "ML_DSA_44": (ML_DSA_44, 1312),
    "ML_DSA_65": (ML_DSA_65, 1952),
    "ML_DSA_87": (ML_DSA_87, 2592),
}
ML_KEM: dict[str, tuple[Any, int]] = {
    "ML_KEM_512": (ML_KEM_512, 800),
    "ML_KEM_768": (ML_KEM_768, 1184),
    "ML_KEM_1024": (ML_KEM_1024, 1568),
}
MESSAGE = b"attack at dawn" * 7
SIGNERS = [kind for kind in KINDS if kind.usage == "SIGN_VERIFY"]
HASHING = [kind for kind in SIGNERS if kind.spec.startswith(("RSA_", "ECC_")) and "EDWARDS" not in kind.spec]
CURVES: dict[str, ec.EllipticCurve] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
}

openssl = openssl_fixture


@pytest.fixture(scope="module")
def stock(kms: Any) -> Stock:
    return Stock(kms)


def last_usage(kms: Any, key: Any) -> str:
    return str(kms.get_key_last_usage(KeyId=key["KeyId"])["KeyLastUsage"].get("Operation"))


# -- signatures


def judge(openssl: OpenSSL, kind: Kind, algorithm: str, public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether others' software takes the signature of ``message``."""
    if kind.spec in ML_DSA:
        other, size = ML_DSA[kind.spec]
        return bool(other.verify(public_key[-size:], message, signature))
    if kind.spec == "ECC_NIST_EDWARDS25519":
        if algorithm == "ED25519_PH_SHA_512":
            return verify_ed25519(public_key[-32:], hashlib.sha512(message).digest(), signature, prehashed=True)
        return verify_ed25519(public_key[-32:], message, signature)
    if kind.spec == "ECC_SECG_P256K1":  # signed by libsecp256k1, so OpenSSL in this process is someone else
        public: Any = load_der_public_key(public_key)
        try:
            public.verify(signature, digest(algorithm, message), ECDSA(Prehashed(SHA256())))
        except InvalidSignature:
            return False
        return True
    options: list[str | bytes] = ["-pkeyopt", f"digest:{algorithm[-7:].replace('_', '').lower()}"]
    if "PSS" in algorithm:
        options += ["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest"]
    options += ["-inkey", public_key, "-in", digest(algorithm, message), "-sigfile", signature]
    return not openssl.fails("pkeyutl", "-verify", "-pubin", "-keyform", "DER", *options)


@cases(SIGNERS)
def test_signatures_convince_others(kms: Any, stock: Stock, openssl: OpenSSL, kind: Kind) -> None:
    key, public_key = stock.key(kind), stock.public_key(kind)
    for algorithm in kind.algorithms:
        message_type, message = message_for(algorithm, MESSAGE)
        request = {"KeyId": key["KeyId"], "SigningAlgorithm": algorithm, "MessageType": message_type}
        answer = call(kms, "Sign", Message=message, **request)
        signature = answer.pop("Signature")
        assert answer == {"KeyId": key["Arn"], "SigningAlgorithm": algorithm}
        # The digest is the message of Ed25519ph, which hashes it once more; others see what was hashed once.
        signed = message if algorithm == "ED25519_PH_SHA_512" else MESSAGE
        assert judge(openssl, kind, algorithm, public_key, signature, signed)
        assert not judge(openssl, kind, algorithm, public_key, signature, signed + b"!")
        assert last_usage(kms, key) == "Sign"
        assert call(kms, "Verify", Message=message, Signature=signature, **request) == {
            "KeyId": key["Arn"],
            "SignatureValid": True,
            "SigningAlgorithm": algorithm,
        }
        assert last_usage(kms, key) == "Verify"
        for bad in (signature[:-1] + bytes([signature[-1] ^ 1]), signature[1:], signature + b"\x00", b"\x00"):
            with refused("KMSInvalidSignatureException"):
                kms.verify(Message=message, Signature=bad, **request)
        other = message[:-1] + bytes([message[-1] ^ 1])
        with refused("KMSInvalidSignatureException"):
            kms.verify(Message=other, Signature=signature, **request)


@cases(HASHING)
def test_digests_are_not_hashed_again(kms: Any, stock: Stock, openssl: OpenSSL, kind: Kind) -> None:
    key, public_key = stock.key(kind), stock.public_key(kind)
    for algorithm in kind.algorithms:
        request = {"KeyId": key["KeyId"], "SigningAlgorithm": algorithm}
        hashed = digest(algorithm, MESSAGE)
        signature = kms.sign(Message=hashed, MessageType="DIGEST", **request)["Signature"]
        assert judge(openssl, kind, algorithm, public_key, signature, MESSAGE)
        assert kms.verify(Message=MESSAGE, MessageType="RAW", Signature=signature, **request)["SignatureValid"]
        assert kms.verify(Message=MESSAGE, Signature=signature, **request)["SignatureValid"]
        with refused("KMSInvalidSignatureException"):
            kms.verify(Message=hashed, MessageType="RAW", Signature=signature, **request)
        for wrong in (hashed[:-1], hashed + b"\x00", b"x"):
            with refused("ValidationException", f"Digest is invalid length for algorithm {algorithm}."):
                kms.sign(Message=wrong, MessageType="DIGEST", **request)
            with refused("ValidationException", f"Digest is invalid length for algorithm {algorithm}."):
                kms.verify(Message=wrong, MessageType="DIGEST", Signature=signature, **request)
        with refused("ValidationException", f"Message type EXTERNAL_MU is incompatible with key spec {kind.spec}."):
            kms.sign(Message=bytes(64), MessageType="EXTERNAL_MU", **request)


def test_message_types_of_ed25519(kms: Any, stock: Stock) -> None:
    kind = Kind("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
    key_id = stock.key(kind)["KeyId"]
    for algorithm, message_type, message in (
        ("ED25519_SHA_512", "DIGEST", "Message type DIGEST is incompatible with algorithm ED25519_SHA_512."),
        ("ED25519_PH_SHA_512", "RAW", "Message type RAW is incompatible with algorithm ED25519_PH_SHA_512."),
        ("ED25519_SHA_512", "EXTERNAL_MU", f"Message type EXTERNAL_MU is incompatible with key spec {kind.spec}."),
    ):
        request = {"KeyId": key_id, "SigningAlgorithm": algorithm, "MessageType": message_type, "Message": bytes(64)}
        with refused("ValidationException", message):
            kms.sign(**request)
        with refused("ValidationException", message):
            kms.verify(**request, Signature=bytes(64))
    with refused("ValidationException", "Digest is invalid length for algorithm ED25519_PH_SHA_512."):
        kms.sign(KeyId=key_id, SigningAlgorithm="ED25519_PH_SHA_512", MessageType="DIGEST", Message=bytes(63))
    with refused("ValidationException", "Message type RAW is incompatible with algorithm ED25519_PH_SHA_512."):
        kms.sign(KeyId=key_id, SigningAlgorithm="ED25519_PH_SHA_512", Message=bytes(64))


@cases([kind for kind in SIGNERS if kind.spec in ML_DSA])
def test_message_types_of_ml_dsa(kms: Any, stock: Stock, kind: Kind) -> None:
    key, public_key = stock.key(kind), stock.public_key(kind)
    other, size = ML_DSA[kind.spec]
    mu = other.prehash_external_mu(public_key[-size:], MESSAGE)
    request = {"KeyId": key["KeyId"], "SigningAlgorithm": "ML_DSA_SHAKE_256"}
    signature = kms.sign(Message=mu, MessageType="EXTERNAL_MU", **request)["Signature"]
    assert other.verify(public_key[-size:], MESSAGE, signature)
    assert kms.verify(Message=MESSAGE, MessageType="RAW", Signature=signature, **request)["SignatureValid"]
    assert kms.verify(Message=mu, MessageType="EXTERNAL_MU", Signature=signature, **request)["SignatureValid"]
    with refused("KMSInvalidSignatureException"):
        kms.verify(Message=mu, MessageType="RAW", Signature=signature, **request)
    with refused("ValidationException", f"Message type DIGEST is incompatible with key spec {kind.spec}."):
        kms.sign(Message=bytes(64), MessageType="DIGEST", **request)
    with refused("ValidationException", "External Mu is invalid length for algorithm ML_DSA_SHAKE_256."):
        kms.sign(Message=bytes(63), MessageType="EXTERNAL_MU", **request)


@pytest.mark.parametrize("algorithm", ["RSASSA_PSS_SHA_256", "RSASSA_PKCS1_V1_5_SHA_256"])
def test_signatures_without_their_leading_zero_are_refused(kms: Any, algorithm: str) -> None:
    """RFC 8017, section 8.1.2: a signature is as long as the modulus, and OpenSSL does not check that by itself."""
    mine = own("RSA_2048")
    key_id = kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY", Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    kms.import_key_material(**import_request(kms, key_id, "RSA_2048", mine.material))
    pss = PSS(MGF1(SHA256()), salt_length=32)
    for number in range(10_000):
        message = str(number).encode()
        signature = mine.private.sign(message, pss if "PSS" in algorithm else PKCS1v15(), SHA256())
        if signature[0] == 0:
            break
    request = {"KeyId": key_id, "Message": message, "SigningAlgorithm": algorithm}
    assert kms.verify(**request, Signature=signature)["SignatureValid"]
    for other in (signature[1:], b"\x00" + signature):
        with refused("KMSInvalidSignatureException"):
            kms.verify(**request, Signature=other)


# -- encryption


@cases([kind for kind in KINDS if kind.usage == "ENCRYPT_DECRYPT" and kind.spec.startswith("RSA")])
def test_rsa_encryption_with_openssl(kms: Any, stock: Stock, openssl: OpenSSL, kind: Kind) -> None:
    key, public_key = stock.key(kind), stock.public_key(kind)
    modulus = int(kind.spec.removeprefix("RSA_")) // 8
    for algorithm, hash_bytes in (("RSAES_OAEP_SHA_1", 20), ("RSAES_OAEP_SHA_256", 32)):
        hash_ = algorithm.removeprefix("RSAES_OAEP_").replace("_", "").lower()
        longest = modulus - 2 * hash_bytes - 2
        options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{hash_}", f"rsa_mgf1_md:{hash_}"]
        theirs = openssl.run(
            *("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", public_key, "-in", bytes(longest)),
            *(word for option in options for word in ("-pkeyopt", option)),
        )
        request = {"KeyId": key["KeyId"], "EncryptionAlgorithm": algorithm}
        assert call(kms, "Decrypt", CiphertextBlob=theirs, **request) == {
            "KeyId": key["Arn"],
            "Plaintext": bytes(longest),
            "EncryptionAlgorithm": algorithm,
        }
        assert last_usage(kms, key) == "Decrypt"
        answer = call(kms, "Encrypt", Plaintext=b"x", **request)
        assert last_usage(kms, key) == "Encrypt"
        ours = answer.pop("CiphertextBlob")
        assert answer == {"KeyId": key["Arn"], "EncryptionAlgorithm": algorithm}
        assert len(ours) == modulus
        assert kms.decrypt(CiphertextBlob=ours, **request)["Plaintext"] == b"x"
        other = next(a for a in kind.algorithms if a != algorithm)
        wrong = {**request, "EncryptionAlgorithm": other}
        for arguments in (
            {"CiphertextBlob": ours, **wrong},
            {"CiphertextBlob": ours[:-1], **request},
            {"CiphertextBlob": bytes(modulus), **request},
            {"CiphertextBlob": ours, "KeyId": key["KeyId"]},  # as SYMMETRIC_DEFAULT, which it is not
        ):
            with refused("InvalidCiphertextException"):
                kms.decrypt(**arguments)
        with refused(
            "ValidationException",
            f"Algorithm {algorithm} and key spec {kind.spec} cannot encrypt data larger than {longest} bytes.",
        ):
            kms.encrypt(Plaintext=bytes(longest + 1), **request)
        with refused(
            "ValidationException",
            "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs.",
        ):
            kms.encrypt(Plaintext=b"x", EncryptionContext={"a": "b"}, **request)


def test_re_encryption_between_kinds(kms: Any, stock: Stock) -> None:
    """Symmetric to RSA and back; the answer has KeyMaterialIds where there are materials with IDs."""
    symmetric, asymmetric = Kind("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), Kind("RSA_2048", "ENCRYPT_DECRYPT")
    one, two = stock.key(symmetric), stock.key(asymmetric)
    algorithm = "RSAES_OAEP_SHA_256"
    blob = kms.encrypt(KeyId=one["KeyId"], Plaintext=b"x", EncryptionContext={"a": "b"})["CiphertextBlob"]
    there = call(
        kms,
        "ReEncrypt",
        CiphertextBlob=blob,
        SourceEncryptionContext={"a": "b"},
        DestinationKeyId=two["KeyId"],
        DestinationEncryptionAlgorithm=algorithm,
    )
    moved = there.pop("CiphertextBlob")
    assert there == {
        "SourceKeyId": one["Arn"],
        "KeyId": two["Arn"],
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": algorithm,
        "SourceKeyMaterialId": one["CurrentKeyMaterialId"],
    }
    assert (last_usage(kms, one), last_usage(kms, two)) == ("ReEncrypt", "ReEncrypt")
    back = call(
        kms,
        "ReEncrypt",
        CiphertextBlob=moved,
        SourceKeyId=two["KeyId"],
        SourceEncryptionAlgorithm=algorithm,
        DestinationKeyId=one["KeyId"],
    )
    blob = back.pop("CiphertextBlob")
    assert back == {
        "SourceKeyId": two["Arn"],
        "KeyId": one["Arn"],
        "SourceEncryptionAlgorithm": algorithm,
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationKeyMaterialId": one["CurrentKeyMaterialId"],
    }
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"


# -- MACs


@cases([kind for kind in KINDS if kind.usage == "GENERATE_VERIFY_MAC"])
def test_macs(kms: Any, stock: Stock, kind: Kind) -> None:
    key, algorithm = stock.key(kind), kind.algorithms[0]
    request = {"KeyId": key["KeyId"], "Message": MESSAGE, "MacAlgorithm": algorithm}
    answer = call(kms, "GenerateMac", **request)
    mac = answer.pop("Mac")
    assert answer == {"KeyId": key["Arn"], "MacAlgorithm": algorithm}
    assert len(mac) * 8 == int(algorithm[-3:])
    assert kms.generate_mac(**request)["Mac"] == mac
    assert last_usage(kms, key) == "GenerateMac"
    assert call(kms, "VerifyMac", **request, Mac=mac) == {
        "KeyId": key["Arn"],
        "MacAlgorithm": algorithm,
        "MacValid": True,
    }
    assert last_usage(kms, key) == "VerifyMac"
    for bad in (mac[:-1], mac + b"\x00", mac[:-1] + bytes([mac[-1] ^ 1]), mac[:1]):
        with refused("KMSInvalidMacException"):
            kms.verify_mac(**request, Mac=bad)
    with refused("KMSInvalidMacException"):
        kms.verify_mac(**{**request, "Message": MESSAGE + b"!"}, Mac=mac)


# -- agreement and encapsulation


def spki(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@cases([kind for kind in KINDS if kind.usage == "KEY_AGREEMENT"])
def test_shared_secrets(kms: Any, stock: Stock, kind: Kind) -> None:
    key, curve = stock.key(kind), CURVES[kind.spec]
    mine = ec.generate_private_key(curve)
    ours: Any = load_der_public_key(stock.public_key(kind))
    request = {"KeyId": key["KeyId"], "KeyAgreementAlgorithm": "ECDH"}
    assert call(kms, "DeriveSharedSecret", PublicKey=spki(mine), **request) == {
        "KeyId": key["Arn"],
        "SharedSecret": mine.exchange(ec.ECDH(), ours),
        "KeyAgreementAlgorithm": "ECDH",
        "KeyOrigin": "AWS_KMS",
    }
    assert last_usage(kms, key) == "DeriveSharedSecret"
    good = spki(mine)
    head = good[: -2 * ((curve.key_size + 7) // 8)]
    size = (curve.key_size + 7) // 8
    other = ec.generate_private_key(next(c for name, c in CURVES.items() if name != kind.spec))
    for bad in (
        spki(other),
        spki(ec.generate_private_key(ec.SECP256K1())),
        good[:-1],
        good + b"\x00",
        good[:-1] + bytes([good[-1] ^ 1]),  # off the curve
        head + bytes(2 * size),  # (0, 0), which is on none of them
        b"\x00",
    ):
        with refused("ValidationException"):
            kms.derive_shared_secret(PublicKey=bad, **request)


@cases([kind for kind in KINDS if kind.usage == "KEY_AGREEMENT"])
def test_the_point_at_infinity_is_refused(kms: Any, stock: Stock, kind: Kind) -> None:
    """Encoded as one zero byte in the place of the point (SEC 1, section 2.3.3)."""
    good = stock.public_key(kind)
    body = good[2:] if good[1] < 0x80 else good[3:]
    algorithm = body[: 2 + body[1]]
    public = b"\x30" + bytes([len(algorithm) + 4]) + algorithm + bytes.fromhex("03020000")
    with refused("ValidationException"):
        kms.derive_shared_secret(KeyId=stock.key(kind)["KeyId"], KeyAgreementAlgorithm="ECDH", PublicKey=public)


@cases([kind for kind in KINDS if kind.usage == "ENCAPSULATE_DECAPSULATE"])
def test_encapsulation_with_others(kms: Any, stock: Stock, kind: Kind) -> None:
    key, public_key = stock.key(kind), stock.public_key(kind)
    other, size = ML_KEM[kind.spec]
    request = {"KeyId": key["KeyId"], "EncapsulationAlgorithm": "ML_KEM"}
    secret, ciphertext = other.encaps(public_key[-size:])
    assert call(kms, "Decapsulate", SharedSecretCiphertextBlob=ciphertext, **request) == {
        "KeyId": key["Arn"],
        "SharedSecret": secret,
        "EncapsulationAlgorithm": "ML_KEM",
    }
    assert last_usage(kms, key) == "Decapsulate"
    answer = call(kms, "Encapsulate", **request)
    assert last_usage(kms, key) == "Encapsulate"
    ours, blob = answer.pop("SharedSecret"), answer.pop("SharedSecretCiphertextBlob")
    assert answer == {"KeyId": key["Arn"], "EncapsulationAlgorithm": "ML_KEM"}
    assert (len(ours), len(blob)) == (32, len(ciphertext))
    assert kms.decapsulate(SharedSecretCiphertextBlob=blob, **request)["SharedSecret"] == ours
    # Implicit rejection: a secret, always the same one, and not the one that was sent.
    forged = blob[:-1] + bytes([blob[-1] ^ 1])
    rejected = [kms.decapsulate(SharedSecretCiphertextBlob=forged, **request)["SharedSecret"] for _ in range(2)]
    assert rejected[0] == rejected[1] != ours
    for wrong in (blob[:-1], blob + b"\x00", b"\x00"):
        with refused("InvalidCiphertextException"):
            kms.decapsulate(SharedSecretCiphertextBlob=wrong, **request)
