# SPDX-License-Identifier: Apache-2.0
"""The protocols that share ``POST /``, in one shape for the request path: which operation is meant, and bytes to
values and back. Which of them a request speaks is told by its Content-Type, and by its Version if it is a form. Pure.
"""

from collections.abc import Iterable
from typing import Any, Final

from keyquorum import api, iam_api, own_api, sts_api
from keyquorum.api import OperationShape, Shape
from keyquorum.errors import (
    KMSError,
    MissingAuthenticationTokenException,
    UnknownOperationException,
    UnsupportedOperationException,
    ValidationException,
)
from keyquorum.model import HttpRequest
from keyquorum.wire import json11, query, query_xml

_FORM: Final = b"application/x-www-form-urlencoded"


class AwsJson:
    """AWS JSON, in which X-Amz-Target names the operation."""

    def __init__(
        self, service: bytes, event_source: str, content_type: bytes, prefix: str, names: Iterable[str]
    ) -> None:
        self.service: Final = service
        self.event_source: Final = event_source
        self.content_type: Final = content_type
        self._prefix: Final = prefix
        self._targets: Final = {self.target(name).encode(): name for name in names}

    def target(self, name: str) -> str:
        """X-Amz-Target of an operation."""
        return f"{self._prefix}.{name}"

    def operation(self, http: HttpRequest) -> str:
        """The name of an operation of the model; raises UnknownOperationException for anything else."""
        name = self._targets.get(http.by_name.get(b"x-amz-target", b""))
        if name is None:
            raise UnknownOperationException
        return name

    def unknown(self, name: str) -> KMSError:
        """What is answered to an operation of the model that this server does not have."""
        return UnsupportedOperationException(f"{name} is not supported yet.")

    def decode(self, name: str, body: bytes) -> Shape:
        return json11.decode(name, body)

    def encode(self, _name: str, response: Any, _request_id: str) -> bytes:
        return json11.encode(response)

    def encode_fault(self, error: KMSError, _request_id: str) -> tuple[int, bytes]:
        return error.status, json11.encode_fault(error)


class Query:
    """The AWS query protocol, which is IAM or STS."""

    content_type: Final = query_xml.CONTENT_TYPE

    def __init__(self, service: str, version: str, operations: dict[str, OperationShape], max_body: int) -> None:
        self.service: Final = service.encode()
        self.event_source: Final = f"{service}.amazonaws.com"
        self.version: Final = version
        self._namespace: Final = f"https://{service}.amazonaws.com/doc/{version}/"
        self._operations: Final = operations
        self._max_body: Final = max_body

    def operation(self, http: HttpRequest) -> str:
        """The Action, if the model has it; raises UnknownOperationException or ValidationException."""
        if len(http.body) > self._max_body:
            raise ValidationException(f"The request body exceeds {self._max_body} bytes")
        action = query.peek(http.body, "Action")
        version = query.peek(http.body, "Version") or "NO_VERSION_SPECIFIED"
        if version != self.version or action not in self._operations:
            raise query_xml.unknown_action(action, version)
        return action

    def unknown(self, name: str) -> KMSError:
        return query_xml.unknown_action(name, self.version)

    def decode(self, name: str, body: bytes) -> Shape:
        return query.decode(self._operations[name].request, body)

    def encode(self, name: str, response: Any, request_id: str) -> bytes:
        return query_xml.encode(name, response, self._namespace, request_id)

    def encode_fault(self, error: KMSError, request_id: str) -> tuple[int, bytes]:
        if isinstance(error, MissingAuthenticationTokenException):
            error = MissingAuthenticationTokenException("Request is missing Authentication Token")
        return query_xml.encode_fault(error, self._namespace, request_id)


Protocol = AwsJson | Query

JSON11: Final = AwsJson(b"kms", "kms.amazonaws.com", json11.CONTENT_TYPE, "TrentService", api.OPERATIONS)
#: What is this server's own.
OWN: Final = AwsJson(b"keyquorum", "keyquorum", b"application/x-amz-json-1.0", "Keyquorum", own_api.OPERATIONS)
# A form is read, by the searches of query.peek, before its sender is known. A policy of IAM's longest has 61,440 bytes
# when all of it is percent-encoded Latin-1; a web identity token of STS's longest has 20,000.
STS: Final = Query("sts", "2011-06-15", sts_api.OPERATIONS, 64 * 1024)
IAM: Final = Query("iam", "2010-05-08", iam_api.OPERATIONS, 128 * 1024)


def protocol_of(http: HttpRequest) -> Protocol | None:
    """The protocol that the Content-Type names, parameters aside; None if it is missing or foreign. A form of a version
    that nobody has gets STS's answer."""
    content_type = http.by_name.get(b"content-type", b"")
    if content_type == json11.CONTENT_TYPE:
        return JSON11
    media_type = _media_type(content_type)
    if media_type == json11.CONTENT_TYPE:
        return JSON11
    if media_type == OWN.content_type:
        return OWN
    if media_type != _FORM:
        return None
    return IAM if query.peek(http.body, "Version") == IAM.version else STS


def spoken(content_type: bytes) -> Protocol:
    """The protocol to refuse in what has this Content-Type, a request of which no more is known or an answer. JSON is
    for what is neither; the two services of the query protocol refuse alike."""
    media_type = _media_type(content_type)
    if media_type in (_FORM, _media_type(STS.content_type)):
        return STS
    return OWN if media_type == OWN.content_type else JSON11


def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()
