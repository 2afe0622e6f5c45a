# SPDX-License-Identifier: Apache-2.0
"""The reference is complete, and is about the server that there is."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import xform_name

from keyquorum import api, errors
from keyquorum.ops import registry
from keyquorum.reference import COMMON, FAMILIES, MEANINGS, PAGES, Field, followers, prepare
from keyquorum.reference.examples import Example, Step
from keyquorum.reference.snippets import snake


def test_every_operation_has_a_page_in_one_family() -> None:
    named = [name for family in FAMILIES.values() for name in family]
    assert sorted(named) == sorted(api.OPERATIONS)
    assert list(PAGES) == named


@pytest.mark.parametrize("operation", PAGES)
def test_a_purpose_is_one_to_three_sentences(operation: str) -> None:
    sentences = re.findall(r"[.](?:\s|$)", PAGES[operation].purpose)
    assert 1 <= len(sentences) <= 4
    assert PAGES[operation].purpose.endswith(".")


def _all(fields: tuple[Field, ...]) -> Iterator[Field]:
    for field in fields:
        yield field
        inner = tuple(part for part in (field.element, field.key, field.value) if part is not None)
        yield from _all((*field.fields, *inner))


@pytest.mark.parametrize("operation", PAGES)
def test_every_member_is_told_of(operation: str) -> None:
    page = PAGES[operation]
    assert [field.name for field in _all((*page.request, *page.response)) if field.name and not field.about] == []


@pytest.mark.parametrize("operation", PAGES)
def test_members_are_those_of_the_model(operation: str, kms_model: Any) -> None:
    page, model = PAGES[operation], kms_model.operation_model(operation)
    for fields, shape in ((page.request, model.input_shape), (page.response, model.output_shape)):
        members = {} if shape is None else shape.members
        assert {field.name: field.kind for field in fields} == {name: m.type_name for name, m in members.items()}
    required = set(model.input_shape.required_members) if model.input_shape is not None else set()
    assert {field.name for field in page.request if field.required} == required


@pytest.fixture(scope="module")
def kms_model() -> Any:
    import botocore.session

    return botocore.session.Session().get_service_model("kms")


def test_every_error_that_a_request_can_meet_has_a_meaning() -> None:
    declared = {code for shape in api.OPERATIONS.values() for code in shape.exceptions}
    assert declared - set(MEANINGS) == set()
    assert set(COMMON) <= {fault.__name__ for fault in errors.KMSError.__subclasses__()}


def test_what_works_is_what_is_registered() -> None:
    assert {name for name, page in PAGES.items() if page.available} == set(registry.KMS)
    assert {name for name, page in PAGES.items() if page.example.works} == set(registry.KMS)


@pytest.mark.parametrize("operation", PAGES)
def test_examples_name_members_that_there_are(operation: str) -> None:
    example = PAGES[operation].example
    calls = [(step.operation, step.members) for step in example.needs] + [(operation, example.members)]
    for name, members in calls:
        assert set(members) <= {field.name for field in PAGES[name].request}
        assert {field.name for field in PAGES[name].request if field.required} <= set(members)


@pytest.mark.parametrize("operation", PAGES)
def test_names_are_spelled_as_botocore_spells_them(operation: str) -> None:
    names = [operation, *(field.name for field in PAGES[operation].request)]
    assert [snake(name) for name in names] == [xform_name(name) for name in names]


@pytest.mark.parametrize("operation", PAGES)
def test_what_follows_takes_what_is_carried(operation: str) -> None:
    for follower in followers(operation):
        assert follower.operation in PAGES
        assert follower.carries in {field.name for field in PAGES[operation].response}


def test_an_answer_goes_where_the_placeholder_is() -> None:
    example = Example(
        {"KeyId": "${key.KeyMetadata.KeyId}", "Policy": '{"a": {"b": "${aws:username} of ${key.KeyMetadata.Owner}"}}'},
        (Step("key", "CreateKey", {"Tags": ["${unique}"]}, "a key"),),
    )
    asked: list[Any] = []

    def call(operation: str, members: dict[str, Any]) -> dict[str, Any]:
        asked.append((operation, members))
        return {"KeyMetadata": {"KeyId": "k1", "Owner": "${key.KeyMetadata.KeyId}"}}

    assert prepare(example, call) == {
        "KeyId": "k1",
        "Policy": '{"a": {"b": "${aws:username} of ${key.KeyMetadata.KeyId}"}}',
    }
    assert asked[0][0] == "CreateKey"
    assert re.fullmatch("[0-9a-f]{8}", asked[0][1]["Tags"][0])
