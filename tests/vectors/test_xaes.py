# SPDX-License-Identifier: Apache-2.0
"""XAES-256-GCM against the vectors of its specification, and against what a caller may get wrong."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHAKE128, Hash, XOFHash
from hypothesis import given
from hypothesis import strategies as st

from keyquorum.crypto.xaes import XAES256GCM

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "xaes_256_gcm.json").read_bytes())
VECTORS: list[dict[str, str]] = PUBLISHED["vectors"]
ACCUMULATED: dict[int, str] = {entry["iterations"]: entry["shake128"] for entry in PUBLISHED["accumulated"]}

KEY = bytes(range(32))
NONCE = bytes(range(24))


def test_file_holds_nothing_that_the_tests_ignore() -> None:
    assert PUBLISHED.keys() == {"source", "vectors", "accumulated"}
    for vector in VECTORS:
        assert vector.keys() == {"comment", "key", "nonce", "plaintext", "aad", "ciphertext"}
    for entry in PUBLISHED["accumulated"]:
        assert entry.keys() == {"iterations", "shake128"}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["comment"])
def test_published_vector(vector: dict[str, str]) -> None:
    key, nonce, plaintext, aad, ciphertext = (
        bytes.fromhex(vector[name]) for name in ("key", "nonce", "plaintext", "aad", "ciphertext")
    )
    xaes = XAES256GCM(key)
    assert xaes.encrypt(nonce, plaintext, aad) == ciphertext
    assert xaes.decrypt(nonce, ciphertext, aad) == plaintext


def accumulate(iterations: int) -> str:
    random, digest = XOFHash(SHAKE128(digest_size=2**40)), Hash(SHAKE128(digest_size=32))
    for _ in range(iterations):
        key, nonce = random.squeeze(32), random.squeeze(24)
        plaintext = random.squeeze(random.squeeze(1)[0])
        aad = random.squeeze(random.squeeze(1)[0])
        xaes = XAES256GCM(key)
        ciphertext = xaes.encrypt(nonce, plaintext, aad)
        assert xaes.decrypt(nonce, ciphertext, aad) == plaintext
        digest.update(ciphertext)
    return digest.finalize().hex()


def test_accumulated() -> None:
    assert accumulate(10_000) == ACCUMULATED[10_000]


@pytest.mark.long
def test_accumulated_at_length() -> None:
    assert accumulate(1_000_000) == ACCUMULATED[1_000_000]


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=24, max_size=24), st.binary(), st.binary())
def test_equals_the_construction_from_a_library_cmac(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> None:
    """The specification's other description: NIST's counter KDF over CMAC, computed by the library's CMAC."""

    def block(counter: int) -> bytes:
        mac = CMAC(algorithms.AES(key))
        mac.update(bytes((0, counter)) + b"X\0" + nonce[:12])
        return mac.finalize()

    expected = AESGCM(block(1) + block(2)).encrypt(nonce[12:], plaintext, aad)
    assert XAES256GCM(key).encrypt(nonce, plaintext, aad) == expected


def single_bit_changes(data: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def test_any_changed_bit_is_noticed() -> None:
    xaes = XAES256GCM(KEY)
    ciphertext = xaes.encrypt(NONCE, b"plaintext", b"aad")
    attempts = [
        *((NONCE, changed, b"aad") for changed in single_bit_changes(ciphertext)),
        *((changed, ciphertext, b"aad") for changed in single_bit_changes(NONCE)),
        *((NONCE, ciphertext, changed) for changed in single_bit_changes(b"aad")),
        *((NONCE, ciphertext[:size], b"aad") for size in range(len(ciphertext))),
        (NONCE, ciphertext + b"\0", b"aad"),
        (NONCE, ciphertext, b""),
    ]
    for nonce, data, aad in attempts:
        with pytest.raises(InvalidTag):
            xaes.decrypt(nonce, data, aad)
    for key in single_bit_changes(KEY):
        with pytest.raises(InvalidTag):
            XAES256GCM(key).decrypt(NONCE, ciphertext, b"aad")


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33, 64])
def test_key_of_another_length(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        XAES256GCM(bytes(size))


@pytest.mark.parametrize("size", [0, 12, 23, 25, 48])
def test_nonce_of_another_length(size: int) -> None:
    xaes = XAES256GCM(KEY)
    with pytest.raises(ValueError, match="24 bytes"):
        xaes.encrypt(bytes(size), b"", b"")
    with pytest.raises(ValueError, match="24 bytes"):
        xaes.decrypt(bytes(size), bytes(16), b"")


def test_key_is_not_shown() -> None:
    assert repr(XAES256GCM(KEY)) == "<XAES256GCM>"
    assert not hasattr(XAES256GCM(KEY), "__dict__")


def test_one_object_serves_several_threads() -> None:
    xaes = XAES256GCM(KEY)
    nonces = [bytes((n,)) * 24 for n in range(200)]
    expected = [XAES256GCM(KEY).encrypt(nonce, b"plaintext", b"") for nonce in nonces]
    results: list[list[bytes]] = []

    def work() -> None:
        results.append([xaes.encrypt(nonce, b"plaintext", b"") for nonce in nonces])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 8


def test_block_cipher_context_refuses_a_second_thread() -> None:
    """The fact that the lock in ``xaes`` rests on: concurrent use raises or is right, it never mixes data."""
    context = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
    data = bytes(1 << 20)
    expected = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor().update(data)
    outcomes: list[bool] = []

    def work() -> None:
        for _ in range(20):
            try:
                outcomes.append(context.update(data) == expected)
            except RuntimeError:
                outcomes.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 80
