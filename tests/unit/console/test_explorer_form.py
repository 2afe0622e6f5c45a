# SPDX-License-Identifier: Apache-2.0
"""What a form shows of a request is what it sends back, whatever the request holds."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyquorum.console.explorer_form import Control, Filled, controls, read
from keyquorum.reference import PAGES


def _fields(form: tuple[Control, ...]) -> Iterator[tuple[str, str]]:
    """What a browser would send of the form."""
    for control in form:
        if control.widget == "choices":
            yield from ((control.path, value) for value in control.chosen)
        elif control.widget in ("structure", "list", "map"):
            yield from _fields(control.parts)
            for row in control.rows:
                yield from _fields(row)
        else:
            yield control.path, control.value
            if control.widget == "blob":
                yield f"{control.path}.as", control.written


def _again(operation: str, members: dict[str, Any], written: dict[str, str] | None = None) -> Filled:
    return read(operation, _fields(controls(operation, Filled(members, written or {}))))


@pytest.mark.parametrize("operation", PAGES)
def test_an_example_survives_the_form(operation: str) -> None:
    members = PAGES[operation].example.members
    assert _again(operation, members).members == members


_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1, max_size=20)


@given(st.binary(max_size=40), st.sampled_from(["base64", "text", "hex"]), st.dictionaries(_TEXTS, _TEXTS, max_size=4))
def test_bytes_and_pairs_survive_the_form(blob: bytes, how: str, context: dict[str, str]) -> None:
    members = {"KeyId": "k", "Plaintext": base64.b64encode(blob).decode(), "EncryptionContext": context}
    filled = _again("Encrypt", members, {"m.Plaintext": how})
    wanted = {name: value for name, value in members.items() if value}
    assert (filled.members, filled.problems) == (wanted, ())


@pytest.mark.parametrize("value", ["text", 7, 1e30, None, [], ["x"], {"a": {}}, [[["x"]]], True])
@pytest.mark.parametrize("operation", ["CreateGrant", "ImportKeyMaterial", "CreateKey"])
def test_a_value_of_another_kind_makes_a_form_all_the_same(operation: str, value: Any) -> None:
    """It comes from a hidden field, which anybody can have sent."""
    members = {field.name: value for field in PAGES[operation].request}
    assert len(controls(operation, Filled(members))) == len(members)


def test_what_is_no_field_of_the_form_is_left_out() -> None:
    fields = [
        ("csrf", "x"),
        ("m", "y"),
        ("m.Nothing", "z"),
        ("m.KeyId.0", "z"),
        ("m.Tags.x.TagKey", "z"),
        ("m" * 99, ""),
    ]
    assert read("TagResource", [*fields, ("m.KeyId", "k"), ("m.Tags.7.TagKey", "a")]).members == {
        "KeyId": "k",
        "Tags": [{"TagKey": "a"}],
    }


def test_a_key_that_is_there_twice_is_told() -> None:
    rows = [("m.EncryptionContext.0.key", "a"), ("m.EncryptionContext.1.key", "a")]
    assert read("Encrypt", rows).problems == ("EncryptionContext has the key 'a' twice.",)
