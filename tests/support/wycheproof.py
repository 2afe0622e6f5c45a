# SPDX-License-Identifier: Apache-2.0
"""Reads Wycheproof files so that nothing in them is skipped unseen, and compares each verdict with ours."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any

Group = dict[str, Any]
Case = dict[str, Any]

_TOP = {"algorithm", "schema", "numberOfTests", "header", "notes", "testGroups"}
_GROUP = {"type", "source", "tests"}
_CASE = {"tcId", "comment", "flags", "result"}


class NotApplicable(Exception):
    """Our provider does not offer what this vector needs; the text is the reason."""


def read(path: Path, group_fields: Set[str], case_fields: Set[str]) -> Iterator[tuple[Group, Case]]:
    """Every test with its group. Fields besides the common and the given ones fail, and so do absent ones."""
    document = json.loads(path.read_bytes())
    assert document.keys() == _TOP
    count = 0
    for group in document["testGroups"]:
        assert group.keys() == _GROUP | group_fields, f"{path.name}: fields of a group"
        for case in group["tests"]:
            assert case.keys() == _CASE | case_fields, f"{path.name} tcId {case['tcId']}: fields"
            assert case["result"] in ("valid", "invalid", "acceptable")
            count += 1
            yield group, case
    assert count == document["numberOfTests"]


def compare(
    cases: Iterator[tuple[Group, Case]],
    accepts: Callable[[Group, Case], bool],
    *,
    acceptable: Callable[[Case], bool] | None = None,
    exceptions: dict[int, str] | None = None,
    not_applicable: dict[str, int] | None = None,
) -> None:
    """Every valid case accepted, every invalid one refused.

    ``acceptable`` decides what we do with cases that may go either way; without it there must be none. ``exceptions``:
    tcId -> why our verdict is the opposite one; it must be. ``not_applicable``: reason -> exact number of cases.
    """
    wrong: dict[str, list[int]] = {}
    reasons: Counter[str] = Counter()
    excepted = exceptions or {}
    seen = set()
    for group, case in cases:
        try:
            verdict = accepts(group, case)
        except NotApplicable as reason:
            reasons[str(reason)] += 1
            continue
        if case["result"] == "acceptable":
            assert acceptable is not None, f"tcId {case['tcId']} is acceptable: decide"
            expected = acceptable(case)
        else:
            expected = case["result"] == "valid"
        if case["tcId"] in excepted:
            seen.add(case["tcId"])
            expected = not expected
        if verdict != expected:
            wrong.setdefault(f"{case['result']} {case['flags']} {'accepted' if verdict else 'refused'}", []).append(
                case["tcId"]
            )
    assert not wrong, "\n".join(f"{what}: tcIds {ids}" for what, ids in sorted(wrong.items()))
    assert seen == excepted.keys()
    assert reasons == (not_applicable or {})


def names(directory: Path, *patterns: str) -> set[str]:
    """The names of the files, to compare with those that a test module knows."""
    return {path.name for pattern in patterns for path in directory.glob(pattern)}
