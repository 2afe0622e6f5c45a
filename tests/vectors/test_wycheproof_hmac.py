# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's HMAC files through the MAC provider."""

from pathlib import Path

import pytest
from wycheproof import Case, Group, NotApplicable, compare, names, read

from keyquorum.crypto import mac
from keyquorum.errors import IncorrectKeyMaterialException

TRUNCATED = "truncated: VerifyMac takes whole MACs"
SHORT = "the key is shorter than its spec imports"

FILES = {
    "hmac_sha224_test.json": {TRUNCATED: 82, SHORT: 6},
    "hmac_sha256_test.json": {TRUNCATED: 84, SHORT: 6},
    "hmac_sha384_test.json": {TRUNCATED: 84, SHORT: 6},
    "hmac_sha512_test.json": {TRUNCATED: 84, SHORT: 6},
}


def test_no_file_is_left_out(vectors_dir: Path) -> None:
    assert names(vectors_dir / "wycheproof", "hmac_*.json") == FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_hmac(vectors_dir: Path, name: str) -> None:
    bits = name.removeprefix("hmac_sha").removesuffix("_test.json")
    spec, algorithm = f"HMAC_{bits}", f"HMAC_SHA_{bits}"

    def accepts(group: Group, case: Case) -> bool:
        key, message, tag = (bytes.fromhex(case[field]) for field in ("key", "msg", "tag"))
        if group["keySize"] < int(bits):
            with pytest.raises(IncorrectKeyMaterialException):
                mac.parse_import(spec, key)
            raise NotApplicable(SHORT)
        opened = mac.open_material(spec, mac.parse_import(spec, key))
        if group["tagSize"] < int(bits):
            assert not opened.verify_mac(algorithm, message, tag)
            raise NotApplicable(TRUNCATED)
        verdict = opened.verify_mac(algorithm, message, tag)
        assert verdict == (opened.mac(algorithm, message) == tag)
        return verdict

    cases = read(vectors_dir / "wycheproof" / name, {"keySize", "tagSize"}, {"key", "msg", "tag"})
    compare(cases, accepts, not_applicable=FILES[name])
