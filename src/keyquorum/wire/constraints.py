# SPDX-License-Identifier: Apache-2.0
"""Holds a request against the constraints of its service model, and words what fails as AWS does.

It refuses what the model refuses: a missing required member, a length or value out of bounds, a string outside its
pattern or enum. It knows no rule that spans members and none that needs a key: those are the operations'.

A rule is written once, as a test with its wording. Requests that pass meet only the tests; words are put together
after something failed.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from keyquorum import api, iam_api, own_api, sts_api
from keyquorum.errors import ValidationException

MEMBERS = api.CONSTRAINTS | iam_api.CONSTRAINTS | sts_api.CONSTRAINTS | own_api.CONSTRAINTS
"""Of every structure that a request can hold: its members, in the model's order."""

_MOST_WORDED = 100
"""So that a body full of empty tags is not answered, and recorded, at fifteen times its size."""


_ENUMS_IN_ANOTHER_ORDER = {
    frozenset(values): values
    for values in (
        ("HMAC_SHA_384", "HMAC_SHA_256", "HMAC_SHA_224", "HMAC_SHA_512"),
        ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE", "SYMMETRIC_DEFAULT"),
    )
}
"""AWS words MacAlgorithmSpec and EncryptionAlgorithmSpec in an order that is not its model's."""

_NAMED = "It must contain only alphanumeric characters and/or the following: +=,.@_-"
_BETWEEN_SLASHES = "It must begin and end with / and contain only alphanumeric characters and/or / characters."
_IN_IAMS_WORDS = {
    r"[\w+=,.@-]+": _NAMED,
    r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)": _BETWEEN_SLASHES,
    r"((/[A-Za-z0-9\.,\+@=_-]+)*)/": _BETWEEN_SLASHES,
}
"""Patterns that IAM looks at by itself, after what its model says, and tells one at a time (cfn-lint, issues 722 and
996, quote its answers). STS has other patterns for names and words them as all services do."""

_LETTERS_SPACES_NUMBERS = r"\p{L}\p{Z}\p{N}_"
_SPACES = "".join(chr(c) for c in (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
"""Java's classes, in tags of IAM and STS, that Python lacks. Its \\w is the letters, the numbers and the underscore."""


def check(request: api.Shape) -> None:
    """Return if ``request`` satisfies its model, else raise ``ValidationException`` with every violation, up to 100,
    in the model's order of members."""
    if _holds(request):
        return
    found = list(islice(_violations(request, ""), _MOST_WORDED))
    counted = [violation.text for violation in found if not violation.later]
    if not counted:
        raise ValidationException(found[0].text)
    count = "1 validation error" if len(counted) == 1 else f"{len(counted)} validation errors"
    raise ValidationException(f"{count} detected: {'; '.join(counted)}")


_Items = Callable[[Any], Iterable[tuple[str, api.Shape]]]


class _Rule(NamedTuple):
    """``own``: the words stand for themselves rather than after "failed to satisfy constraint"."""

    holds: Callable[[Any], bool]
    words: str
    own: bool = False


class _Violation(NamedTuple):
    text: str
    later: bool = False


class _Member(NamedTuple):
    attribute: str
    name: str
    required: bool
    rules: tuple[_Rule, ...]
    items: _Items | None
    """The structures in a value, each with what its path adds to the member's; None where there can be none."""
    echoed: bool
    sensitive: bool


@cache
def _plan(structure: type[api.Shape]) -> tuple[_Member, ...]:
    """The members of a structure that have anything to check, in the model's order."""
    members = (
        _Member(
            member.attribute,
            member.name,
            member.required,
            tuple(_rules(member.constraint)),
            _items(member.constraint),
            # AWS echoes no blob either, sensitive or not.
            not (member.constraint.sensitive or member.constraint.kind == "blob"),
            member.constraint.sensitive,
        )
        for member in MEMBERS[structure]
    )
    return tuple(member for member in members if member.required or member.rules or member.items)


def _rules(constraint: api.Constraint) -> Iterator[_Rule]:
    measured = "value" if constraint.kind == "integer" else "length"
    size = _SIZES.get(constraint.kind, len)
    if (high := constraint.max) is not None:
        yield _Rule(lambda value: size(value) <= high, f"Member must have {measured} less than or equal to {high}")
    if (low := constraint.min) is not None:
        yield _Rule(lambda value: size(value) >= low, f"Member must have {measured} greater than or equal to {low}")
    if constraint.enum:
        allowed = frozenset(constraint.enum)
        worded = _ENUMS_IN_ANOTHER_ORDER.get(allowed, constraint.enum)
        yield _Rule(allowed.__contains__, f"Member must satisfy enum value set: [{', '.join(worded)}]")
    if constraint.pattern is not None:
        matches = _java(constraint.pattern).fullmatch
        own = _IN_IAMS_WORDS.get(constraint.pattern)
        words = own or f"Member must satisfy regular expression pattern: {constraint.pattern}"
        yield _Rule(lambda value: matches(value) is not None, words, own is not None)
    if constraint.element:
        yield from _each(constraint.element, iter, "Member must satisfy constraint")
    if constraint.key:
        yield from _each(constraint.key, dict.keys, "Map keys must satisfy constraint")
    if constraint.value:
        yield from _each(constraint.value, dict.values, "Map value must satisfy constraint")


def _java(pattern: str) -> re.Pattern[str]:
    """For fullmatch(), which is Java's matches(). Without its classes of Unicode, \\w, \\d and \\s mean ASCII."""
    if _LETTERS_SPACES_NUMBERS in pattern:
        return re.compile(pattern.replace(_LETTERS_SPACES_NUMBERS, rf"\w{_SPACES}"))
    return re.compile(pattern, re.ASCII)


def _each(constraint: api.Constraint, parts: Callable[[Any], Iterable[Any]], words: str) -> Iterator[_Rule]:
    """The rule that all parts of a list or map satisfy theirs. AWS names all of those, not only the one that failed."""
    rules = tuple(_rules(constraint))
    if rules:
        yield _Rule(
            lambda value: all(rule.holds(part) for part in parts(value) for rule in rules),
            f"{words}: [{', '.join(rule.words for rule in rules)}]",
        )


def _items(constraint: api.Constraint) -> _Items | None:
    if constraint.kind == "structure":
        return lambda value: (("", value),)
    if constraint.element and constraint.element.kind == "structure":
        return lambda values: ((f".{place}.member", value) for place, value in enumerate(values, 1))
    return None


@cache
def _tests(structure: type[api.Shape]) -> list[tuple[str, bool, tuple[Callable[[Any], bool], ...], _Items | None]]:
    """The plan without its words."""
    return [(m.attribute, m.required, tuple([rule.holds for rule in m.rules]), m.items) for m in _plan(structure)]


def _holds(structure: api.Shape) -> bool:
    for attribute, required, tests, items in _tests(type(structure)):
        value = getattr(structure, attribute)
        if value is None:
            if required:
                return False
            continue
        for holds in tests:
            if not holds(value):
                return False
        if items and not all(_holds(item) for _, item in items(value)):
            return False
    return True


def _violations(structure: api.Shape, prefix: str) -> Iterator[_Violation]:
    for member in _plan(type(structure)):
        value, path = getattr(structure, member.attribute), prefix + member.name
        if value is None:
            if member.required:
                # AWS leaves the "null" out where it would leave a value out.
                absent = "Value" if member.sensitive else "Value null"
                yield _Violation(f"{absent} at '{path}' failed to satisfy constraint: Member must not be null")
            continue
        subject = f"Value '{_echo(value)}'" if member.echoed else "Value"
        for rule in member.rules:
            if rule.holds(value):
                continue
            if rule.own:
                yield _Violation(f"The specified value for {path} is invalid. {rule.words}", later=True)
            else:
                yield _Violation(f"{subject} at '{path}' failed to satisfy constraint: {rule.words}")
        for step, item in member.items(value) if member.items else ():
            yield from _violations(item, f"{path}{step}.")


def _echo(value: object) -> str:
    """As Java's toString() shows it."""
    match value:
        case list():
            return f"[{', '.join(map(_echo, value))}]"
        case dict():
            return f"{{{', '.join(f'{_echo(key)}={_echo(part)}' for key, part in value.items())}}}"
        case _:
            return str(value)


def _utf16_length(text: str) -> int:
    """Java's String.length(): characters beyond the Basic Multilingual Plane count twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


_SIZES: dict[str, Callable[[Any], int]] = {"integer": int, "string": _utf16_length}
