# SPDX-License-Identifier: Apache-2.0
"""The other side of the AWS query protocol: request structs of IAM to forms, and XML answers in the shape that the AWS
CLI prints. Pure.
"""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import datetime
from types import NoneType
from typing import Any, get_args, get_origin
from urllib.parse import unquote, urlencode

from msgspec.structs import fields

from keyquorum.api import Shape, Timestamp
from keyquorum.wire.protocols import IAM
from keyquorum.wire.query_xml import DOCUMENTS


def encode(operation: str, request: Shape) -> bytes:
    """The form, as ``wire.query`` reads it."""
    return urlencode([("Action", operation), ("Version", IAM.version), *_parameters("", request)]).encode()


def _parameters(name: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case Shape():
            for field in fields(value):
                yield from _parameters(f"{name}.{field.encode_name}".lstrip("."), getattr(value, field.name))
        case []:
            yield name, ""
        case list():
            for place, entry in enumerate(value, 1):
                yield from _parameters(f"{name}.member.{place}", entry)
        case bool():
            yield name, "true" if value else "false"
        case _:
            yield name, str(value)


def read(response: type[Shape] | None, operation: str, status: int, body: bytes) -> tuple[dict[str, Any], str, str]:
    """(members, code, message): of a success the members by name, without ResponseMetadata, policy documents as JSON
    values and dates as ISO 8601; of a fault its code and message. Raises ValueError for what is no such answer."""
    try:
        root = ET.fromstring(body)  # noqa: S314 - of the endpoint that the user chose; expat bounds what entities cost
    except ET.ParseError as error:
        raise ValueError(f"no XML: {error}") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    if status != 200:
        return {}, root.findtext("Error/Code", str(status)), root.findtext("Error/Message", "")
    result = root.find(f"{operation}Result")
    return ({} if response is None or result is None else _structure(response, result)), "", ""


def _structure(structure: type[Shape], element: ET.Element) -> dict[str, Any]:
    found = {part.tag: part for part in element}
    return {
        field.encode_name: _document(part) if (structure, field.name) in DOCUMENTS else _value(field.type, part)
        for field in fields(structure)
        if (part := found.get(field.encode_name)) is not None
    }


def _value(kind: Any, element: ET.Element) -> Any:
    if NoneType in get_args(kind):
        [kind] = [one for one in get_args(kind) if one is not NoneType]
    text = element.text or ""
    if get_origin(kind) is list:
        return [_value(get_args(kind)[0], part) for part in element]
    if get_origin(kind) is dict:
        return {part.findtext("key", ""): part.findtext("value", "") for part in element}
    if isinstance(kind, type) and issubclass(kind, Shape):
        return _structure(kind, element)
    if kind is bool:
        return text == "true"
    if kind == Timestamp:
        return datetime.fromisoformat(text).isoformat()
    return text if kind is str else int(text)


def _document(element: ET.Element) -> Any:
    text = unquote(element.text or "")
    try:
        return json.loads(text)
    except ValueError:
        return text
