# SPDX-License-Identifier: Apache-2.0
"""Attacks on the verification of SigV4A: only what the key's owner signed verifies, under that algorithm alone."""

import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from sigv4_requests import (
    ACCESS_KEY_ID,
    MISMATCH,
    SECRET,
    at,
    authorized,
    check,
    refusal,
    replaced,
    request_of,
    signed_by_botocore,
    stamp,
)
from sigv4a_requests import ORDER, private_key, signature_of, signed_asymmetrically, with_signature

from keyquorum.authn import sigv4, sigv4a
from keyquorum.authn.canonical import SIGV4, SIGV4A, message
from keyquorum.errors import IncompleteSignatureException, InvalidSignatureException

REFUSED = (InvalidSignatureException, MISMATCH)
REGION_SET = b"x-amz-region-set"


# -- what must verify


def test_claims() -> None:
    request = signed_asymmetrically(regions="us-east-1,eu-*", token="c2VjcmV0IHNlc3Npb24=")
    signed = check(request, now=at(request))
    assert (signed.algorithm, signed.access_key_id, signed.service) == (SIGV4A, ACCESS_KEY_ID, "kms")
    assert (signed.region, signed.region_set) == ("", ("us-east-1", "eu-*"))
    assert signed.scope == stamp(request)[:8] + b"/kms/aws4_request"
    assert signed.session_token == b"c2VjcmV0IHNlc3Npb24="
    assert not any(secret in repr(signed) for secret in ("c2Vj", signed.signature.decode()))


def test_region_set_means_nothing_under_the_other_algorithm() -> None:
    request = signed_by_botocore(extra={"X-Amz-Region-Set": "*"})
    signed = check(request, now=at(request))
    assert (signed.algorithm, signed.region, signed.region_set) == (SIGV4, "us-east-1", ())


def test_order_of_headers_and_of_parameters_is_free() -> None:
    request = signed_asymmetrically()
    check(request_of(request.headers[::-1]), now=at(request))

    def reorder(value: bytes) -> bytes:
        algorithm, _, parameters = value.partition(b" ")
        return algorithm + b" " + b",".join(part.strip() for part in reversed(parameters.split(b",")))

    check(authorized(request, reorder), now=at(request))


def test_both_signatures_of_a_pair_verify() -> None:
    """Signers of AWS do not choose the lower one, as others do; the suite of AWS has some of either kind."""
    request = signed_asymmetrically()
    r, s = decode_dss_signature(bytes.fromhex(signature_of(request).decode()))
    for either in (s, ORDER - s):
        check(with_signature(request, encode_dss_signature(r, either).hex().encode()), now=at(request))


# -- the key


@pytest.mark.parametrize("access_key_id", [ACCESS_KEY_ID, "A", "ASIA" + "Z" * 124])
@pytest.mark.parametrize("secret", [SECRET, "a", "x" * 200])
def test_key_is_that_of_the_specification(access_key_id: str, secret: str) -> None:
    expected = private_key(access_key_id, secret).public_key()
    assert sigv4a.derive_public_key(access_key_id, secret) == expected
    assert sigv4a.derive_public_key(access_key_id, secret.encode()) == expected


def test_number_that_is_too_large_gives_way_to_the_next() -> None:
    """No access key is known that leads there: one of four thousand million would."""
    largest, too_large = (ORDER - 2).to_bytes(32, "big"), (ORDER - 1).to_bytes(32, "big")
    assert sigv4a._private_number([largest, bytes(32)]) == ORDER - 1
    assert sigv4a._private_number([too_large, b"\xff" * 32, bytes(32), largest]) == 1


@pytest.mark.parametrize(
    "key",
    [private_key("AKIAIOSFODNN7EXAMPLF"), private_key(secret=SECRET[:-1]), ec.generate_private_key(ec.SECP256R1())],
)
def test_another_key(key: ec.EllipticCurvePrivateKey) -> None:
    """The key belongs to the access key ID too: one secret under two IDs is two keys."""
    assert refusal(signed_asymmetrically(key=key)) == REFUSED


# -- the Regions


@pytest.mark.parametrize(
    "regions", [b"*", b"us-east-1,eu-west-1", b"us-east-2", b"us-east-1,", b"US-EAST-1", b"us-east-1 *"]
)
def test_changed_region_set(regions: bytes) -> None:
    assert refusal(replaced(signed_asymmetrically(), REGION_SET, regions)) == REFUSED


def test_unsigned_region_set() -> None:
    request = signed_asymmetrically(unsigned=frozenset({"x-amz-region-set"}))
    text = "'X-Amz-Region-Set' must be a 'SignedHeader' in the AWS Authorization."
    assert refusal(request) == (InvalidSignatureException, text)


@pytest.mark.parametrize("regions", ["", ",", ",,"])
def test_region_set_without_a_region(regions: str) -> None:
    code, message = refusal(signed_asymmetrically(regions=regions))
    assert code is IncompleteSignatureException
    assert message.startswith("Authorization header requires existence of a 'X-Amz-Region-Set' header. (Hashed with")


def test_region_set_that_is_signed_and_absent() -> None:
    request = signed_asymmetrically()
    code, message = refusal(request_of([header for header in request.headers if header[0] != REGION_SET]))
    assert code is IncompleteSignatureException
    assert "'X-Amz-Region-Set'" in message


def test_region_set_that_comes_twice() -> None:
    request = signed_asymmetrically()
    text = "The request has more than one 'X-Amz-Region-Set' header."
    for headers in ([(REGION_SET, b"*"), *request.headers], [*request.headers, (REGION_SET, b"us-east-1")]):
        assert refusal(request_of(headers)) == (InvalidSignatureException, text)


@pytest.mark.parametrize(
    ("regions", "covered"),
    [
        # As the project backlot reports of Amazon S3 in us-east-1 (sigv4a.py, 2026-09-29).
        ("*", True), ("us-*", True), ("*-1", True), ("u*1", True), ("**", True), ("US-*", True), ("us-east-1*", True),
        (",us-east-1", True), ("us-west-2,us-east-1", True), ("us-east-1", True),
        ("us-east-?", False), ("us-east-10", False), ("us-east-", False), ("aws-global", False),
        ("us-west-2, us-east-1", False), ("us-east-1;us-west-2", False), ("us-east-1 us-west-2", False),
        # Deduced.
        ("us-east-1-*", False), ("*us-east", False), ("u*east-2", False), ("us-east-1\xa0", False), ("[a-z]*", False),
        (".*", False), ("*1*1", False), ("us-east-1*us-east-1", False),
    ],
)  # fmt: skip
def test_regions_that_are_covered(regions: str, covered: bool) -> None:
    request = signed_asymmetrically(regions=regions)
    if not regions.isascii():
        request = replaced(request, REGION_SET, regions.encode("latin-1"))
    signed = sigv4.parse(request, b"kms", at(request))
    assert sigv4a.covers(signed.region_set, "us-east-1") is covered


def test_a_signature_is_for_so_many_regions_at_most() -> None:
    regions = [f"eu-west-{number}" for number in range(65)]
    request = signed_asymmetrically(regions=",".join(regions[:64]))
    assert check(request, now=at(request)).region_set == tuple(regions[:64])
    request = signed_asymmetrically(regions=",".join(regions))
    with pytest.raises(IncompleteSignatureException, match="names more than 64 Regions"):
        check(request, now=at(request))


def test_no_region_set_covers_nothing() -> None:
    assert not sigv4a.covers((), "us-east-1")


def test_pattern_cannot_be_made_slow() -> None:
    """A matcher that goes back and tries again would not end."""
    assert not sigv4a.covers(["*" + "a*" * 2000 + "b"], "a" * 5000)


# -- the scope


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b"/kms/", b"/sts/", "Credential should be scoped to correct service: 'kms'. "),
        (
            b"aws4_request",
            b"aws5_request",
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. ",
        ),
    ],
)
def test_scope(old: bytes, new: bytes, text: str) -> None:
    changed = authorized(signed_asymmetrically(), lambda value: value.replace(old, new))
    assert refusal(changed) == (InvalidSignatureException, text)


@pytest.mark.parametrize("new", [b"/us-east-1/kms/", b"/", b"//kms/"])
def test_scope_of_another_form(new: bytes) -> None:
    request = signed_asymmetrically()
    changed = authorized(request, lambda value: value.replace(b"/kms/", new))
    credential = f"{ACCESS_KEY_ID}/{stamp(request)[:8].decode()}{new.decode()}aws4_request"
    text = (
        "Credential must have exactly 4 slash-delimited elements, e.g. keyid/date/service/term,"
        f" got '{credential[:64]}'"
    )
    assert refusal(changed) == (IncompleteSignatureException, text)


def test_another_access_key_id_of_the_same_shape_is_not_covered_by_the_signature_but_by_its_key() -> None:
    """The access key ID is not in the string to sign. Whoever looks the key up by it finds another key."""
    request = authorized(signed_asymmetrically(), lambda value: value.replace(b"AKIA", b"AKIB"))
    signed = sigv4.parse(request, b"kms", at(request))
    with pytest.raises(InvalidSignatureException):
        sigv4a.verify(request, signed, sigv4a.derive_public_key(signed.access_key_id, SECRET))


# -- one algorithm for the other


def public_forms() -> list[bytes]:
    key = sigv4a.derive_public_key(ACCESS_KEY_ID, SECRET)
    info, point = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PublicFormat.UncompressedPoint
    return [
        key.public_bytes(serialization.Encoding.PEM, info),
        key.public_bytes(serialization.Encoding.DER, info),
        key.public_bytes(serialization.Encoding.X962, point),
    ]


@pytest.mark.parametrize("secret", [SECRET.encode(), *public_forms()])
@pytest.mark.parametrize("region", ["", "us-east-1"])
def test_hmac_where_ecdsa_is_claimed(secret: bytes, region: str) -> None:
    """Not even by who has the secret: nobody may choose the weaker check. Nor does what is public sign anything."""
    request = signed_asymmetrically()
    signed = sigv4.parse(request, b"kms", at(request))
    derived = sigv4.derive_key(secret, signed.date, region, signed.service)
    for key in (derived, hmac.new(secret, digestmod="sha256")):
        keyed = key.copy()
        keyed.update(message(request, signed))
        forged = with_signature(request, keyed.hexdigest().encode())
        assert refusal(forged) == REFUSED
        with pytest.raises(InvalidSignatureException) as caught:
            sigv4.verify(forged, sigv4.parse(forged, b"kms", at(forged)), key)
        assert caught.value.message == MISMATCH


def test_ecdsa_where_hmac_is_claimed() -> None:
    request = signed_by_botocore()
    signed = sigv4.parse(request, b"kms", at(request))
    signature = private_key().sign(message(request, signed), sigv4a._ECDSA).hex().encode()
    forged = authorized(request, lambda value: value[:-64] + signature)
    assert refusal(forged) == REFUSED
    with pytest.raises(InvalidSignatureException) as caught:
        sigv4a.verify(forged, sigv4.parse(forged, b"kms", at(forged)), private_key().public_key())
    assert caught.value.message == MISMATCH


def test_algorithm_is_part_of_what_is_signed() -> None:
    hmac_signed = signed_by_botocore(extra={"X-Amz-Region-Set": "us-east-1"})
    renamed = authorized(hmac_signed, lambda v: v.replace(SIGV4, SIGV4A).replace(b"/us-east-1/kms", b"/kms"))
    assert refusal(renamed) == REFUSED
    renamed = authorized(
        signed_asymmetrically(), lambda v: v.replace(SIGV4A, SIGV4).replace(b"/kms", b"/us-east-1/kms")
    )
    assert refusal(renamed) == REFUSED


# -- what is no signature


def der(r: int, s: int) -> bytes:
    return encode_dss_signature(r, s)


def integers(first: bytes, second: bytes) -> bytes:
    content = b"\2" + bytes([len(first)]) + first + b"\2" + bytes([len(second)]) + second
    return b"\x30" + bytes([len(content)]) + content


def parts(signature: bytes) -> tuple[bytes, bytes]:
    """Both numbers as DER has them."""
    end = 4 + signature[3]
    return signature[4:end], signature[end + 2 :]


ENCODINGS: dict[str, Callable[[bytes, int, int], bytes]] = {
    "r is 0": lambda _, r, s: der(0, s),
    "s is 0": lambda _, r, s: der(r, 0),
    "both are 0": lambda _, r, s: der(0, 0),
    "both are 1": lambda _, r, s: der(1, 1),
    "r is n": lambda _, r, s: der(ORDER, s),
    "s is n": lambda _, r, s: der(r, ORDER),
    "r is beyond n": lambda _, r, s: der(r + ORDER, s),
    "s is beyond n": lambda _, r, s: der(r, s + ORDER),
    "exchanged": lambda _, r, s: der(s, r),
    "r is negative": lambda signature, r, s: integers((-r).to_bytes(33, "big", signed=True), parts(signature)[1]),
    "no numbers": lambda *_: b"\x30\0",
    "empty numbers": lambda *_: integers(b"", b""),
    "one number": lambda signature, r, s: b"\x30" + bytes([2 + signature[3]]) + signature[2 : 4 + signature[3]],
    "cut": lambda signature, r, s: signature[:-1],
    "cut in half": lambda signature, r, s: signature[:35],
    "raw": lambda _, r, s: r.to_bytes(32, "big") + s.to_bytes(32, "big"),
    "followed by a byte": lambda signature, r, s: signature + b"\0",
    "another byte inside": lambda signature, r, s: b"\x30" + bytes([signature[1] + 1]) + signature[2:] + b"\0",
    "length in two bytes": lambda signature, r, s: b"\x30\x81" + signature[1:],
    "length left open": lambda signature, r, s: b"\x30\x80" + signature[2:] + b"\0\0",
    "r with a zero before it": lambda signature, r, s: integers(b"\0" + parts(signature)[0], parts(signature)[1]),
    "s with a zero before it": lambda signature, r, s: integers(parts(signature)[0], b"\0" + parts(signature)[1]),
    "a set": lambda signature, r, s: b"\x31" + signature[1:],
    "twice": lambda signature, r, s: signature * 2,
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_wrong_der(encoding: Callable[[bytes, int, int], bytes]) -> None:
    request = signed_asymmetrically()
    signature = bytes.fromhex(signature_of(request).decode())
    changed = encoding(signature, *decode_dss_signature(signature))
    assert changed != signature
    assert refusal(with_signature(request, changed.hex().encode())) == REFUSED


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.upper(),
        lambda value: value[:-1],
        lambda value: value + b"0",
        lambda value: b"0x" + value,
        lambda value: b" " + value,
        lambda value: value[:2] + b" " + value[2:],
        lambda value: value[:-1] + b"g",
        lambda value: b"*" * 4 + value,
        lambda value: value + b"*" * 4,
        lambda value: b"\xd9\xa1" * 70,
        lambda value: b"0" * 3000,
    ],
)
def test_wrong_hexadecimal(change: Callable[[bytes], bytes]) -> None:
    request = signed_asymmetrically()
    assert refusal(with_signature(request, change(signature_of(request)))) == REFUSED


def test_empty_and_overlong_signature() -> None:
    request = signed_asymmetrically()
    code, message = refusal(with_signature(request, b""))
    assert code is IncompleteSignatureException
    assert message.startswith("Authorization header requires 'Signature' parameter. (Hashed with")
    overlong = (IncompleteSignatureException, "Authorization header is too long.")
    assert refusal(with_signature(request, b"0" * 5000)) == overlong


SIGNED = signed_asymmetrically()


@given(st.binary(max_size=80) | st.tuples(st.integers(0, 2**260), st.integers(0, 2**260)).map(lambda pair: der(*pair)))
def test_no_bytes_verify(signature: bytes) -> None:
    claims = sigv4.parse(with_signature(SIGNED, signature.hex().encode() or b"0"), b"kms", at(SIGNED))
    with pytest.raises(InvalidSignatureException):
        sigv4a.verify(SIGNED, claims, private_key().public_key())


@given(st.integers(0, 8 * 70 - 1))
def test_no_changed_bit_verifies(bit: int) -> None:
    signature = bytearray.fromhex(signature_of(SIGNED).decode())
    signature[bit // 8 % len(signature)] ^= 1 << bit % 8
    assert refusal(with_signature(SIGNED, signature.hex().encode())) == REFUSED
