# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's ML-KEM files through the ML-KEM provider.

What each file can show depends on what the provider keeps as key material. The seed (ML_KEM_768, ML_KEM_1024): the
key generation files run whole, the decapsulation files, whose keys have no seed, as far as lengths go. The expanded
key (ML_KEM_512): the decapsulation file runs whole; of the key generation file the key pairs run, but their
derivation from the seed happens inside pqcrypto, which takes none.
"""

from pathlib import Path
from typing import Any

import pytest
from kyber_py.ml_kem import ML_KEM_768, ML_KEM_1024
from wycheproof import Case, Group, NotApplicable, compare, names
from wycheproof_pq import read

from keyquorum.crypto import mlkem
from keyquorum.errors import InvalidCiphertextException

SEEDED: dict[str, Any] = {"ML_KEM_768": ML_KEM_768, "ML_KEM_1024": ML_KEM_1024}
SPECS = {"512": "ML_KEM_512", "768": "ML_KEM_768", "1024": "ML_KEM_1024"}
SEED_ONLY = "the decapsulation key has no seed, and OpenSSL's binding takes nothing else"

every_set = pytest.mark.parametrize("parameters", SPECS)


def test_no_file_is_left_out(vectors_dir: Path) -> None:
    assert names(vectors_dir / "wycheproof", "mlkem*.json") == {
        f"mlkem_{parameters}_{kind}_test.json"
        for parameters in SPECS
        for kind in ("keygen_seed", "semi_expanded_decaps")
    }


@every_set
def test_key_generation(vectors_dir: Path, parameters: str) -> None:
    spec = SPECS[parameters]

    def accepts(group: Group, case: Case) -> bool:
        assert group["parameterSet"] == f"ML-KEM-{parameters}"
        expanded = bytes.fromhex(case["dk"])
        key = mlkem.open_material(spec, bytes.fromhex(case["seed"]) if spec in SEEDED else expanded)
        ciphertext, secret = key.encapsulate(mlkem.ALGORITHM)
        elsewhere = SEEDED[spec].decaps(expanded, ciphertext) if spec in SEEDED else secret
        return (
            key.public_key().endswith(bytes.fromhex(case["ek"]))
            and key.decapsulate(mlkem.ALGORITHM, ciphertext) == secret == elsewhere
        )

    path = vectors_dir / "wycheproof" / f"mlkem_{parameters}_keygen_seed_test.json"
    compare(read(path, {"parameterSet"}, {"seed", "ek", "dk"}, set()), accepts)


@every_set
def test_decapsulation(vectors_dir: Path, parameters: str) -> None:
    spec = SPECS[parameters]

    def accepts(group: Group, case: Case) -> bool:
        assert group["parameterSet"] == f"ML-KEM-{parameters}"
        material = bytes.fromhex(case["dk"])
        if spec in SEEDED:
            if case["flags"] != ["IncorrectCiphertextLength"]:
                raise NotApplicable(SEED_ONLY)
            material = mlkem.generate(spec)  # whatever the key, the length is refused
        try:
            secret = mlkem.open_material(spec, material).decapsulate(mlkem.ALGORITHM, bytes.fromhex(case["c"]))
        except (ValueError, InvalidCiphertextException):
            return False
        return secret == bytes.fromhex(case["K"])

    path = vectors_dir / "wycheproof" / f"mlkem_{parameters}_semi_expanded_decaps_test.json"
    compare(
        read(path, {"parameterSet"}, {"flags", "dk", "ek", "c"}, {"K"}),
        accepts,
        not_applicable={SEED_ONLY: 7} if spec in SEEDED else {},
    )
