# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's ML-DSA files through the ML-DSA provider.

Vectors with a context enter as EXTERNAL_MU, whose computation is the caller's, here the test's. Our signatures are
hedged, so those of the signing files cannot come out again: we accept them, and make others that we accept.
"""

from hashlib import shake_256
from pathlib import Path

import pytest
from wycheproof import Case, Group, NotApplicable, compare, names
from wycheproof_pq import read

from keyquorum.crypto import mldsa

SPECS = {"44": "ML_DSA_44", "65": "ML_DSA_65", "87": "ML_DSA_87"}
LONG_CONTEXT = "Sign carries no context, and one over 255 bytes has no representative (FIPS 204, algorithm 2)"

every_set = pytest.mark.parametrize("parameters", SPECS)


def representative(public: bytes, context: bytes, message: bytes) -> bytes:
    """mu by FIPS 204, algorithms 2 and 7."""
    if len(context) > 255:
        raise NotApplicable(LONG_CONTEXT)
    prefix = bytes([0, len(context)]) + context
    return shake_256(shake_256(public).digest(64) + prefix + message).digest(64)


def inputs(public: bytes, case: Case) -> dict[str, bytes]:
    """message type -> message, in every way in which this test can be put to Sign and Verify."""
    if "msg" not in case:
        return {"EXTERNAL_MU": bytes.fromhex(case["mu"])}
    context, message = bytes.fromhex(case.get("ctx", "")), bytes.fromhex(case["msg"])
    mu = representative(public, context, message)
    assert case.get("mu", mu.hex()) == mu.hex()
    return {"EXTERNAL_MU": mu} if context else {"EXTERNAL_MU": mu, "RAW": message}


def test_no_file_is_left_out(vectors_dir: Path) -> None:
    assert names(vectors_dir / "wycheproof", "mldsa*.json") == {
        f"mldsa_{parameters}_{kind}_test.json" for parameters in SPECS for kind in ("sign_seed", "verify")
    }


@every_set
def test_sign(vectors_dir: Path, parameters: str) -> None:
    def accepts(group: Group, case: Case) -> bool:
        try:
            key = mldsa.open_material(SPECS[parameters], bytes.fromhex(group["privateSeed"]))
        except ValueError:
            return False
        public = bytes.fromhex(group["publicKey"])
        assert key.public_key().endswith(public)
        return all(
            key.verify(mldsa.ALGORITHM, message, message_type, signature)
            for message_type, message in inputs(public, case).items()
            for signature in (bytes.fromhex(case["sig"]), key.sign(mldsa.ALGORITHM, message, message_type))
        )

    path = vectors_dir / "wycheproof" / f"mldsa_{parameters}_sign_seed_test.json"
    # privateKeyPkcs8 holds the same seed in the container of an import, which AWS KMS does not offer for ML-DSA.
    compare(
        read(
            path,
            group_fields={"privateSeed", "publicKey"},
            case_fields={"flags", "sig"},
            optional={"privateKeyPkcs8", "msg", "mu", "ctx", "rnd"},
        ),
        accepts,
        not_applicable={LONG_CONTEXT: 1},
    )


@every_set
def test_verify(vectors_dir: Path, parameters: str) -> None:
    def accepts(group: Group, case: Case) -> bool:
        try:
            key = mldsa.open_public_key(SPECS[parameters], bytes.fromhex(group["publicKeyDer"]))
        except ValueError:
            return False
        public, signature = bytes.fromhex(group["publicKey"]), bytes.fromhex(case["sig"])
        assert key.public_key() == bytes.fromhex(group["publicKeyDer"])
        verdicts = {
            key.verify(mldsa.ALGORITHM, message, message_type, signature)
            for message_type, message in inputs(public, case).items()
        }
        assert len(verdicts) == 1, "RAW and EXTERNAL_MU disagree"
        return verdicts.pop()

    path = vectors_dir / "wycheproof" / f"mldsa_{parameters}_verify_test.json"
    compare(
        read(path, {"publicKey", "publicKeyDer"}, {"flags", "msg", "sig"}, {"ctx"}),
        accepts,
        not_applicable={LONG_CONTEXT: 5},
    )
