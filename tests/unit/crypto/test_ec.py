# SPDX-License-Identifier: Apache-2.0
"""The elliptic curve provider: ECDSA, ECDH, what it imports, and the openssl command line as a second opinion."""

import hashlib
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec as library
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from openssl import OpenSSL

from keyquorum.crypto import ec
from keyquorum.errors import IncorrectKeyMaterialException, ValidationException

NIST = {"ECC_NIST_P256": 256, "ECC_NIST_P384": 384, "ECC_NIST_P521": 512}
#: Key spec -> the bits of its algorithm's hash function.
SPECS = {**NIST, "ECC_SECG_P256K1": 256}
CURVES = {
    "ECC_NIST_P256": library.SECP256R1(),
    "ECC_NIST_P384": library.SECP384R1(),
    "ECC_NIST_P521": library.SECP521R1(),
    "ECC_SECG_P256K1": library.SECP256K1(),
}
OPENSSL_NAMES = {
    "ECC_NIST_P256": "prime256v1",
    "ECC_NIST_P384": "secp384r1",
    "ECC_NIST_P521": "secp521r1",
    "ECC_SECG_P256K1": "secp256k1",
}
#: SEC 2, sections 2.4.2 and 2.4.1.
ORDERS = {
    "ECC_NIST_P256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ECC_SECG_P256K1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}


@cache
def material(spec: str) -> bytes:
    return ec.generate(spec)


@cache
def key_pair(spec: str) -> ec.KeyPair | ec.Secp256k1KeyPair:
    return ec.open_material(spec, material(spec))


def agreement(spec: str, key: bytes | None = None) -> ec.KeyPair:
    opened = ec.open_material(spec, key or material(spec))
    assert isinstance(opened, ec.KeyPair)
    return opened


def private(spec: str) -> library.EllipticCurvePrivateKey:
    key = load_der_private_key(material(spec), None)
    assert isinstance(key, library.EllipticCurvePrivateKey)
    return key


def pkcs8(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def point(key: library.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def hashed(spec: str, message: bytes) -> bytes:
    return hashlib.new(f"sha{SPECS[spec]}", message).digest()


@pytest.mark.parametrize("spec", SPECS)
def test_a_message_and_its_digest_are_the_same_message(spec: str) -> None:
    key, algorithm, message = key_pair(spec), f"ECDSA_SHA_{SPECS[spec]}", b"a message"
    of_message = key.sign(algorithm, message, "RAW")
    of_digest = key.sign(algorithm, hashed(spec, message), "DIGEST")
    assert key.verify(algorithm, hashed(spec, message), "DIGEST", of_message)
    assert key.verify(algorithm, message, "RAW", of_digest)
    assert not key.verify(algorithm, hashed(spec, message), "RAW", of_message)
    assert not key.verify(algorithm, b"another message", "RAW", of_message)


@pytest.mark.parametrize("spec", SPECS)
def test_refused_message_types_and_lengths(spec: str) -> None:
    key, algorithm = key_pair(spec), f"ECDSA_SHA_{SPECS[spec]}"
    for length in (0, 20, SPECS[spec] // 8 - 1, SPECS[spec] // 8 + 1):
        text = f"^Digest is invalid length for algorithm {algorithm}.$"
        with pytest.raises(ValidationException, match=text):
            key.sign(algorithm, bytes(length), "DIGEST")
        with pytest.raises(ValidationException, match=text):
            key.verify(algorithm, bytes(length), "DIGEST", b"")
    with pytest.raises(ValidationException, match=f"^Message type EXTERNAL_MU is incompatible with key spec {spec}.$"):
        key.sign(algorithm, bytes(64), "EXTERNAL_MU")


@pytest.mark.parametrize("spec", ORDERS)
def test_both_halves_of_s_verify(spec: str) -> None:
    key = key_pair(spec)
    signature = key.sign("ECDSA_SHA_256", b"message", "RAW")
    r, s = decode_dss_signature(signature)
    assert key.verify("ECDSA_SHA_256", b"message", "RAW", encode_dss_signature(r, ORDERS[spec] - s))
    for r_, s_ in ((0, s), (r, 0), (r, ORDERS[spec]), (r, ORDERS[spec] + s), (r + ORDERS[spec], s), (0, 0)):
        assert not key.verify("ECDSA_SHA_256", b"message", "RAW", encode_dss_signature(r_, s_))


def test_secp256k1_signs_with_the_lower_s() -> None:
    key = key_pair("ECC_SECG_P256K1")
    for number in range(64):
        _, s = decode_dss_signature(key.sign("ECDSA_SHA_256", bytes([number]), "RAW"))
        assert s <= ORDERS["ECC_SECG_P256K1"] // 2


@pytest.mark.parametrize("spec", SPECS)
def test_malformed_signatures_are_false(spec: str) -> None:
    key, algorithm = key_pair(spec), f"ECDSA_SHA_{SPECS[spec]}"
    good = key.sign(algorithm, b"message", "RAW")
    for bad in (b"", b"\x30", good[:-1], good + b"\0", b"\x31" + good[1:], bytes(64), b"\x30\x00", bytes(6144)):
        assert not key.verify(algorithm, b"message", "RAW", bad)


def test_secp256k1_and_openssl_in_the_process_agree() -> None:
    """libsecp256k1 signs, the library's OpenSSL verifies, and the reverse."""
    ours, theirs = key_pair("ECC_SECG_P256K1"), private("ECC_SECG_P256K1")
    ecdsa = library.ECDSA(SHA256())
    for number in range(64):
        message = bytes([number])
        theirs.public_key().verify(ours.sign("ECDSA_SHA_256", message, "RAW"), message, ecdsa)
        assert ours.verify("ECDSA_SHA_256", message, "RAW", theirs.sign(message, ecdsa))


@pytest.mark.parametrize("spec", SPECS)
def test_threads_may_share_a_key(spec: str) -> None:
    key, algorithm = key_pair(spec), f"ECDSA_SHA_{SPECS[spec]}"

    def work(number: int) -> bool:
        message = str(number).encode()
        return key.verify(algorithm, message, "RAW", key.sign(algorithm, message, "RAW"))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))


@pytest.mark.parametrize("spec", NIST)
def test_both_sides_agree(spec: str) -> None:
    alice, bob = agreement(spec), agreement(spec, ec.generate(spec))
    secret = alice.agree("ECDH", bob.public_key())
    assert secret == bob.agree("ECDH", alice.public_key())
    assert len(secret) == (CURVES[spec].key_size + 7) // 8


def test_secp256k1_does_not_agree() -> None:
    assert not hasattr(key_pair("ECC_SECG_P256K1"), "agree")


@pytest.mark.parametrize("spec", NIST)
def test_refused_peers(spec: str) -> None:
    good = agreement(spec, ec.generate(spec)).public_key()
    head = good[: good.index(b"\x00\x04") + 1]
    infinity = bytearray(head + b"\0")
    infinity[1 if infinity[1] < 128 else 2] = len(head) - 1
    infinity[-3] = 2
    others = [key_pair(other).public_key() for other in SPECS if other != spec]
    ed25519 = Ed25519PrivateKey.generate().public_key()
    peers = [
        *others,
        b"",
        b"\x30",
        good[:-1],
        good + b"\0",
        good[:-1] + bytes([good[-1] ^ 1]),
        bytes(infinity),
        point(private(spec)),
        material(spec),
        ed25519.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        ed25519.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ]
    for peer in peers:
        with pytest.raises(ValidationException, match=r"^$") as caught:
            agreement(spec).agree("ECDH", peer)
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("spec", SPECS)
def test_imports_the_same_key_as_the_same_material(spec: str) -> None:
    canonical = ec.parse_import(spec, material(spec))
    assert ec.open_material(spec, canonical).public_key() == key_pair(spec).public_key()
    assert canonical == material(spec)


@pytest.mark.parametrize("spec", SPECS)
def test_refused_imports(spec: str) -> None:
    key, other = private(spec), library.generate_private_key(CURVES[spec])
    scalar = key.private_numbers().private_value.to_bytes((CURVES[spec].key_size + 7) // 8, "big")
    plaintexts = {
        "empty": b"",
        "raw scalar": scalar,
        "trailing byte": material(spec) + b"\0",
        "truncated": material(spec)[:-1],
        "SEC 1": key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        "public key": key_pair(spec).public_key(),
        "public point of another key": material(spec).replace(point(key), point(other)),
        "public point off the curve": material(spec)[:-1] + bytes([material(spec)[-1] ^ 1]),
        "scalar 0": material(spec).replace(scalar, bytes(len(scalar))),
        "scalar beyond the order": material(spec).replace(scalar, b"\xff" * len(scalar)),
        "Ed25519": pkcs8(Ed25519PrivateKey.generate()),
    }
    plaintexts |= {f"of {wrong}": material(wrong) for wrong in SPECS if wrong != spec}
    for what, plaintext in plaintexts.items():
        with pytest.raises(IncorrectKeyMaterialException) as caught:
            pytest.fail(f"accepted: {what} {ec.parse_import(spec, plaintext)!r}")
        assert caught.value.message is None
        assert caught.value.__suppress_context__


def test_opened_material_shows_nothing() -> None:
    for spec in ("ECC_NIST_P256", "ECC_SECG_P256K1"):
        assert repr(key_pair(spec)) == f"<{type(key_pair(spec)).__name__} {spec}>"
        assert not hasattr(key_pair(spec), "__dict__")
        with pytest.raises(TypeError):
            pickle.dumps(key_pair(spec))


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_signatures_with_openssl(openssl: OpenSSL, spec: str) -> None:
    key, algorithm, digest = key_pair(spec), f"ECDSA_SHA_{SPECS[spec]}", hashed(spec, b"a message")
    verify = ("pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", key.public_key(), "-in")
    signature = key.sign(algorithm, b"a message", "RAW")
    openssl.run(*verify, digest, "-sigfile", signature)
    assert openssl.fails(*verify, hashed(spec, b"another"), "-sigfile", signature)
    theirs = openssl.run("pkeyutl", "-sign", "-keyform", "DER", "-inkey", material(spec), "-in", digest)
    assert key.verify(algorithm, b"a message", "RAW", theirs)


@pytest.mark.slow
@pytest.mark.parametrize("spec", NIST)
def test_agreement_with_openssl(openssl: OpenSSL, spec: str) -> None:
    pem = openssl.run("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{OPENSSL_NAMES[spec]}")
    peer = openssl.run("pkey", "-in", pem, "-pubout", "-outform", "DER")
    derive = ("pkeyutl", "-derive", "-inkey", pem, "-peerform", "DER", "-peerkey", agreement(spec).public_key())
    assert agreement(spec).agree("ECDH", peer) == openssl.run(*derive)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_imports_from_openssl(openssl: OpenSSL, spec: str) -> None:
    def plaintext(*options: str) -> bytes:
        generated = openssl.run("ecparam", "-genkey", "-noout", "-name", OPENSSL_NAMES[spec])
        sec1 = openssl.run("ec", "-in", generated, *options)
        return openssl.run("pkcs8", "-topk8", "-nocrypt", "-outform", "der", "-in", sec1)

    for options in ((), ("-conv_form", "compressed"), ("-conv_form", "hybrid"), ("-no_public",)):
        imported = ec.open_material(spec, ec.parse_import(spec, plaintext(*options)))
        algorithm = f"ECDSA_SHA_{SPECS[spec]}"
        assert imported.verify(algorithm, b"message", "RAW", imported.sign(algorithm, b"message", "RAW"))
    with pytest.raises(IncorrectKeyMaterialException):
        ec.parse_import(spec, plaintext("-param_enc", "explicit"))
