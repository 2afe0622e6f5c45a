# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's RSA files through the RSA provider."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from wycheproof import Case, Group, NotApplicable, compare, names, read

from keyquorum.crypto import rsa
from keyquorum.errors import InvalidCiphertextException

#: File -> the number of tests with an OAEP label, which the KMS API does not have.
OAEP = {
    "rsa_oaep_2048_sha1_mgf1sha1_test.json": 7,
    "rsa_oaep_2048_sha256_mgf1sha256_test.json": 8,
    "rsa_oaep_3072_sha256_mgf1sha256_test.json": 8,
    "rsa_oaep_4096_sha256_mgf1sha256_test.json": 8,
}
PSS = (
    "rsa_pss_2048_sha256_mgf1_32_test.json",
    "rsa_pss_2048_sha384_mgf1_48_test.json",
    "rsa_pss_3072_sha256_mgf1_32_test.json",
    "rsa_pss_4096_sha256_mgf1_32_test.json",
    "rsa_pss_4096_sha384_mgf1_48_test.json",
    "rsa_pss_4096_sha512_mgf1_64_test.json",
)
PKCS1 = tuple(f"rsa_signature_{bits}_sha{sha}_test.json" for bits in (2048, 3072, 4096) for sha in (256, 384, 512))


def test_no_file_is_left_out(vectors_dir: Path) -> None:
    assert names(vectors_dir / "wycheproof", "rsa_*.json") == {*OAEP, *PSS, *PKCS1}


@pytest.mark.parametrize("name", OAEP)
def test_oaep(vectors_dir: Path, name: str) -> None:
    keys: dict[str, rsa.KeyPair] = {}

    def accepts(group: Group, case: Case) -> bool:
        assert group["mgf"] == "MGF1"
        assert group["mgfSha"] == group["sha"]
        spec = f"RSA_{group['keySize']}"
        pkcs8 = group["privateKeyPkcs8"]
        if pkcs8 not in keys:
            keys[pkcs8] = rsa.open_material(spec, rsa.parse_import(spec, bytes.fromhex(pkcs8)))
        algorithm = f"RSAES_OAEP_{group['sha'].replace('-', '_')}"
        if case["label"]:
            with pytest.raises(InvalidCiphertextException):
                keys[pkcs8].decrypt(algorithm, bytes.fromhex(case["ct"]))
            raise NotApplicable("label")
        try:
            plaintext = keys[pkcs8].decrypt(algorithm, bytes.fromhex(case["ct"]))
        except InvalidCiphertextException:
            return False
        return plaintext == bytes.fromhex(case["msg"])

    fields = {"keySize", "sha", "mgf", "mgfSha", "privateKey", "privateKeyPkcs8", "privateKeyPem", "privateKeyJwk"}
    cases = read(vectors_dir / "wycheproof" / name, fields, {"msg", "ct", "label"})
    compare(cases, accepts, not_applicable={"label": OAEP[name]})


def verifies(scheme: str, group: Group, case: Case) -> bool:
    public = load_der_public_key(bytes.fromhex(group["publicKeyDer"]))
    assert isinstance(public, RSAPublicKey)
    key = rsa.PublicKey(f"RSA_{group['keySize']}", public)
    algorithm = f"RSASSA_{scheme}_{group['sha'].replace('-', '_')}"
    return key.verify(algorithm, bytes.fromhex(case["msg"]), "RAW", bytes.fromhex(case["sig"]))


@pytest.mark.parametrize("name", PSS)
def test_pss(vectors_dir: Path, name: str) -> None:
    def accepts(group: Group, case: Case) -> bool:
        assert group["mgf"] == "MGF1"
        assert group["mgfSha"] == group["sha"]
        assert group["sLen"] * 8 == int(group["sha"].removeprefix("SHA-"))
        return verifies("PSS", group, case)

    fields = {"keySize", "sha", "mgf", "mgfSha", "sLen"}
    fields |= {"publicKey", "publicKeyAsn", "publicKeyDer", "publicKeyPem", "publicKeyJwk"}
    compare(read(vectors_dir / "wycheproof" / name, fields, {"msg", "sig"}), accepts)


@pytest.mark.parametrize("name", PKCS1)
def test_pkcs1_v1_5(vectors_dir: Path, name: str) -> None:
    def accepts(group: Group, case: Case) -> bool:
        return verifies("PKCS1_V1_5", group, case)

    def acceptable(case: Case) -> bool:
        # A DigestInfo without the NULL is legal in old standards only; RFC 8017 writes it and OpenSSL demands it.
        assert case["flags"] == ["MissingNull"]
        return False

    fields = {"keySize", "sha", "keyJwk", "publicKey", "publicKeyAsn", "publicKeyDer", "publicKeyPem"}
    compare(read(vectors_dir / "wycheproof" / name, fields, {"msg", "sig"}), accepts, acceptable=acceptable)
