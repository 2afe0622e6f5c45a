# SPDX-License-Identifier: Apache-2.0
"""The form of an operation, from the model: members to widgets, and what a browser sends back to members. It judges no
value: what the form can say is sent as it is said, so that the server's own refusals can be seen.

Fields are named after their place: ``m.KeyId``, ``m.Tags.0.TagKey``, ``m.EncryptionContext.0.key``. A blob has a
second field, ``....as``, that says how it is written; a browser without scripts has the server translate.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec import field as made

from keyquorum.reference import PAGES, Field

Members = dict[str, Any]
Widget = Literal[
    "key", "alias", "text", "long", "secret", "integer", "boolean", "enum", "choices", "blob", "timestamp", "list",
    "map", "structure",
]  # fmt: skip

_KEYS: Final = frozenset({"KeyId", "SourceKeyId", "DestinationKeyId", "TargetKeyId"})
_LONG: Final = frozenset({"Policy", "TrustAnchorCertificate"})
_SPARE_ROWS: Final = 2
_MOST_ROWS: Final = 60
_AS: Final = ("base64", "text", "hex")
#: What a field's place in a list is called until it has a number: explorer.js replaces it.
PLACE: Final = "__"


class Control(Struct, frozen=True):
    """A widget of the form. ``path`` is its name. ``value`` is what it shows, ``chosen`` what is chosen of several,
    ``written`` how a blob is. ``parts`` are what a structure, or a row, is made of; ``rows`` a list's or a map's, and
    ``blank`` one more of them without a number."""

    path: str
    field: Field
    widget: Widget
    label: str
    value: str = ""
    chosen: tuple[str, ...] = ()
    written: str = "base64"
    parts: tuple["Control", ...] = ()
    rows: tuple[tuple["Control", ...], ...] = ()
    blank: tuple["Control", ...] = ()


class Filled(Struct, frozen=True):
    """What a form says: members as on the wire, how its blobs were written, and what is wrong with it."""

    members: Members = made(default_factory=dict)
    written: dict[str, str] = made(default_factory=dict)
    problems: tuple[str, ...] = ()


# -- from members to widgets


def controls(operation: str, filled: Filled, spare: int = _SPARE_ROWS) -> tuple[Control, ...]:
    """The form; ``spare``: empty rows at the end of each list."""
    return tuple(
        _control(field, f"m.{field.name}", field.name, filled.members.get(field.name), filled.written, spare)
        for field in PAGES[operation].request
    )


def _control(field: Field, path: str, label: str, value: Any, written: dict[str, str], spare: int) -> Control:
    widget = _widget(field)
    if widget == "structure":
        inner = value if isinstance(value, dict) else {}
        parts = tuple(
            _control(part, f"{path}.{part.name}", part.name, inner.get(part.name), written, spare)
            for part in field.fields
        )
        return Control(path, field, widget, label, parts=parts)
    if widget == "choices":
        return Control(path, field, widget, label, chosen=tuple(map(str, value if isinstance(value, list) else ())))
    if widget in ("list", "map"):
        entries: list[Any]
        if widget == "map":
            entries = list(value.items()) if isinstance(value, dict) else []
        else:
            entries = value if isinstance(value, list) else []
        places = [*enumerate(entries), *((len(entries) + n, None) for n in range(spare))]
        rows = tuple(_row(field, f"{path}.{place}", entry, written, str(place + 1)) for place, entry in places)
        return Control(path, field, widget, label, rows=rows, blank=_row(field, f"{path}.{PLACE}", None, {}, "new"))
    shown, how = _shown(widget, value, written.get(path, "base64"))
    return Control(path, field, widget, label, value=shown, written=how)


def _row(field: Field, path: str, entry: Any, written: dict[str, str], place: str) -> tuple[Control, ...]:
    if field.key is not None and field.value is not None:
        name, value = entry if entry is not None else ("", "")
        return (
            _control(field.key, f"{path}.key", f"key {place}", name, written, 0),
            _control(field.value, f"{path}.value", f"value {place}", value, written, 0),
        )
    element = field.element or Field("", "string")
    if element.kind == "structure":
        inner = entry if isinstance(entry, dict) else {}
        return tuple(
            _control(part, f"{path}.{part.name}", f"{part.name} {place}", inner.get(part.name), written, 0)
            for part in element.fields
        )
    return (_control(element, path, f"{field.name} {place}", entry, written, 0),)


def _widget(field: Field) -> Widget:
    if field.kind == "string":
        if field.enum:
            return "enum"
        if field.name in _KEYS:
            return "key"
        if field.name == "AliasName":
            return "alias"
        return "secret" if field.sensitive else "long" if field.name in _LONG else "text"
    if field.kind == "list" and field.element is not None and field.element.enum:
        return "choices"
    return field.kind


def _shown(widget: Widget, value: Any, how: str) -> tuple[str, str]:
    """The text that a widget shows, and how a blob's is written."""
    if value is None:
        return "", how
    if widget == "blob":
        return _written(str(value), how)
    if widget == "boolean":
        return ("true" if value else "false") if isinstance(value, bool) else str(value), ""
    if widget == "timestamp" and isinstance(value, (int, float)):
        with suppress(ValueError, OverflowError, OSError):
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%S"), ""
    return str(value), ""


def _written(base64: str, how: str) -> tuple[str, str]:
    """A blob as text or in hexadecimal, where it can be; else as it is."""
    try:
        blob = b64decode(base64, validate=True)
        if how == "hex":
            return blob.hex(), how
        # What a browser sends of a text has its line ends changed.
        if how == "text" and b"\r" not in blob:
            return blob.decode(), how
    except ValueError:
        pass
    return base64, "base64"


# -- from what a browser sends to members


class _Node(Struct):
    """The fields of a form by the parts of their names."""

    values: list[str] = made(default_factory=list)
    below: dict[str, "_Node"] = made(default_factory=dict)

    @property
    def first(self) -> str:
        return self.values[0].replace("\r\n", "\n") if self.values else ""


def read(operation: str, fields: Iterable[tuple[str, str]]) -> Filled:
    """What the fields of a form say."""
    root = _Node()
    for name, value in fields:
        node = root
        for part in name.split(".")[:8]:
            node = node.below.setdefault(part, _Node())
        node.values.append(value)
    reader = _Reader()
    members = reader.structure(PAGES[operation].request, root.below.get("m", _Node()), "m")
    return Filled(members, reader.written, tuple(reader.problems))


class _Reader:
    def __init__(self) -> None:
        self.written: dict[str, str] = {}
        self.problems: list[str] = []

    def structure(self, fields: tuple[Field, ...], node: _Node, path: str) -> Members:
        found: Members = {}
        for field in fields:
            below = node.below.get(field.name)
            value = None if below is None else self.value(field, below, f"{path}.{field.name}")
            if value is not None:
                found[field.name] = value
        return found

    def value(self, field: Field, node: _Node, path: str) -> Any:
        """The member's value, or None for one that is left out."""
        match _widget(field):
            case "structure":
                return self.structure(field.fields, node, path) or None
            case "choices":
                return [value for value in node.values if value] or None
            case "list":
                return self.entries(field, node, path) or None
            case "map":
                return self.pairs(node, path) or None
            case "blob":
                return self.blob(field, node, path)
            case "integer":
                return self.integer(node.first.strip(), path)
            case "boolean":
                return {"true": True, "false": False}.get(node.first)
            case "timestamp":
                return self.timestamp(node.first.strip(), path)
            case _:
                # An empty text is a value where the model lets a required one be empty: a description that is removed.
                empty_counts = field.required and not field.min
                return node.first if node.first or empty_counts else None

    def entries(self, field: Field, node: _Node, path: str) -> list[Any]:
        element = field.element or Field("", "string")
        found = []
        for place, row in _rows(node):
            given = (
                row.values if element.kind != "structure" else [v for part in row.below.values() for v in part.values]
            )
            value = self.value(element, row, f"{path}.{place}") if any(given) else None
            if value is not None:
                found.append(value)
        return found

    def pairs(self, node: _Node, path: str) -> Members:
        found: Members = {}
        for _, row in _rows(node):
            name, value = row.below.get("key", _Node()).first, row.below.get("value", _Node()).first
            if name in found:
                self.problems.append(f"{path.removeprefix('m.')} has the key {name!r} twice.")
            if name or value:
                found[name] = value
        return found

    def blob(self, field: Field, node: _Node, path: str) -> str | None:
        how = node.below.get("as", _Node()).first
        how = how if how in _AS else "base64"
        self.written[path] = how
        text = node.first
        if not text:
            return "" if field.required and not field.min else None
        if how == "text":
            return b64encode(text.encode()).decode()
        if how == "base64":
            return re.sub(r"\s", "", text)
        try:
            return b64encode(bytes.fromhex(text)).decode()
        except (ValueError, binascii.Error):
            self.problems.append(f"{path.removeprefix('m.')} is not hexadecimal.")
            return text

    def integer(self, text: str, path: str) -> int | str | None:
        if re.fullmatch(r"-?[0-9]{1,12}", text) is not None:
            return int(text)
        if text:
            self.problems.append(f"{path.removeprefix('m.')} is not a whole number.")
        return text or None

    def timestamp(self, text: str, path: str) -> float | str | None:
        if not text:
            return None
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
        except (ValueError, OverflowError):
            self.problems.append(f"{path.removeprefix('m.')} is not a date and a time.")
            return text


def _rows(node: _Node) -> list[tuple[int, _Node]]:
    """The rows of a list or a map in their order."""
    numbered = [(int(place), row) for place, row in node.below.items() if re.fullmatch("[0-9]{1,4}", place)]
    return sorted(numbered, key=lambda row: row[0])[:_MOST_ROWS]
