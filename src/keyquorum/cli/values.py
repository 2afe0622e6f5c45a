# SPDX-License-Identifier: Apache-2.0
"""Options of the command line to members of a request, written as for the AWS CLI: ``file://`` for a text in a file,
structures as ``Key=team,Value=x`` or as JSON.

Source: AWS CLI user guide, "Specifying parameter values" and "Using shorthand syntax".
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import fields

from keyquorum.api import Constraint, Shape
from keyquorum.wire.constraints import MEMBERS

_WORD_STARTS = re.compile("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class ValueProblem(Exception):
    """The text is no value of the member; the exception's text says why."""


def dashed(name: str) -> str:
    """``CreateOpenIDConnectProvider`` or ``create_open_id_connect_provider`` -> ``create-open-id-connect-provider``."""
    return _WORD_STARTS.sub("-", name).replace("_", "-").lower()


def read(constraint: Constraint, given: Any) -> Any:
    """The value that was given as one text, as several for a list, or, for what is no text, as it is. Raises
    ValueProblem."""
    if isinstance(given, str):
        return _scalar(constraint, _expanded(given))
    if not isinstance(given, Sequence):
        return given
    texts = [_expanded(text) for text in given]
    element = constraint.element
    assert element is not None, "only a list is given as several texts"
    if len(texts) == 1 and texts[0].lstrip().startswith("["):
        return _from_json(texts[0], list[_type(element)])  # type: ignore[misc]  # a type made at run time
    return [_scalar(element, text) for text in texts]


def _expanded(text: str) -> str:
    if not text.startswith("file://"):
        return text
    path = Path(text.removeprefix("file://")).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueProblem(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueProblem(f"{path} is not UTF-8") from error


def _scalar(constraint: Constraint, text: str) -> Any:
    if constraint.nested is None:
        return text
    if text.lstrip().startswith("{"):
        return _from_json(text, constraint.nested)
    return _shorthand(constraint.nested, text)


def _type(constraint: Constraint) -> Any:
    return constraint.nested or str


def _from_json(text: str, kind: Any) -> Any:
    try:
        return msgspec.convert(json.loads(text), kind)
    except ValueError as error:  # of both
        raise ValueProblem(str(error)) from error


def _shorthand(structure: type[Shape], text: str) -> Shape:
    """A comma goes on with the member before it, unless the name of a member follows."""
    names = {field.encode_name: field.name for field in fields(structure)}
    members: dict[str, list[str]] = {}
    last: list[str] | None = None
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals and name.strip() in names:
            last = members[names[name.strip()]] = [_unquoted(value)]
        elif last is not None:
            last.append(_unquoted(part))
        else:
            raise ValueProblem(f"{part!r} is not one of {'=, '.join(names)}= with a value")
    constraints = {member.attribute: member.constraint for member in MEMBERS[structure]}
    return structure(**{name: _member(constraints[name], name, values) for name, values in members.items()})


def _member(constraint: Constraint, name: str, values: list[str]) -> Any:
    if constraint.nested is not None:
        raise ValueProblem(f"{name} is a structure, which only JSON can tell here")
    return values if constraint.element is not None else ",".join(values)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
