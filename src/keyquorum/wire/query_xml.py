# SPDX-License-Identifier: Apache-2.0
"""Answers of the AWS query protocol: response structs and faults to XML.

Sources: Smithy, "AWS query protocol"; the IAM and STS API references, "Common Errors"; XML 1.0, section 2.2
"Characters" and section 2.11 "End-of-Line Handling".
"""

import re
import xml.etree.ElementTree as ET  # only written with, never parsed with
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import FieldInfo, fields

from keyquorum import errors, iam_api
from keyquorum.api import Shape, Timestamp
from keyquorum.errors import KMSError, UnknownOperationException

CONTENT_TYPE = b"text/xml"

#: Members that are policy documents, which IAM percent-encodes as RFC 3986 has it, and its clients decode.
DOCUMENTS: Final[set[tuple[type[Shape], str]]] = {
    (iam_api.Role, "assume_role_policy_document"),
    (iam_api.PolicyVersion, "document"),
    (iam_api.GetUserPolicyResponse, "policy_document"),
    (iam_api.GetGroupPolicyResponse, "policy_document"),
    (iam_api.GetRolePolicyResponse, "policy_document"),
}

#: Code and HTTP status of those that differ here. Others keep their status, and their name without "Exception".
_FAULTS: Final[dict[type[KMSError], tuple[str, int]]] = {
    errors.AccessDeniedException: ("AccessDenied", 403),
    errors.ExpiredTokenException: ("ExpiredToken", 403),
    errors.ExpiredWebIdentityTokenException: ("ExpiredTokenException", 400),
    errors.InvalidMarkerException: ("ValidationError", 400),
    errors.InvalidSignatureException: ("SignatureDoesNotMatch", 403),
    errors.LimitExceededException: ("LimitExceeded", 409),
    errors.MissingAuthenticationTokenException: ("MissingAuthenticationToken", 403),
    errors.SerializationException: ("MalformedInput", 400),
    errors.UnknownOperationException: ("InvalidAction", 400),
    errors.UnrecognizedClientException: ("InvalidClientTokenId", 403),
    errors.ValidationException: ("ValidationError", 400),
}

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def unknown_action(action: str, version: str) -> UnknownOperationException:
    """What AWS answers to an action, or a version of it, that it does not have."""
    return UnknownOperationException(f"Could not find operation {action} for version {version}")


def encode(action: str, response: Shape | None, namespace: str, request_id: str) -> bytes:
    """The body of a success of ``action``, a name of ours, never the caller's. ``response`` is None where the
    operation has no result."""
    root = ET.Element(f"{action}Response", xmlns=namespace)
    if response is not None:
        _write(root, f"{action}Result", response)
    _write(ET.SubElement(root, "ResponseMetadata"), "RequestId", request_id)
    return _serialise(root)


def encode_fault(error: KMSError, namespace: str, request_id: str) -> tuple[int, bytes]:
    """The HTTP status and body of a fault. What is ours to blame is InternalFailure, whatever it was."""
    if error.status >= 500:
        blamed, code, status = "Receiver", "InternalFailure", error.status
    else:
        blamed = "Sender"
        code, status = _FAULTS.get(type(error)) or (error.code.removesuffix("Exception"), error.status)
    root = ET.Element("ErrorResponse", xmlns=namespace)
    fault = ET.SubElement(root, "Error")
    for name, text in (("Type", blamed), ("Code", code), ("Message", error.message or "")):
        _write(fault, name, text)
    _write(root, "RequestId", request_id)
    return status, _serialise(root)


def _write(parent: ET.Element, name: str, value: Any) -> None:
    element = ET.SubElement(parent, name)
    match value:
        case Shape():
            for attribute, member, written in _members(type(value)):
                part = getattr(value, attribute)
                if part is not None:
                    _write(element, member, written(part))
        case list():
            for part in value:
                _write(element, "member", part)
        case dict():
            for key, part in value.items():
                entry = ET.SubElement(element, "entry")
                _write(entry, "key", key)
                _write(entry, "value", part)
        case bool():
            element.text = "true" if value else "false"
        case _:
            element.text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value))


@cache
def _members(structure: type[Shape]) -> list[tuple[str, str, Callable[[Any], Any]]]:
    """The members of a structure: attribute, element, and what makes the one's value the other's."""
    return [(field.name, field.encode_name, _writer(structure, field)) for field in fields(structure)]


def _writer(structure: type[Shape], field: FieldInfo) -> Callable[[Any], Any]:
    if (structure, field.name) in DOCUMENTS:
        return _percent_encoded
    return _date if field.type == Timestamp | None else _as_it_is


def _date(timestamp: float) -> str:
    return datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _percent_encoded(document: str) -> str:
    return quote(document, safe="")


def _as_it_is(value: Any) -> Any:
    return value


def _serialise(root: ET.Element) -> bytes:
    body: bytes = ET.tostring(root, encoding="utf-8")
    # A parser reads a bare carriage return as a line feed.
    return body.replace(b"\r", b"&#13;")
