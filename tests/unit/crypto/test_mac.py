# SPDX-License-Identifier: Apache-2.0
"""The MAC provider: published MACs, key lengths, truncation, and the openssl command line as a second opinion."""

import pickle

import pytest
from openssl import OpenSSL

from keyquorum.crypto import mac
from keyquorum.errors import IncorrectKeyMaterialException

BITS = (224, 256, 384, 512)

#: RFC 4231, section 4.2 (test case 1), with a 20-byte key, shorter than what may be imported.
RFC_KEY, RFC_MESSAGE = b"\x0b" * 20, b"Hi There"
RFC_MACS = {
    224: "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22",
    256: "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    384: "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
    512: (
        "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
        "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854"
    ),
}


@pytest.mark.parametrize("bits", BITS)
def test_published_mac(bits: int) -> None:
    key = mac.open_material(f"HMAC_{bits}", RFC_KEY)
    assert key.mac(f"HMAC_SHA_{bits}", RFC_MESSAGE).hex() == RFC_MACS[bits]


@pytest.mark.parametrize("bits", BITS)
def test_generates_as_many_bytes_as_a_mac_has(bits: int) -> None:
    assert len(mac.generate(f"HMAC_{bits}")) * 8 == bits
    assert mac.generate(f"HMAC_{bits}") != mac.generate(f"HMAC_{bits}")


@pytest.mark.parametrize("bits", BITS)
def test_only_the_whole_mac_is_good(bits: int) -> None:
    key, algorithm = mac.open_material(f"HMAC_{bits}", mac.generate(f"HMAC_{bits}")), f"HMAC_SHA_{bits}"
    good = key.mac(algorithm, b"message")
    assert key.verify_mac(algorithm, b"message", good)
    assert not key.verify_mac(algorithm, b"another", good)
    for bad in (b"", good[:-1], good[1:], good + b"\0", good[:-1] + bytes([good[-1] ^ 1]), bytes(6144)):
        assert not key.verify_mac(algorithm, b"message", bad)


@pytest.mark.parametrize("bits", BITS)
def test_import_lengths(bits: int) -> None:
    shortest = bits // 8
    for length in (shortest, shortest + 1, 127, 128):
        assert mac.parse_import(f"HMAC_{bits}", bytes(length)) == bytes(length)
    for length in (0, 1, shortest - 1, 129, 4096):
        with pytest.raises(IncorrectKeyMaterialException) as caught:
            mac.parse_import(f"HMAC_{bits}", bytes(length))
        assert caught.value.message is None


def test_opened_material_shows_nothing() -> None:
    key = mac.open_material("HMAC_256", b"secret secret secret secret secr")
    assert repr(key) == "<MacKey HMAC_256>"
    assert not hasattr(key, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(key)


@pytest.mark.slow
@pytest.mark.parametrize("bits", BITS)
def test_macs_with_openssl(openssl: OpenSSL, bits: int) -> None:
    material = mac.generate(f"HMAC_{bits}")
    theirs = openssl.run(
        "mac", "-binary", "-digest", f"SHA{bits}", "-macopt", f"hexkey:{material.hex()}", "-in", b"message", "HMAC"
    )
    assert mac.open_material(f"HMAC_{bits}", material).mac(f"HMAC_SHA_{bits}", b"message") == theirs
