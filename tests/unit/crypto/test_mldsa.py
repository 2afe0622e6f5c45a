# SPDX-License-Identifier: Apache-2.0
"""ML-DSA: agreement with an independent implementation, and what a caller may get wrong."""

import copy
import pickle
from hashlib import shake_256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa as reference
from cryptography.hazmat.primitives.serialization import load_der_public_key
from dilithium_py.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87

from keyquorum.crypto import mldsa
from keyquorum.crypto.mldsa import ALGORITHM
from keyquorum.errors import InvalidKeyUsageException, UnsupportedOperationException, ValidationException

OTHERS: dict[str, Any] = {"ML_DSA_44": ML_DSA_44, "ML_DSA_65": ML_DSA_65, "ML_DSA_87": ML_DSA_87}
SIGNATURE_BYTES = {"ML_DSA_44": 2420, "ML_DSA_65": 3309, "ML_DSA_87": 4627}
PUBLIC_KEY_BYTES = {"ML_DSA_44": 1312, "ML_DSA_65": 1952, "ML_DSA_87": 2592}
MESSAGE = b"attack at dawn"

every_spec = pytest.mark.parametrize("spec", SIGNATURE_BYTES)


def representative(public: bytes, message: bytes) -> bytes:
    """mu by FIPS 204, algorithms 2 and 7, for an empty context, as a caller computes it outside."""
    return shake_256(shake_256(public).digest(64) + bytes(2) + message).digest(64)


@every_spec
@pytest.mark.parametrize("message", [b"", MESSAGE, bytes(4096)], ids=len)
def test_signs_and_verifies(spec: str, message: bytes) -> None:
    key = mldsa.open_material(spec, mldsa.generate(spec))
    signature = key.sign(ALGORITHM, message, "RAW")
    assert len(signature) == SIGNATURE_BYTES[spec]
    assert key.verify(ALGORITHM, message, "RAW", signature)
    assert not key.verify(ALGORITHM, message + b"\0", "RAW", signature)
    assert not key.verify(ALGORITHM, message, "RAW", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not key.verify(ALGORITHM, message, "RAW", b"")
    assert not mldsa.open_material(spec, mldsa.generate(spec)).verify(ALGORITHM, message, "RAW", signature)


@every_spec
def test_external_mu_and_raw_make_the_same_signatures(spec: str) -> None:
    material = mldsa.generate(spec)
    key = mldsa.open_material(spec, material)
    public, _ = OTHERS[spec].key_derive(material)
    mu = representative(public, MESSAGE)
    assert key.verify(ALGORITHM, MESSAGE, "RAW", key.sign(ALGORITHM, mu, "EXTERNAL_MU"))
    assert key.verify(ALGORITHM, mu, "EXTERNAL_MU", key.sign(ALGORITHM, MESSAGE, "RAW"))
    # A mu given as a message is hashed like any message.
    assert not key.verify(ALGORITHM, mu, "RAW", key.sign(ALGORITHM, mu, "EXTERNAL_MU"))


@every_spec
def test_another_implementation_agrees(spec: str) -> None:
    material = mldsa.generate(spec)
    key = mldsa.open_material(spec, material)
    public, secret = OTHERS[spec].key_derive(material)
    assert key.public_key().endswith(public)
    assert OTHERS[spec].verify(public, MESSAGE, key.sign(ALGORITHM, MESSAGE, "RAW"))
    assert OTHERS[spec].verify(public, MESSAGE, key.sign(ALGORITHM, representative(public, MESSAGE), "EXTERNAL_MU"))
    assert key.verify(ALGORITHM, MESSAGE, "RAW", OTHERS[spec].sign(secret, MESSAGE))
    assert not key.verify(ALGORITHM, MESSAGE, "RAW", OTHERS[spec].sign(secret, MESSAGE, ctx=b"context"))


@every_spec
def test_public_key_is_a_subject_public_key_info(spec: str) -> None:
    key = mldsa.open_material(spec, mldsa.generate(spec))
    der = key.public_key()
    loaded = load_der_public_key(der)
    assert type(loaded).__name__ == spec.replace("_", "", 1).replace("_", "") + "PublicKey"
    assert len(der) == PUBLIC_KEY_BYTES[spec] + 22
    public = mldsa.open_public_key(spec, der)
    assert public.public_key() == der
    assert public.verify(ALGORITHM, MESSAGE, "RAW", key.sign(ALGORITHM, MESSAGE, "RAW"))


@pytest.mark.parametrize("length", [0, 31, 33, 63, 65, 4096])
def test_mu_of_another_length_is_refused(length: int) -> None:
    key = mldsa.open_material("ML_DSA_44", mldsa.generate("ML_DSA_44"))
    for refused in (
        lambda: key.sign(ALGORITHM, bytes(length), "EXTERNAL_MU"),
        lambda: key.verify(ALGORITHM, bytes(length), "EXTERNAL_MU", bytes(2420)),
    ):
        with pytest.raises(ValidationException, match=r"^External Mu is invalid length for algorithm ML_DSA_SHAKE_256"):
            refused()


@every_spec
def test_digest_is_refused(spec: str) -> None:
    key = mldsa.open_material(spec, mldsa.generate(spec))
    message = rf"^Message type DIGEST is incompatible with key spec {spec}\.$"
    with pytest.raises(ValidationException, match=message):
        key.sign(ALGORITHM, bytes(64), "DIGEST")
    with pytest.raises(ValidationException, match=message):
        key.verify(ALGORITHM, bytes(64), "DIGEST", bytes(SIGNATURE_BYTES[spec]))


def test_foreign_algorithm_is_refused() -> None:
    key = mldsa.open_material("ML_DSA_65", mldsa.generate("ML_DSA_65"))
    with pytest.raises(
        InvalidKeyUsageException, match=r"^Algorithm ECDSA_SHA_256 is incompatible with key spec ML_DSA"
    ):
        key.sign("ECDSA_SHA_256", MESSAGE, "RAW")


@every_spec
def test_import_is_refused(spec: str) -> None:
    with pytest.raises(UnsupportedOperationException):
        mldsa.parse_import(spec, bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_material_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError):
        mldsa.open_material("ML_DSA_44", bytes(length))


def test_public_key_of_another_spec_or_with_a_tail_is_refused() -> None:
    der = mldsa.open_material("ML_DSA_44", mldsa.generate("ML_DSA_44")).public_key()
    for spec, given in (("ML_DSA_65", der), ("ML_DSA_44", der + b"\0"), ("ML_DSA_44", der[:-1])):
        with pytest.raises(ValueError):
            mldsa.open_public_key(spec, given)


def test_opened_key_shows_and_hands_out_nothing() -> None:
    material = bytes(range(32))
    key = mldsa.open_material("ML_DSA_44", material)
    assert repr(key) == str(key) == "<KeyPair ML_DSA_44>"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(key)
    assert not hasattr(key, "__dict__")


def test_seed_is_that_of_the_standard() -> None:
    """The same seed is the same key elsewhere, so that stored material stays readable by others."""
    material = mldsa.generate("ML_DSA_87")
    assert len(material) == 32
    other = reference.MLDSA87PrivateKey.from_seed_bytes(material)
    other.public_key().verify(mldsa.open_material("ML_DSA_87", material).sign(ALGORITHM, MESSAGE, "RAW"), MESSAGE)
