# SPDX-License-Identifier: Apache-2.0
"""Requests of the AWS query protocol, which IAM and STS speak: form parameters to request structs.

Unknown parameters are ignored, as with AWS. It refuses a parameter given twice, whichever of the two a reader would
take, and a list or a structure written in any form but the protocol's: what it would not read could be a restriction.
Source: Smithy, "AWS query protocol".
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from msgspec.structs import fields

from keyquorum.api import Constraint, Member, Shape
from keyquorum.errors import SerializationException, ValidationException
from keyquorum.wire import constraints

_MAX_PARAMETERS = 512
_MAX_STEPS = 8  # of a parameter's name: no request of the models has as many
_MAX_PEEK = 64

_PLACE = re.compile("[1-9][0-9]{0,9}")
_INTEGER = re.compile("[+-]?[0-9]{1,10}")
_BOOLEANS = {"true": True, "false": False}


def peek(body: bytes, name: str) -> str:
    """The value of a parameter that every request has, "" if it is missing, at the cost of two searches: what a
    request says it is, is asked before its sender is known, and the rest of it is not read before."""
    _, _, rest = (b"&" + body).partition(f"&{name}=".encode())
    return unquote_plus(rest.partition(b"&")[0][:_MAX_PEEK].decode("latin-1"))


def decode(request: type[Shape], body: bytes) -> Shape:
    """The request in an ``application/x-www-form-urlencoded`` body, which satisfies its model.

    Raises ``SerializationException`` or ``ValidationException``.
    """
    decoded = _structure(request, _tree(_parameters(body)))
    constraints.check(decoded)
    return decoded


def _parameters(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise ValidationException("The request body is not valid application/x-www-form-urlencoded") from None
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise ValidationException("A parameter was given more than once")
    return parameters


class _Node:
    """A parameter's value, if it has one, and the parameters whose names go on after its own, by their next step."""

    __slots__ = ("parts", "value")

    def __init__(self) -> None:
        self.value: str | None = None
        self.parts: dict[str, _Node] = {}


def _tree(parameters: Mapping[str, str]) -> _Node:
    root = _Node()
    for name, value in parameters.items():
        node = root
        for step in name.split(".", _MAX_STEPS):
            node = node.parts.setdefault(step, _Node())
        node.value = value
    return root


def _structure(structure: type[Shape], node: _Node) -> Shape:
    if node.value is not None:
        raise SerializationException("A value was found where a structure was expected")
    members = _members(structure)
    return structure(
        **{
            members[name].attribute: _read(members[name].constraint, part)
            for name, part in node.parts.items()
            if name in members
        }
    )


@cache
def _members(structure: type[Shape]) -> dict[str, Member]:
    """The members of a request by their names on the wire."""
    names = {field.name: field.encode_name for field in fields(structure)}
    return {names[member.attribute]: member for member in constraints.MEMBERS[structure]}


def _read(constraint: Constraint, node: _Node) -> Any:
    if constraint.nested is not None:
        return _structure(constraint.nested, node)
    if constraint.element is not None:
        return [_read(constraint.element, entry) for entry in _entries(node)]
    if node.parts or node.value is None:
        raise SerializationException("Start of list found where not expected")
    return _SCALARS[constraint.kind](node.value)


def _entries(node: _Node) -> list[_Node]:
    """The entries of a list in the order of their numbers, of which any may be missing."""
    if node.value == "" and not node.parts:
        return []  # how clients send an empty list
    if node.value is None and node.parts.keys() == {"member"}:
        numbered = node.parts["member"]
        if numbered.value is None and all(map(_PLACE.fullmatch, numbered.parts)):
            return [numbered.parts[place] for place in sorted(numbered.parts, key=int)]
    raise SerializationException("Top level element may not be treated as a list")


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None or not -(2**31) <= (number := int(text)) < 2**31:
        raise SerializationException("A value is not a 32-bit integer")
    return number


def _boolean(text: str) -> bool:
    if text not in _BOOLEANS:
        raise SerializationException("A value is neither true nor false")
    return _BOOLEANS[text]


_SCALARS: Final[dict[str, Callable[[str], Any]]] = {"string": str, "integer": _integer, "boolean": _boolean}
