# SPDX-License-Identifier: Apache-2.0
"""The AWS query protocol as AWS STS speaks it: form parameters in, XML out.

Flat parameters and flat results only. It refuses a parameter given twice, whichever of the two a reader would take.
Sources: the STS API reference, "Common Errors"; XML 1.0, section 2.2 "Characters".
"""

import re
import xml.etree.ElementTree as ET  # only written with, never parsed with
from collections.abc import Iterable
from urllib.parse import parse_qsl

from keyquorum.errors import KMSError, UnknownOperationException, ValidationException

CONTENT_TYPE = b"text/xml"

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_MAX_PARAMETERS = 100
_MAX_BODY = 8192  # parsed before the sender is known
_MAX_ECHO = 64

# Our code -> STS's code and HTTP status. Others keep their status, and their name without "Exception".
_FAULTS = {
    "AccessDeniedException": ("AccessDenied", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "UnknownOperationException": ("InvalidAction", 400),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "ValidationException": ("ValidationError", 400),
}

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def decode(body: bytes) -> dict[str, str]:
    """The parameters of an ``application/x-www-form-urlencoded`` body; raises ``ValidationException``."""
    if len(body) > _MAX_BODY:
        raise ValidationException(f"The request body exceeds {_MAX_BODY} bytes")
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


def unknown_action(action: str, version: str) -> UnknownOperationException:
    """What STS answers to an action, or a version of it, that it does not have."""
    return UnknownOperationException(f"Could not find operation {action[:_MAX_ECHO]} for version {version[:_MAX_ECHO]}")


def encode_result(action: str, members: Iterable[tuple[str, str]], request_id: str) -> bytes:
    """The body of a success of ``action``, a name of ours, never the caller's; ``members`` keep their order."""
    root = ET.Element(f"{action}Response", xmlns=_NAMESPACE)
    _fill(ET.SubElement(root, f"{action}Result"), members)
    _fill(ET.SubElement(root, "ResponseMetadata"), [("RequestId", request_id)])
    return _serialise(root)


def encode_fault(error: KMSError, request_id: str) -> tuple[int, bytes]:
    """The HTTP status and body of a fault. What is ours to blame is InternalFailure, whatever it was."""
    if error.status >= 500:
        blamed, code, status = "Receiver", "InternalFailure", error.status
    else:
        blamed = "Sender"
        code, status = _FAULTS.get(error.code) or (error.code.removesuffix("Exception"), error.status)
    root = ET.Element("ErrorResponse", xmlns=_NAMESPACE)
    members = [("Type", blamed), ("Code", code), ("Message", error.message or "")]
    _fill(ET.SubElement(root, "Error"), members)
    _fill(root, [("RequestId", request_id)])
    return status, _serialise(root)


def _fill(parent: ET.Element, members: Iterable[tuple[str, str]]) -> None:
    for name, text in members:
        ET.SubElement(parent, name).text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _serialise(root: ET.Element) -> bytes:
    body: bytes = ET.tostring(root, encoding="utf-8")
    return body
