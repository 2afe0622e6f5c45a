# SPDX-License-Identifier: Apache-2.0
"""ML-KEM: agreement with an independent implementation, implicit rejection, and what a caller may get wrong."""

import copy
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem as reference
from cryptography.hazmat.primitives.serialization import load_der_public_key
from kyber_py.ml_kem import ML_KEM_512, ML_KEM_768, ML_KEM_1024

from keyquorum.crypto import mlkem
from keyquorum.crypto.mlkem import ALGORITHM
from keyquorum.errors import InvalidCiphertextException, InvalidKeyUsageException, UnsupportedOperationException

OTHERS: dict[str, Any] = {"ML_KEM_512": ML_KEM_512, "ML_KEM_768": ML_KEM_768, "ML_KEM_1024": ML_KEM_1024}
MATERIAL_BYTES = {"ML_KEM_512": 1632, "ML_KEM_768": 64, "ML_KEM_1024": 64}
PUBLIC_KEY_BYTES = {"ML_KEM_512": 800, "ML_KEM_768": 1184, "ML_KEM_1024": 1568}
CIPHERTEXT_BYTES = {"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568}

every_spec = pytest.mark.parametrize("spec", MATERIAL_BYTES)


def expanded(spec: str, material: bytes) -> tuple[bytes, bytes]:
    """(encapsulation key, decapsulation key) as the other implementation wants them."""
    if spec == "ML_KEM_512":
        return material[768:1568], material
    ek, dk = OTHERS[spec].key_derive(material)
    return ek, dk


@every_spec
def test_secret_is_shared(spec: str) -> None:
    material = mlkem.generate(spec)
    assert len(material) == MATERIAL_BYTES[spec]
    key = mlkem.open_material(spec, material)
    ciphertext, secret = key.encapsulate(ALGORITHM)
    assert (len(ciphertext), len(secret)) == (CIPHERTEXT_BYTES[spec], 32)
    assert key.decapsulate(ALGORITHM, ciphertext) == secret
    assert mlkem.open_material(spec, material).decapsulate(ALGORITHM, ciphertext) == secret
    assert key.encapsulate(ALGORITHM)[0] != ciphertext


@every_spec
def test_another_implementation_agrees(spec: str) -> None:
    material = mlkem.generate(spec)
    key = mlkem.open_material(spec, material)
    ek, dk = expanded(spec, material)
    assert key.public_key().endswith(ek)
    ciphertext, secret = key.encapsulate(ALGORITHM)
    assert OTHERS[spec].decaps(dk, ciphertext) == secret
    secret, ciphertext = OTHERS[spec].encaps(ek)
    assert key.decapsulate(ALGORITHM, ciphertext) == secret
    forged = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert key.decapsulate(ALGORITHM, forged) == OTHERS[spec].decaps(dk, forged)


@every_spec
def test_forged_ciphertext_is_rejected_implicitly(spec: str) -> None:
    key = mlkem.open_material(spec, mlkem.generate(spec))
    ciphertext, secret = key.encapsulate(ALGORITHM)
    for position in (0, len(ciphertext) - 1):
        forged = bytearray(ciphertext)
        forged[position] ^= 0x80
        rejected = key.decapsulate(ALGORITHM, bytes(forged))
        assert len(rejected) == 32
        assert rejected != secret
        assert rejected == key.decapsulate(ALGORITHM, bytes(forged))
    strangers = mlkem.open_material(spec, mlkem.generate(spec)).encapsulate(ALGORITHM)
    assert key.decapsulate(ALGORITHM, strangers[0]) != strangers[1]


@every_spec
def test_ciphertext_of_another_length_is_refused(spec: str) -> None:
    key = mlkem.open_material(spec, mlkem.generate(spec))
    for length in {0, 1, CIPHERTEXT_BYTES[spec] - 1, CIPHERTEXT_BYTES[spec] + 1, 768, 1088, 1568} - {
        CIPHERTEXT_BYTES[spec]
    }:
        with pytest.raises(InvalidCiphertextException) as refusal:
            key.decapsulate(ALGORITHM, bytes(length))
        assert refusal.value.message is None


@every_spec
def test_public_key_is_a_subject_public_key_info(spec: str, tmp_path: Path) -> None:
    material = mlkem.generate(spec)
    der = mlkem.open_material(spec, material).public_key()
    assert len(der) == PUBLIC_KEY_BYTES[spec] + 22
    if spec != "ML_KEM_512":  # `cryptography` reads the others
        loaded = load_der_public_key(der)
        assert isinstance(loaded, reference.MLKEM768PublicKey | reference.MLKEM1024PublicKey)
        assert loaded.public_bytes_raw() == expanded(spec, material)[0]
    # The parser of openssl 3.0 knows no ML-KEM, but it knows DER: RFC 9935 has no parameters beside the OID.
    (tmp_path / "key.der").write_bytes(der)
    shown = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER", "-in", tmp_path / "key.der"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    number = {"ML_KEM_512": 1, "ML_KEM_768": 2, "ML_KEM_1024": 3}[spec]
    # openssl 3.5 names the OID instead of spelling it.
    assert f":2.16.840.1.101.3.4.4.{number}\n" in shown or f":ML-KEM-{spec[7:]}\n" in shown
    assert [line.split("prim:")[-1].split("cons:")[-1].split()[0] for line in shown.splitlines()] == [
        "SEQUENCE",
        "SEQUENCE",
        "OBJECT",
        "BIT",
    ]


def test_foreign_algorithm_is_refused() -> None:
    key = mlkem.open_material("ML_KEM_768", mlkem.generate("ML_KEM_768"))
    with pytest.raises(InvalidKeyUsageException):
        key.encapsulate("ECDH")
    with pytest.raises(InvalidKeyUsageException):
        key.decapsulate("ECDH", bytes(1088))


@every_spec
def test_import_is_refused(spec: str) -> None:
    with pytest.raises(UnsupportedOperationException):
        mlkem.parse_import(spec, bytes(64))


@every_spec
def test_material_of_another_length_is_refused(spec: str) -> None:
    for length in (0, 32, MATERIAL_BYTES[spec] - 1, MATERIAL_BYTES[spec] + 1):
        with pytest.raises(ValueError):
            mlkem.open_material(spec, bytes(length))


@every_spec
def test_opened_key_shows_and_hands_out_nothing(spec: str) -> None:
    key = mlkem.open_material(spec, mlkem.generate(spec))
    assert repr(key) == str(key) == f"<KeyPair {spec}>"
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(key)
    assert not hasattr(key, "__dict__")
