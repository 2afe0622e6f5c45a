# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's AES files: key wrap with padding through our module, and AES-GCM as XAES-256-GCM leans on it."""

from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from wycheproof import Case, Group, NotApplicable, compare, names, read

from keyquorum.crypto import keywrap
from keyquorum.errors import InvalidCiphertextException

NONCE = "the library's nonces have 8 to 128 bytes"


def test_no_file_is_left_out(vectors_dir: Path) -> None:
    assert names(vectors_dir / "wycheproof", "aes_*.json") == {"aes_kwp_test.json", "aes_gcm_test.json"}


def test_aes_kwp(vectors_dir: Path) -> None:
    def accepts(group: Group, case: Case) -> bool:
        key = bytes.fromhex(case["key"])
        assert len(key) * 8 == group["keySize"]
        try:
            return keywrap.unwrap(key, bytes.fromhex(case["ct"])) == bytes.fromhex(case["msg"])
        except InvalidCiphertextException:
            return False

    compare(read(vectors_dir / "wycheproof" / "aes_kwp_test.json", {"keySize"}, {"key", "msg", "ct"}), accepts)


def test_aes_gcm(vectors_dir: Path) -> None:
    """XAES-256-GCM derives the AES key from its own and the nonce, so no vector can prescribe it: these go to the
    class of the library that ``crypto.xaes`` hands the derived key to, in the two calls that it makes. (XAES uses
    only AES-256 and nonces of 96 bits; the other vectors cost nothing.)"""

    def accepts(group: Group, case: Case) -> bool:
        key, nonce, aad, plaintext, ciphertext, tag = (
            bytes.fromhex(case[field]) for field in ("key", "iv", "aad", "msg", "ct", "tag")
        )
        assert (len(key) * 8, len(nonce) * 8, len(tag) * 8) == (group["keySize"], group["ivSize"], group["tagSize"])
        gcm = AESGCM(key)
        if not 8 <= len(nonce) <= 128:
            with pytest.raises(ValueError):
                gcm.decrypt(nonce, ciphertext + tag, aad)
            raise NotApplicable(NONCE)
        try:
            opened = gcm.decrypt(nonce, ciphertext + tag, aad)
        except InvalidTag:
            return False
        assert gcm.encrypt(nonce, plaintext, aad) == ciphertext + tag
        return opened == plaintext

    path = vectors_dir / "wycheproof" / "aes_gcm_test.json"
    cases = read(path, {"keySize", "ivSize", "tagSize"}, {"key", "iv", "aad", "msg", "ct", "tag"})
    compare(cases, accepts, not_applicable={NONCE: 33})
