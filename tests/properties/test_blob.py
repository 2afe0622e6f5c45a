# SPDX-License-Identifier: Apache-2.0
"""The ciphertext format: one spelling for each ciphertext, and one encoding for each encryption context."""

from hypothesis import given
from hypothesis import strategies as st

from keyquorum import blob

KEY_IDS = st.text("abcdef0123456789-mrkXYZ", min_size=1, max_size=64)
MATERIAL_IDS = st.binary(min_size=32, max_size=32).map(bytes.hex)
NONCES = st.binary(min_size=24, max_size=24)
SEALED = st.binary(min_size=16, max_size=80)
CONTEXTS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4)


def whole(parsed: blob.Blob) -> bytes:
    return blob.header(parsed.key_id, parsed.material_id) + parsed.nonce + parsed.sealed


@given(KEY_IDS, MATERIAL_IDS, NONCES, SEALED)
def test_what_is_written_is_read_back(key_id: str, material_id: str, nonce: bytes, sealed: bytes) -> None:
    head = blob.header(key_id, material_id)
    assert blob.parse(head + nonce + sealed) == blob.Blob(key_id, material_id, nonce, sealed, head)


@given(
    st.binary(max_size=300)
    | st.builds(lambda n, rest: bytes((1, n)) + rest, st.integers(0, 255), st.binary(max_size=300))
)
def test_whatever_is_read_has_no_other_spelling(data: bytes) -> None:
    parsed = blob.parse(data)
    assert parsed is None or whole(parsed) == data


@given(KEY_IDS, MATERIAL_IDS, NONCES, SEALED, st.data())
def test_what_is_too_short_or_of_another_version_is_refused(
    key_id: str, material_id: str, nonce: bytes, sealed: bytes, data: st.DataObject
) -> None:
    good = blob.header(key_id, material_id) + nonce + sealed
    assert blob.parse(good[: data.draw(st.integers(0, len(good) - len(sealed) + 15))]) is None
    assert blob.parse(bytes((data.draw(st.sampled_from([0, 2, 255])),)) + good[1:]) is None


def test_a_key_id_is_neither_empty_nor_long_nor_anything_but_ascii() -> None:
    tail = bytes(32 + 24 + 16)
    for length in (0, 65, 255):
        assert blob.parse(bytes((1, length)) + b"a" * length + tail) is None
    assert blob.parse(b"\x01\x02\xc3\xa9" + tail) is None


@given(st.binary(max_size=6), st.binary(max_size=6), CONTEXTS, CONTEXTS)
def test_two_contexts_have_one_encoding_only_if_they_are_equal(
    head: bytes, other_head: bytes, context: dict[str, str], other: dict[str, str]
) -> None:
    same = head == other_head and context == other
    assert (blob.associated_data(head, context) == blob.associated_data(other_head, other)) == same


@given(CONTEXTS, st.randoms())
def test_the_order_of_a_context_does_not_matter(context: dict[str, str], random: object) -> None:
    pairs = list(context.items())
    random.shuffle(pairs)  # type: ignore[attr-defined]  # Hypothesis does not type its Random
    assert blob.associated_data(b"h", dict(pairs)) == blob.associated_data(b"h", context)


def test_contexts_that_collide_where_pairs_are_joined_without_lengths() -> None:
    contexts = [
        {},
        {"": ""},
        {"a": "bc"},
        {"ab": "c"},
        {"a": "b", "c": ""},
        {"a": "", "b": "c"},
        {"a": "b=c"},
        {"a=b": "c"},
        {"a": "b,c=d"},
        {"a": "b", "c": "d"},
        {"A": "bc"},
        {"é": "x"},
        {"e\u0301": "x"},
    ]
    assert len({blob.associated_data(b"h", context) for context in contexts}) == len(contexts)
    assert blob.associated_data(b"h", None) == blob.associated_data(b"h", {})
