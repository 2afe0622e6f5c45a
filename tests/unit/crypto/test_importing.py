# SPDX-License-Identifier: Apache-2.0
"""Unwrapping what clients wrap (openssl's command line, ``cryptography``), and refusing everything else alike."""

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
)

from keyquorum.crypto import importing
from keyquorum.errors import InvalidCiphertextException, UnsupportedOperationException

OAEP: dict[str, hashes.SHA1 | hashes.SHA256] = {
    "RSAES_OAEP_SHA_1": hashes.SHA1(),
    "RSAES_OAEP_SHA_256": hashes.SHA256(),
}
RSA_AES: dict[str, hashes.SHA1 | hashes.SHA256] = {
    "RSA_AES_KEY_WRAP_SHA_1": hashes.SHA1(),
    "RSA_AES_KEY_WRAP_SHA_256": hashes.SHA256(),
}
MATERIAL = bytes(range(32))

Pair = tuple[bytes, bytes]


@pytest.fixture(scope="module")
def pair() -> Pair:
    return importing.new_wrapping_key("RSA_2048")


def encrypt(public: bytes, digest: hashes.SHA1 | hashes.SHA256, plaintext: bytes) -> bytes:
    key = load_der_public_key(public)
    assert isinstance(key, rsa.RSAPublicKey)
    return key.encrypt(plaintext, padding.OAEP(padding.MGF1(digest), digest, None))


def wrap(public: bytes, algorithm: str, material: bytes, aes_bytes: int = 32) -> bytes:
    if algorithm in OAEP:
        return encrypt(public, OAEP[algorithm], material)
    key = os.urandom(aes_bytes)
    return encrypt(public, RSA_AES[algorithm], key) + aes_key_wrap_with_padding(key, material)


@pytest.mark.parametrize(("spec", "bits"), [("RSA_2048", 2048), ("RSA_3072", 3072), ("RSA_4096", 4096)])
def test_wrapping_key_is_of_its_spec(spec: str, bits: int) -> None:
    private_der, public_der = importing.new_wrapping_key(spec)
    private = load_der_private_key(private_der, None)
    public = load_der_public_key(public_der)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert isinstance(public, rsa.RSAPublicKey)
    assert private.key_size == bits
    assert private.public_key() == public
    for algorithm in (*OAEP, *RSA_AES):
        assert importing.unwrap(algorithm, private_der, wrap(public_der, algorithm, MATERIAL)) == MATERIAL


@pytest.mark.parametrize("algorithm", RSA_AES)
def test_long_material_passes_the_hybrid_wrapping(pair: Pair, algorithm: str) -> None:
    for length in (1, 7, 8, 9, 16, 2400):
        material = os.urandom(length)
        assert importing.unwrap(algorithm, pair[0], wrap(pair[1], algorithm, material)) == material


@pytest.mark.parametrize(("algorithm", "digest"), [("RSAES_OAEP_SHA_1", "sha1"), ("RSAES_OAEP_SHA_256", "sha256")])
def test_openssl_wraps(pair: Pair, algorithm: str, digest: str, tmp_path: Path) -> None:
    (tmp_path / "public.der").write_bytes(pair[1])
    command = ["openssl", "pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", str(tmp_path / "public.der")]
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{digest}"]
    wrapped = subprocess.run(
        [*command, *(part for option in options for part in ("-pkeyopt", option))],
        input=MATERIAL,
        check=True,
        capture_output=True,
    ).stdout
    assert importing.unwrap(algorithm, pair[0], wrapped) == MATERIAL


@pytest.mark.parametrize(
    ("algorithm", "digest"), [("RSA_AES_KEY_WRAP_SHA_1", "sha1"), ("RSA_AES_KEY_WRAP_SHA_256", "sha256")]
)
def test_openssl_wraps_a_private_key(pair: Pair, algorithm: str, digest: str, tmp_path: Path) -> None:
    """The steps of the developer guide, "Importing key material step 3"."""
    material = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    key = os.urandom(32)
    (tmp_path / "public.der").write_bytes(pair[1])
    (tmp_path / "material.der").write_bytes(material)
    wrapped = subprocess.run(
        ["openssl", "enc", "-id-aes256-wrap-pad", "-iv", "A65959A6", "-K", key.hex(), "-in", tmp_path / "material.der"],
        check=True,
        capture_output=True,
    ).stdout
    command = ["openssl", "pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", str(tmp_path / "public.der")]
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{digest}"]
    wrapped_key = subprocess.run(
        [*command, *(part for option in options for part in ("-pkeyopt", option))],
        input=key,
        check=True,
        capture_output=True,
    ).stdout
    assert importing.unwrap(algorithm, pair[0], wrapped_key + wrapped) == material


def refused(pair: Pair, algorithm: str, encrypted: bytes) -> None:
    with pytest.raises(InvalidCiphertextException) as refusal:
        importing.unwrap(algorithm, pair[0], encrypted)
    assert refusal.value.message is None


@pytest.mark.parametrize("algorithm", [*OAEP, *RSA_AES])
def test_damage_is_refused_alike(pair: Pair, algorithm: str) -> None:
    wrapped = wrap(pair[1], algorithm, MATERIAL)
    for position in (0, 100, 255, len(wrapped) - 1):
        damaged = bytearray(wrapped)
        damaged[position] ^= 1
        refused(pair, algorithm, bytes(damaged))
    for cut in (b"", wrapped[:1], wrapped[:-1], wrapped[:256][:-1], wrapped + b"\0", wrapped + bytes(8)):
        refused(pair, algorithm, cut)
    refused(pair, algorithm, bytes(256))
    refused(pair, algorithm, b"\xff" * len(wrapped))


def test_another_algorithm_or_key_is_refused_alike(pair: Pair) -> None:
    algorithms = (*OAEP, *RSA_AES)
    for wrapped_with in algorithms:
        wrapped = wrap(pair[1], wrapped_with, MATERIAL)
        for unwrapped_with in algorithms:
            if unwrapped_with != wrapped_with:
                refused(pair, unwrapped_with, wrapped)
        refused(importing.new_wrapping_key("RSA_2048"), wrapped_with, wrapped)


def test_pkcs1_v1_5_and_sm2_are_refused_alike(pair: Pair) -> None:
    public = load_der_public_key(pair[1])
    assert isinstance(public, rsa.RSAPublicKey)
    wrapped = public.encrypt(MATERIAL, padding.PKCS1v15())
    for algorithm in ("RSAES_PKCS1_V1_5", "SM2PKE", *OAEP, *RSA_AES):
        refused(pair, algorithm, wrapped)


def test_inner_key_and_inner_wrapping_are_the_documented_ones(pair: Pair) -> None:
    for aes_bytes in (16, 24):
        refused(pair, "RSA_AES_KEY_WRAP_SHA_256", wrap(pair[1], "RSA_AES_KEY_WRAP_SHA_256", MATERIAL, aes_bytes))
    key = os.urandom(32)
    head = encrypt(pair[1], hashes.SHA256(), key)
    refused(pair, "RSA_AES_KEY_WRAP_SHA_256", head + aes_key_wrap(key, MATERIAL))  # RFC 3394 instead of RFC 5649
    refused(pair, "RSA_AES_KEY_WRAP_SHA_256", head)


@pytest.mark.parametrize(
    ("key_spec", "wrapping_key_spec", "algorithm", "allowed"),
    [
        ("SYMMETRIC_DEFAULT", "RSA_2048", "RSAES_OAEP_SHA_256", True),
        ("SYMMETRIC_DEFAULT", "RSA_4096", "RSAES_OAEP_SHA_1", True),
        ("SYMMETRIC_DEFAULT", "RSA_4096", "RSA_AES_KEY_WRAP_SHA_256", False),
        ("HMAC_512", "RSA_2048", "RSAES_OAEP_SHA_256", True),
        ("HMAC_512", "RSA_2048", "RSA_AES_KEY_WRAP_SHA_256", False),
        ("RSA_2048", "RSA_4096", "RSA_AES_KEY_WRAP_SHA_256", True),
        ("RSA_2048", "RSA_4096", "RSAES_OAEP_SHA_256", False),
        ("RSA_4096", "RSA_2048", "RSA_AES_KEY_WRAP_SHA_1", True),
        ("ECC_NIST_P521", "RSA_2048", "RSAES_OAEP_SHA_1", False),
        ("ECC_NIST_P521", "RSA_2048", "RSAES_OAEP_SHA_256", False),
        ("ECC_NIST_P521", "RSA_2048", "RSA_AES_KEY_WRAP_SHA_256", True),
        ("ECC_NIST_P521", "RSA_3072", "RSAES_OAEP_SHA_256", True),
        ("ECC_NIST_P384", "RSA_2048", "RSAES_OAEP_SHA_256", True),
        ("ECC_SECG_P256K1", "RSA_2048", "RSA_AES_KEY_WRAP_SHA_1", True),
        ("ECC_NIST_EDWARDS25519", "RSA_2048", "RSAES_OAEP_SHA_1", False),
        ("SYMMETRIC_DEFAULT", "RSA_2048", "RSAES_PKCS1_V1_5", False),
        ("SYMMETRIC_DEFAULT", "SM2", "SM2PKE", False),
        ("ECC_NIST_P256", "SM2", "RSAES_OAEP_SHA_256", False),
        ("ML_DSA_44", "RSA_4096", "RSAES_OAEP_SHA_256", False),
        ("ML_KEM_768", "RSA_4096", "RSA_AES_KEY_WRAP_SHA_256", False),
    ],
)
def test_wrapping_allowed(key_spec: str, wrapping_key_spec: str, algorithm: str, allowed: bool) -> None:
    if allowed:
        importing.check_wrapping(key_spec, wrapping_key_spec, algorithm)
    else:
        with pytest.raises(UnsupportedOperationException):
            importing.check_wrapping(key_spec, wrapping_key_spec, algorithm)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP256K1()], ids=lambda curve: curve.name)
def test_direct_wrapping_of_a_curve_fits_the_smallest_key(pair: Pair, curve: ec.EllipticCurve) -> None:
    material = ec.generate_private_key(curve).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for algorithm in OAEP:
        assert importing.unwrap(algorithm, pair[0], wrap(pair[1], algorithm, material)) == material
