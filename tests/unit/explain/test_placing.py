# SPDX-License-Identifier: Apache-2.0
import json

import pytest

from keyquorum.explain.placing import place_of

FIRST = {"Sid": "One", "Effect": "Allow", "Action": "kms:*", "Resource": "*"}
SECOND = {"Sid": 'Two "Statement": [', "Effect": "Deny", "Action": ["a:b", "c:d"], "Resource": "*", "Condition": {}}


def found(text: str, index: int) -> object:
    place = place_of(text, index)
    return None if place is None else json.loads(text[place[0] : place[1]])


@pytest.mark.parametrize("indent", [None, 2, "\t"])
@pytest.mark.parametrize("separators", [None, (" , ", " : ")])
def test_a_statement_is_found_in_the_text_as_it_was_put(indent: int | str | None, separators: tuple[str, str]) -> None:
    policy = {"Version": "2012-10-17", "Id": '"Statement":[{', "Statement": [FIRST, SECOND], "Other": 1}
    text = "\n " + json.dumps(policy, indent=indent, separators=separators)
    assert [found(text, index) for index in range(3)] == [FIRST, SECOND, None]


def test_one_statement_needs_no_list() -> None:
    text = json.dumps({"Statement": SECOND})
    assert (found(text, 0), found(text, 1)) == (SECOND, None)


def test_a_name_may_be_written_with_escapes() -> None:
    assert found('{"\\u0053tatement":[{"a":"\\u007d"}]}', 0) == {"a": "}"}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"Statement"', '{"Statement":[', '{"Statement":[{]', "x" * 99])
def test_what_is_no_policy_has_no_place(text: str) -> None:
    assert place_of(text, 0) is None


def test_depth_is_no_trouble() -> None:
    assert place_of('{"a":' + "[" * 100_000, 0) is None
