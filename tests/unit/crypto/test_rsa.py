# SPDX-License-Identifier: Apache-2.0
"""The RSA provider: its algorithms, its limits, what it imports, and the openssl command line as a second opinion."""

import copy
import hashlib
import pickle
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec as library_ec
from cryptography.hazmat.primitives.asymmetric import rsa as library
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
)
from openssl import OpenSSL

from keyquorum.crypto import rsa
from keyquorum.errors import IncorrectKeyMaterialException, InvalidCiphertextException, ValidationException

SPECS = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}
SIGNING = [f"RSASSA_{scheme}_SHA_{bits}" for scheme in ("PSS", "PKCS1_V1_5") for bits in (256, 384, 512)]
ENCRYPTION = {"RSAES_OAEP_SHA_1": 20, "RSAES_OAEP_SHA_256": 32}


@cache
def generated(spec: str) -> tuple[bytes, rsa.KeyPair]:
    made = rsa.generate(spec)
    return made, rsa.open_material(spec, made)


def material(spec: str = "RSA_2048") -> bytes:
    return generated(spec)[0]


def key_pair(spec: str = "RSA_2048") -> rsa.KeyPair:
    return generated(spec)[1]


def hashed(algorithm: str, message: bytes) -> bytes:
    return hashlib.new(f"sha{algorithm[-3:]}", message).digest()


def pkcs8(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def private() -> library.RSAPrivateKey:
    key = load_der_private_key(material(), None)
    assert isinstance(key, library.RSAPrivateKey)
    return key


@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072", pytest.param("RSA_4096", marks=pytest.mark.slow)])
def test_generates_the_size_of_its_spec(spec: str) -> None:
    public = load_der_public_key(key_pair(spec).public_key())
    assert isinstance(public, library.RSAPublicKey)
    assert public.key_size == SPECS[spec]
    assert public.public_numbers().e == 65537


@pytest.mark.parametrize("algorithm", SIGNING)
def test_a_message_and_its_digest_are_the_same_message(algorithm: str) -> None:
    message = b"a message"
    key = key_pair()
    of_message = key.sign(algorithm, message, "RAW")
    of_digest = key.sign(algorithm, hashed(algorithm, message), "DIGEST")
    assert key.verify(algorithm, hashed(algorithm, message), "DIGEST", of_message)
    assert key.verify(algorithm, message, "RAW", of_digest)
    assert not key.verify(algorithm, hashed(algorithm, message), "RAW", of_message)
    assert not key.verify(algorithm, b"another message", "RAW", of_message)


@pytest.mark.parametrize("algorithm", SIGNING)
@pytest.mark.parametrize("length", [0, 1, 20, 31, 33, 47, 49, 63, 65, 4096])
def test_a_digest_of_another_length_is_refused(algorithm: str, length: int) -> None:
    text = f"Digest is invalid length for algorithm {algorithm}."
    with pytest.raises(ValidationException, match=f"^{text}$"):
        key_pair().sign(algorithm, bytes(length), "DIGEST")
    with pytest.raises(ValidationException, match=f"^{text}$"):
        key_pair().verify(algorithm, bytes(length), "DIGEST", bytes(256))


def test_external_mu_is_refused() -> None:
    text = "^Message type EXTERNAL_MU is incompatible with key spec RSA_2048.$"
    with pytest.raises(ValidationException, match=text):
        key_pair().sign("RSASSA_PSS_SHA_512", bytes(64), "EXTERNAL_MU")
    with pytest.raises(ValidationException, match=text):
        key_pair().verify("RSASSA_PSS_SHA_512", bytes(64), "EXTERNAL_MU", bytes(256))


@pytest.mark.parametrize("algorithm", SIGNING)
@pytest.mark.parametrize("other", SIGNING)
def test_a_signature_is_good_for_its_own_algorithm_only(algorithm: str, other: str) -> None:
    signature = key_pair().sign(algorithm, b"message", "RAW")
    assert key_pair().verify(other, b"message", "RAW", signature) == (algorithm == other)


@pytest.mark.parametrize("signature", [b"", b"\0", bytes(255), bytes(256), bytes(257), b"\xff" * 256, b"\xff" * 6144])
def test_malformed_signatures_are_false(signature: bytes) -> None:
    for algorithm in SIGNING:
        assert not key_pair().verify(algorithm, b"message", "RAW", signature)


@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072", pytest.param("RSA_4096", marks=pytest.mark.slow)])
@pytest.mark.parametrize("algorithm", ENCRYPTION)
def test_the_longest_plaintext(spec: str, algorithm: str) -> None:
    longest = SPECS[spec] // 8 - 2 * ENCRYPTION[algorithm] - 2
    key = key_pair(spec)
    for plaintext in (b"", b"x", bytes(longest)):
        assert key.decrypt(algorithm, key.encrypt(algorithm, plaintext)) == plaintext
    text = f"^Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {longest} bytes.$"
    with pytest.raises(ValidationException, match=text):
        key.encrypt(algorithm, bytes(longest + 1))


def test_every_ciphertext_that_does_not_decrypt_fails_alike() -> None:
    key = key_pair()
    good = key.encrypt("RSAES_OAEP_SHA_256", b"secret")
    modulus = private().public_key().public_numbers().n
    bad = [
        b"",
        good[:-1],
        good + b"\0",
        b"\0" + good,
        bytes(256),
        modulus.to_bytes(256, "big"),
        b"\xff" * 256,
        good[:-1] + bytes([good[-1] ^ 1]),
        key.encrypt("RSAES_OAEP_SHA_1", b"secret"),
    ]
    faults = []
    for ciphertext in bad:
        with pytest.raises(InvalidCiphertextException) as caught:
            key.decrypt("RSAES_OAEP_SHA_256", ciphertext)
        fault = caught.value
        faults.append((fault.message, fault.detail, str(fault), fault.__cause__, fault.__suppress_context__))
    assert set(faults) == {(None, "", "", None, True)}


def test_imports_what_it_generates() -> None:
    assert rsa.open_material("RSA_2048", rsa.parse_import("RSA_2048", material())).public_key() == (
        key_pair().public_key()
    )


def test_the_same_key_in_another_form_is_the_same_material() -> None:
    numbers = private().private_numbers()
    p, q, public = numbers.q, numbers.p, numbers.public_numbers
    d = pow(public.e, -1, (p - 1) * (q - 1))
    swapped = library.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    other_form = pkcs8(swapped.private_key())
    assert other_form != material()
    assert rsa.parse_import("RSA_2048", other_form) == rsa.parse_import("RSA_2048", material())


def broken_imports() -> dict[str, bytes]:
    key = private()
    numbers = key.private_numbers()
    composite = library.RSAPrivateNumbers(
        p=numbers.p * 3,
        q=numbers.q,
        d=pow(65537, -1, (numbers.p * 3 - 1) * (numbers.q - 1)),
        dmp1=1,
        dmq1=1,
        iqmp=1,
        public_numbers=library.RSAPublicNumbers(65537, numbers.p * 3 * numbers.q),
    )
    wrong_d = library.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d + 2, numbers.dmp1, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    )
    return {
        "empty": b"",
        "one byte": b"\x30",
        "not DER": b"\x30\x82" + bytes(1200),
        "trailing byte": material() + b"\0",
        "truncated": material()[:-1],
        "PKCS #1": key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        "PEM": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "encrypted": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
        "public key": key_pair().public_key(),
        "another size": material("RSA_3072"),
        "another family": pkcs8(library_ec.generate_private_key(library_ec.SECP256R1())),
        "public exponent 3": pkcs8(library.generate_private_key(3, 2048)),
        "composite factor": pkcs8(composite.private_key(unsafe_skip_rsa_key_validation=True)),
        "wrong private exponent": pkcs8(wrong_d.private_key(unsafe_skip_rsa_key_validation=True)),
    }


def test_refused_imports() -> None:
    for what, plaintext in broken_imports().items():
        with pytest.raises(IncorrectKeyMaterialException) as caught:
            pytest.fail(f"accepted: {what} {rsa.parse_import('RSA_2048', plaintext)!r}")
        assert caught.value.message is None
        assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_opened_material_shows_nothing() -> None:
    key = key_pair()
    assert repr(key) == "<KeyPair RSA_2048>"
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(key)
    assert not hasattr(key, "__dict__")


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("algorithm", SIGNING)
def test_signatures_with_openssl(openssl: OpenSSL, spec: str, algorithm: str) -> None:
    key, digest = key_pair(spec), hashed(algorithm, b"a message")
    options = ["-pkeyopt", f"digest:sha{algorithm[-3:]}"]
    if "PSS" in algorithm:
        options += ["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", f"rsa_pss_saltlen:{len(digest)}"]
    verify: tuple[str | bytes, ...]
    verify = ("pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", key.public_key(), "-in", digest, *options)
    signature = key.sign(algorithm, b"a message", "RAW")
    openssl.run(*verify, "-sigfile", signature)
    assert openssl.fails(*verify, "-sigfile", signature[:-1] + bytes([signature[-1] ^ 1]))
    theirs = openssl.run("pkeyutl", "-sign", "-keyform", "DER", "-inkey", material(spec), "-in", digest, *options)
    assert key.verify(algorithm, b"a message", "RAW", theirs)


@pytest.mark.slow
@pytest.mark.parametrize("salt", ["0", "20", "31", "33", "max"])
def test_pss_salt_of_another_length_is_refused(openssl: OpenSSL, salt: str) -> None:
    digest = hashlib.sha256(b"a message").digest()
    options = ["-pkeyopt", "digest:sha256", "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt"]
    sign: tuple[str | bytes, ...]
    sign = ("pkeyutl", "-sign", "-keyform", "DER", "-inkey", material(), "-in", digest, *options)
    assert key_pair().verify("RSASSA_PSS_SHA_256", digest, "DIGEST", openssl.run(*sign, "rsa_pss_saltlen:32"))
    assert not key_pair().verify("RSASSA_PSS_SHA_256", digest, "DIGEST", openssl.run(*sign, f"rsa_pss_saltlen:{salt}"))


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("algorithm", ENCRYPTION)
def test_encryption_with_openssl(openssl: OpenSSL, spec: str, algorithm: str) -> None:
    key = key_pair(spec)
    name = algorithm.removeprefix("RSAES_OAEP_").replace("_", "").lower()
    options = ["-pkeyopt", "rsa_padding_mode:oaep"]
    options += ["-pkeyopt", f"rsa_oaep_md:{name}", "-pkeyopt", f"rsa_mgf1_md:{name}"]
    encrypt = ("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", key.public_key(), "-in", b"secret")
    assert key.decrypt(algorithm, openssl.run(*encrypt, *options)) == b"secret"
    decrypt = ("pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", material(spec), "-in")
    assert openssl.run(*decrypt, key.encrypt(algorithm, b"secret"), *options) == b"secret"


@pytest.mark.slow
def test_three_primes_are_refused(openssl: OpenSSL) -> None:
    options = ["-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_primes:3"]
    pem = openssl.run("genpkey", "-algorithm", "rsa", *options)
    plaintext = openssl.run("pkcs8", "-topk8", "-nocrypt", "-outform", "der", "-in", pem)
    with pytest.raises(IncorrectKeyMaterialException):
        rsa.parse_import("RSA_2048", plaintext)
