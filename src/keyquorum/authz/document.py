# SPDX-License-Identifier: Apache-2.0
"""The text of a policy document: JSON in, values out, refused where IAM's own reader would refuse it.

What the values must be is not said here. Every fault is a MalformedPolicyDocumentException, or, for a text that is
too long, the one that its caller names.

Sources: IAM user guide, "IAM and AWS STS quotas" and "Grammar of the IAM JSON policy language".
"""

import json
import math
import re
from typing import Any, NamedTuple, NoReturn

from keyquorum.errors import MalformedPolicyDocumentException

SYNTAX = "Syntax errors in policy."


class Number(NamedTuple):
    """A JSON number, kept as text: a policy compares what was written, not what a double makes of it."""

    text: str


def refuse(message: str, detail: str = "") -> NoReturn:
    raise MalformedPolicyDocumentException(message, detail=detail)


def read(text: str) -> Any:
    """The values in ``text``: numbers are ``Number``s, and no object has a key twice."""
    if not _CHARACTERS.fullmatch(text):
        refuse(SYNTAX, "character outside the allowed set")
    try:
        return json.loads(
            text, object_pairs_hook=_members, parse_int=_number, parse_float=_number, parse_constant=_number
        )
    except (ValueError, RecursionError) as fault:
        # Depth is bounded by the interpreter: no valid policy comes near it.
        raise MalformedPolicyDocumentException(SYNTAX, detail=type(fault).__name__) from None


def object_of(value: object, elements: frozenset[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= elements:
        refuse(SYNTAX, "not an object, or an unknown element")
    return value


def string(value: object) -> str:
    # A lone surrogate ("\ud800") is a str that no database, log or answer could encode.
    if not isinstance(value, str) or any("\ud800" <= c <= "\udfff" for c in value):
        refuse(SYNTAX, "not a string")
    return value


def strings(value: object) -> tuple[str, ...]:
    return tuple(string(v) for v in (value if isinstance(value, list) else [value]))


def _number(text: str) -> Number:
    # The length comes first: what follows, here and in the evaluator, is not linear in the digits.
    if len(text) > 64 or not math.isfinite(float(text)):
        refuse(SYNTAX, "number out of range")
    return Number(text)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        refuse(SYNTAX, "duplicate key")
    return members


# Escapes may name other characters: tag values and encryption contexts do.
_CHARACTERS = re.compile(r"[\t\n\r\x20-\xff]+")
