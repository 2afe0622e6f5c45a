# SPDX-License-Identifier: Apache-2.0
"""The members of requests and answers as a reader or a form wants them: one kind of value for both, from the same
generated structures that the server decodes into. It checks no value."""

from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from keyquorum import api
from keyquorum.reference.words import ABOUT


class Field(Struct, frozen=True):
    """A member of a structure, or (nameless) what a list or map is made of.

    ``name`` is as the wire spells it. ``min`` and ``max`` bound an integer's value, else the length: UTF-16 code units
    of a string, bytes of a blob, entries of a list or map. ``fields`` are a structure's members. Of answers, the model
    keeps names and kinds only.
    """

    name: str
    kind: api.Kind
    required: bool = False
    about: str = ""
    min: int | None = None
    max: int | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    sensitive: bool = False
    element: "Field | None" = None
    key: "Field | None" = None
    value: "Field | None" = None
    fields: tuple["Field", ...] = ()

    @property
    def type(self) -> str:
        """Its kind in words, such as "list of strings"."""
        if self.kind == "list" and self.element is not None:
            return f"list of {self.element.type}s"
        if self.kind == "map" and self.key is not None and self.value is not None:
            return f"map of {self.key.type}s to {self.value.type}s"
        return self.kind

    @property
    def limits(self) -> str:
        """Its bounds in words, such as "1 to 4096 bytes"; "" where there are none."""
        unit = _UNITS.get(self.kind, "")
        if self.min is None and self.max is None:
            return ""
        if self.max is None:
            return f"at least {self.min}{unit}"
        if self.min is None:
            return f"at most {self.max}{unit}"
        return f"{self.min}{unit}" if self.min == self.max else f"{self.min} to {self.max}{unit}"


_UNITS: Final = {"string": " characters", "blob": " bytes", "list": " entries", "map": " pairs"}
_SCALARS: Final[dict[Any, api.Kind]] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    bytes: "blob",
    float: "timestamp",
}


@cache
def request_fields(operation: str) -> tuple[Field, ...]:
    """The members of its request, in the model's order."""
    return _members(api.OPERATIONS[operation].request)


@cache
def response_fields(operation: str) -> tuple[Field, ...]:
    """The members of its answer; nothing where that is empty."""
    response = api.OPERATIONS[operation].response
    return () if response is None else _answer(response)


def wire_names(structure: type[api.Shape]) -> dict[str, str]:
    """Attribute -> name on the wire."""
    return dict(zip(structure.__struct_fields__, structure.__struct_encode_fields__, strict=True))


def _members(structure: type[api.Shape]) -> tuple[Field, ...]:
    names = wire_names(structure)
    return tuple(
        _field(names[member.attribute], member.constraint, required=member.required)
        for member in api.CONSTRAINTS.get(structure, ())
    )


def _field(name: str, constraint: api.Constraint, *, required: bool = False) -> Field:
    return Field(
        name=name,
        kind=constraint.kind,
        required=required,
        about=ABOUT.get(name, ""),
        min=constraint.min,
        max=constraint.max,
        pattern=constraint.pattern,
        enum=constraint.enum,
        sensitive=constraint.sensitive,
        element=_part(constraint.element),
        key=_part(constraint.key),
        value=_part(constraint.value),
        fields=() if constraint.nested is None else _members(constraint.nested),
    )


def _part(constraint: api.Constraint | None) -> Field | None:
    return None if constraint is None else _field("", constraint)


def _answer(structure: type[api.Shape]) -> tuple[Field, ...]:
    hints = get_type_hints(structure)
    return tuple(
        _typed(name, hints[attribute], sensitive=attribute in structure._secret)  # noqa: SLF001 - the structure's own
        for attribute, name in wire_names(structure).items()
    )


def _typed(name: str, hint: Any, *, sensitive: bool = False) -> Field:
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    about = ABOUT.get(name, "")
    inner = [_typed("", part) for part in get_args(hint)]
    if get_origin(hint) is list:
        return Field(name, "list", about=about, sensitive=sensitive, element=inner[0])
    if get_origin(hint) is dict:
        return Field(name, "map", about=about, sensitive=sensitive, key=inner[0], value=inner[1])
    if isinstance(hint, type) and issubclass(hint, api.Shape):
        return Field(name, "structure", about=about, sensitive=sensitive, fields=_answer(hint))
    return Field(name, _SCALARS[hint], about=about, sensitive=sensitive)
