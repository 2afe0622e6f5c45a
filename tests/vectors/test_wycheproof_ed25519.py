# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's Ed25519 file through the Ed25519 provider. (It has none for Ed25519ph: RFC 8032's is a unit test.)"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from wycheproof import Case, Group, compare, names, read

from keyquorum.crypto import ed25519

NAME = "ed25519_test.json"


def test_no_file_is_left_out(vectors_dir: Path) -> None:
    assert names(vectors_dir / "wycheproof", "ed*.json") == {NAME}


def test_ed25519(vectors_dir: Path) -> None:
    def accepts(group: Group, case: Case) -> bool:
        public = load_der_public_key(bytes.fromhex(group["publicKeyDer"]))
        assert isinstance(public, Ed25519PublicKey)
        key = ed25519.PublicKey("ECC_NIST_EDWARDS25519", public)
        return key.verify("ED25519_SHA_512", bytes.fromhex(case["msg"]), "RAW", bytes.fromhex(case["sig"]))

    fields = {"publicKey", "publicKeyDer", "publicKeyPem", "publicKeyJwk"}
    compare(read(vectors_dir / "wycheproof" / NAME, fields, {"msg", "sig"}), accepts)
