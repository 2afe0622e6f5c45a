# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's ECDSA and ECDH files through the elliptic curve provider."""

from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_public_key,
)
from wycheproof import Case, Group, NotApplicable, compare, names, read

from keyquorum.crypto import ec
from keyquorum.errors import ValidationException

ECDSA = {
    "ecdsa_secp256k1_sha256_test.json": "ECC_SECG_P256K1",
    "ecdsa_secp256r1_sha256_test.json": "ECC_NIST_P256",
    "ecdsa_secp384r1_sha384_test.json": "ECC_NIST_P384",
    "ecdsa_secp521r1_sha512_test.json": "ECC_NIST_P521",
}
ECDH: dict[str, tuple[str, EllipticCurve]] = {
    "ecdh_secp256r1_test.json": ("ECC_NIST_P256", SECP256R1()),
    "ecdh_secp384r1_test.json": ("ECC_NIST_P384", SECP384R1()),
    "ecdh_secp521r1_test.json": ("ECC_NIST_P521", SECP521R1()),
}
#: File -> (why our provider does not offer it, the number of its tests).
NOT_APPLICABLE = {
    "ecdsa_secp256k1_sha512_test.json": ("ECC_SECG_P256K1 signs with ECDSA_SHA_256 only", 546),
    "ecdsa_secp256r1_sha512_test.json": ("ECC_NIST_P256 signs with ECDSA_SHA_256 only", 554),
    "ecdh_secp256k1_test.json": ("ECC_SECG_P256K1 has no KeyUsage KEY_AGREEMENT", 752),
}

ECDSA_FIELDS = {"publicKey", "publicKeyDer", "publicKeyPem", "sha"}


def test_no_file_is_left_out(vectors_dir: Path) -> None:
    assert names(vectors_dir / "wycheproof", "ec*.json") == {*ECDSA, *ECDH, *NOT_APPLICABLE}


def public_key(spec: str, group: Group) -> ec.PublicKey:
    public = load_der_public_key(bytes.fromhex(group["publicKeyDer"]))
    assert isinstance(public, EllipticCurvePublicKey)
    return (ec.Secp256k1PublicKey if spec == "ECC_SECG_P256K1" else ec.PublicKey)(spec, public)


@pytest.mark.parametrize("name", ECDSA)
def test_ecdsa(vectors_dir: Path, name: str) -> None:
    def accepts(group: Group, case: Case) -> bool:
        algorithm = f"ECDSA_{group['sha'].replace('-', '_')}"
        key = public_key(ECDSA[name], group)
        return key.verify(algorithm, bytes.fromhex(case["msg"]), "RAW", bytes.fromhex(case["sig"]))

    compare(read(vectors_dir / "wycheproof" / name, ECDSA_FIELDS, {"msg", "sig"}), accepts)


@pytest.mark.parametrize("name", ECDH)
def test_ecdh(vectors_dir: Path, name: str) -> None:
    spec, curve = ECDH[name]

    @cache
    def key_pair(scalar: str) -> ec.KeyPair:
        private = derive_private_key(int(scalar, 16), curve)
        pkcs8 = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        opened = ec.open_material(spec, ec.parse_import(spec, pkcs8))
        assert isinstance(opened, ec.KeyPair)
        return opened

    def accepts(group: Group, case: Case) -> bool:
        assert group["encoding"] == "asn"
        try:
            secret = key_pair(case["private"]).agree("ECDH", bytes.fromhex(case["public"]))
        except ValidationException:
            return False
        assert secret == bytes.fromhex(case["shared"]), f"tcId {case['tcId']}: another secret"
        return True

    def acceptable(case: Case) -> bool:
        # Bad DER and curves in explicit parameters, even harmless ones, are refused. A compressed point is legal
        # (RFC 5480, section 2.2).
        return "CompressedPoint" in case["flags"]

    fields = {"curve", "encoding"}
    cases = read(vectors_dir / "wycheproof" / name, fields, {"public", "private", "shared"})
    compare(cases, accepts, acceptable=acceptable)


@pytest.mark.parametrize("name", NOT_APPLICABLE)
def test_not_applicable(vectors_dir: Path, name: str) -> None:
    """The provider does refuse the combination, so none of its vectors can be accepted by mistake."""
    reason, count = NOT_APPLICABLE[name]
    spec = reason.split()[0]
    agreement = name.startswith("ecdh")

    def accepts(group: Group, case: Case) -> bool:
        if agreement:
            assert not hasattr(ec.open_material(spec, material), "agree")
        else:
            with pytest.raises(KeyError):
                public_key(spec, group).verify("ECDSA_SHA_512", b"", "RAW", bytes.fromhex(case["sig"]))
        raise NotApplicable(reason)

    material = ec.generate(spec)
    group_fields = {"curve", "encoding"} if agreement else ECDSA_FIELDS
    case_fields = {"public", "private", "shared"} if agreement else {"msg", "sig"}
    cases = read(vectors_dir / "wycheproof" / name, group_fields, case_fields)
    compare(cases, accepts, not_applicable={reason: count})
