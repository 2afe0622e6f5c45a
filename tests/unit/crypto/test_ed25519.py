# SPDX-License-Identifier: Apache-2.0
"""The Ed25519 provider: which message type goes with which algorithm, and Ed25519ph by an implementation of its own."""

import hashlib
import pickle
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from openssl import OpenSSL

from keyquorum.crypto import ed25519
from keyquorum.errors import IncorrectKeyMaterialException, ValidationException

SPEC, PURE, PREHASHED = "ECC_NIST_EDWARDS25519", "ED25519_SHA_512", "ED25519_PH_SHA_512"

#: RFC 8032, section 7.3.
RFC_SEED = bytes.fromhex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42")
RFC_SIGNATURE = bytes.fromhex(
    "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
    "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
)

#: The curve of RFC 8032, section 5.1: field, order, coefficient, base point.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


def times_base(scalar: int) -> bytes:
    """scalar * B, encoded. Slow and plain: the addition law in affine coordinates, doubling and adding."""

    def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        product = D * a[0] * a[1] * b[0] * b[1]
        x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, P)
        y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P)
        return x % P, y % P

    result = (0, 1)
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, BASE)
    return (result[1] | (result[0] & 1) << 255).to_bytes(32, "little")


def reference_prehashed(seed: bytes, message: bytes) -> bytes:
    """Ed25519ph with an empty context, written from RFC 8032, section 5.1.6."""

    def integer(*parts: bytes) -> int:
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")

    domain = b"SigEd25519 no Ed25519 collisions" + bytes((1, 0))
    prehash = hashlib.sha512(message).digest()
    expanded = hashlib.sha512(seed).digest()
    secret = int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    nonce = integer(domain, expanded[32:], prehash) % L
    commitment = times_base(nonce)
    challenge = integer(domain, commitment, times_base(secret), prehash)
    return commitment + ((nonce + challenge * secret) % L).to_bytes(32, "little")


def pkcs8(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@cache
def material() -> bytes:
    return ed25519.generate(SPEC)


@cache
def key_pair() -> ed25519.KeyPair:
    return ed25519.open_material(SPEC, material())


def test_the_reference_gives_the_published_signature() -> None:
    assert reference_prehashed(RFC_SEED, b"abc") == RFC_SIGNATURE


@pytest.mark.parametrize("message", [b"", b"abc", bytes(5000)])
def test_a_digest_is_hashed_again(message: bytes) -> None:
    key = ed25519.open_material(SPEC, pkcs8(RFC_SEED))
    digest = hashlib.sha512(message).digest()
    signature = key.sign(PREHASHED, digest, "DIGEST")
    assert signature == reference_prehashed(RFC_SEED, digest)
    assert key.verify(PREHASHED, digest, "DIGEST", signature)


def test_a_signature_over_the_digest_hashed_once_is_not_ours() -> None:
    """What Ed25519ph of the message itself would be, as libraries outside compute it."""
    key = ed25519.open_material(SPEC, pkcs8(RFC_SEED))
    assert not key.verify(PREHASHED, hashlib.sha512(b"abc").digest(), "DIGEST", RFC_SIGNATURE)


def test_pure() -> None:
    """RFC 8032, section 7.1, TEST 2."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = ed25519.open_material(SPEC, pkcs8(seed))
    signature = key.sign(PURE, b"\x72", "RAW")
    assert signature.hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert key.verify(PURE, b"\x72", "RAW", signature)
    assert not key.verify(PURE, b"\x73", "RAW", signature)


def test_the_algorithms_do_not_verify_each_other() -> None:
    digest = bytes(64)
    assert not key_pair().verify(PURE, digest, "RAW", key_pair().sign(PREHASHED, digest, "DIGEST"))
    assert not key_pair().verify(PREHASHED, digest, "DIGEST", key_pair().sign(PURE, digest, "RAW"))


@pytest.mark.parametrize(
    ("algorithm", "message_type", "text"),
    [
        (PURE, "DIGEST", f"Message type DIGEST is incompatible with algorithm {PURE}."),
        (PREHASHED, "RAW", f"Message type RAW is incompatible with algorithm {PREHASHED}."),
        (PURE, "EXTERNAL_MU", f"Message type EXTERNAL_MU is incompatible with key spec {SPEC}."),
        (PREHASHED, "EXTERNAL_MU", f"Message type EXTERNAL_MU is incompatible with key spec {SPEC}."),
    ],
)
def test_refused_message_types(algorithm: str, message_type: str, text: str) -> None:
    with pytest.raises(ValidationException, match=f"^{text}$"):
        key_pair().sign(algorithm, bytes(64), message_type)
    with pytest.raises(ValidationException, match=f"^{text}$"):
        key_pair().verify(algorithm, bytes(64), message_type, bytes(64))


@pytest.mark.parametrize("length", [0, 3, 32, 63, 65, 4096])
def test_a_digest_of_another_length_is_refused(length: int) -> None:
    text = f"^Digest is invalid length for algorithm {PREHASHED}.$"
    with pytest.raises(ValidationException, match=text):
        key_pair().sign(PREHASHED, bytes(length), "DIGEST")
    with pytest.raises(ValidationException, match=text):
        key_pair().verify(PREHASHED, bytes(length), "DIGEST", bytes(64))


@pytest.mark.parametrize(("algorithm", "message_type"), [(PURE, "RAW"), (PREHASHED, "DIGEST")])
def test_malformed_signatures_are_false(algorithm: str, message_type: str) -> None:
    good = key_pair().sign(algorithm, bytes(64), message_type)
    beyond = good[:32] + (int.from_bytes(good[32:], "little") + L).to_bytes(32, "little")
    for bad in (b"", good[:-1], good + b"\0", bytes(64), b"\xff" * 64, beyond, good[:-1] + bytes([good[-1] ^ 1])):
        assert not key_pair().verify(algorithm, bytes(64), message_type, bad)


def test_imports() -> None:
    assert ed25519.parse_import(SPEC, material()) == material()
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    private = load_der_private_key(material(), None)
    assert isinstance(private, Ed25519PrivateKey)
    for bad in (b"", private.private_bytes_raw(), material()[:-1], material() + b"\0", key_pair().public_key(), other):
        with pytest.raises(IncorrectKeyMaterialException) as caught:
            ed25519.parse_import(SPEC, bad)
        assert caught.value.__suppress_context__


def test_opened_material_shows_nothing() -> None:
    assert repr(key_pair()) == f"<KeyPair {SPEC}>"
    assert not hasattr(key_pair(), "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(key_pair())


@pytest.mark.slow
def test_signatures_with_openssl(openssl: OpenSSL) -> None:
    verify = ("pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", key_pair().public_key(), "-in")
    signature = key_pair().sign(PURE, b"a message", "RAW")
    openssl.run(*verify, b"a message", "-sigfile", signature)
    assert openssl.fails(*verify, b"another", "-sigfile", signature)
    theirs = openssl.run("pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", material(), "-in", b"a message")
    assert key_pair().verify(PURE, b"a message", "RAW", theirs)
