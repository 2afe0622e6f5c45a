# SPDX-License-Identifier: Apache-2.0
"""Markers: what was issued is read back; nothing else is."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyquorum import api
from keyquorum.errors import InvalidMarkerException
from keyquorum.wire import constraints
from keyquorum.wire.paging import Marker

MARKER = Marker(b"k" * 32)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=150)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(TEXT, TEXT)
def test_an_issued_marker_is_read_back_and_fits_the_model(scope: str, position: str) -> None:
    marker = MARKER.issue(scope, position)
    assert MARKER.read(scope, marker) == position
    constraints.check(api.ListKeysRequest(marker=marker))


@pytest.mark.parametrize("position", ["", "a", "ab", "alias/example"])
def test_every_other_spelling_is_refused(position: str) -> None:
    marker = MARKER.issue("scope", position)
    others = {
        marker[:place] + letter + marker[place + 1 :]
        for place in range(len(marker))
        for letter in ALPHABET + " =\u00e9"
    }
    others |= {marker[:end] for end in range(len(marker))}
    others |= {marker + tail for tail in ("=", "==", "A", "AAAA", "\n", " ", "\ud800")}
    for other in others - {marker}:
        with pytest.raises(InvalidMarkerException):
            MARKER.read("scope", other)


def test_a_marker_is_bound_to_its_scope_and_key() -> None:
    marker = MARKER.issue("ListKeys/a", "b")
    for reader, scope in ((MARKER, "ListKeys/"), (MARKER, "ListKeys/ab"), (Marker(b"o" * 32), "ListKeys/a")):
        with pytest.raises(InvalidMarkerException):
            reader.read(scope, marker)


def test_scope_and_position_do_not_run_into_each_other() -> None:
    raw = bytearray(base64.urlsafe_b64decode(MARKER.issue("a", "bc") + "=" * 3))
    moved = base64.urlsafe_b64encode(bytes(raw[:17]) + b"c").rstrip(b"=").decode()
    with pytest.raises(InvalidMarkerException):
        MARKER.read("ab", moved)


@given(st.text(max_size=60))
def test_any_text_is_refused_politely(marker: str) -> None:
    with pytest.raises(InvalidMarkerException):
        MARKER.read("scope", marker)


def test_a_position_that_does_not_fit_is_our_own_mistake() -> None:
    constraints.check(api.ListKeysRequest(marker=MARKER.issue("s", "a" * 751)))
    with pytest.raises(ValueError, match="752 bytes"):
        MARKER.issue("s", "a" * 752)


def test_the_key_stays_out_of_repr() -> None:
    assert "kkk" not in repr(MARKER)
