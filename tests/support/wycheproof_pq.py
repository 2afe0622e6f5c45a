# SPDX-License-Identifier: Apache-2.0
"""Reads Wycheproof's post-quantum files, whose fields come and go from test to test and from file to file."""

import json
from collections.abc import Iterator, Set
from pathlib import Path

from wycheproof import Case, Group

_TOP = {"algorithm", "schema", "numberOfTests", "testGroups"}
_TOP_OPTIONAL = {"header", "notes"}
_GROUP = {"type", "source", "tests"}
_CASE = {"tcId", "comment", "result"}


def read(path: Path, group_fields: Set[str], case_fields: Set[str], optional: Set[str]) -> Iterator[tuple[Group, Case]]:
    """Every test with its group. ``optional``: fields that a group or a test may lack. Others fail, absent or unknown.

    Tests without ``flags`` get an empty list of them.
    """
    document = json.loads(path.read_bytes())
    assert document.keys() - _TOP_OPTIONAL == _TOP
    count = 0
    for group in document["testGroups"]:
        assert group.keys() - optional == _GROUP | group_fields, f"{path.name}: fields of a group"
        for case in group["tests"]:
            assert case.keys() - optional == _CASE | case_fields, f"{path.name} tcId {case['tcId']}: fields"
            count += 1
            yield group, {"flags": [], **case}
    assert count == document["numberOfTests"]
