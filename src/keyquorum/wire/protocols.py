# SPDX-License-Identifier: Apache-2.0
"""The two protocols that share ``POST /``, in one shape for the request path: which operation is meant, and bytes
to values and back. Which of the two a request speaks is told by its Content-Type; there is no third. Pure.
"""

from typing import Any, Final

from keyquorum import api
from keyquorum.errors import KMSError, MissingAuthenticationTokenException, UnknownOperationException
from keyquorum.model import HttpRequest
from keyquorum.wire import json11, query

_TARGETS: Final = {f"TrentService.{name}".encode(): name for name in api.OPERATIONS}
_FORM: Final = b"application/x-www-form-urlencoded"
_STS_VERSION: Final = "2011-06-15"


class Json11:
    """AWS JSON 1.1, which is KMS."""

    service: Final = b"kms"
    event_source: Final = "kms.amazonaws.com"
    content_type: Final = json11.CONTENT_TYPE

    def operation(self, http: HttpRequest) -> str:
        """The name of an operation of the model; raises UnknownOperationException for anything else."""
        name = _TARGETS.get(http.by_name.get(b"x-amz-target", b""))
        if name is None:
            raise UnknownOperationException
        return name

    def decode(self, name: str, body: bytes) -> api.Shape:
        return json11.decode(name, body)

    def encode(self, _name: str, response: Any, _request_id: str) -> bytes:
        return json11.encode(response)

    def encode_fault(self, error: KMSError, _request_id: str) -> tuple[int, bytes]:
        return error.status, json11.encode_fault(error)


class Query:
    """The AWS query protocol, which is STS."""

    service: Final = b"sts"
    event_source: Final = "sts.amazonaws.com"
    content_type: Final = query.CONTENT_TYPE

    def operation(self, http: HttpRequest) -> str:
        """The Action; whether there is such an operation is for the registry to say."""
        parameters = query.decode(http.body)
        action, version = parameters.get("Action", ""), parameters.get("Version", "NO_VERSION_SPECIFIED")
        if version != _STS_VERSION or not action:
            raise query.unknown_action(action, version)
        return action

    def decode(self, _name: str, body: bytes) -> dict[str, str]:
        return query.decode(body)

    def encode(self, name: str, response: Any, request_id: str) -> bytes:
        return query.encode_result(name, response, request_id)

    def encode_fault(self, error: KMSError, request_id: str) -> tuple[int, bytes]:
        if isinstance(error, MissingAuthenticationTokenException):
            error = MissingAuthenticationTokenException("Request is missing Authentication Token")
        return query.encode_fault(error, request_id)


Protocol = Json11 | Query

JSON11: Final = Json11()
QUERY: Final = Query()


def protocol_of(http: HttpRequest) -> Protocol | None:
    """The protocol that the Content-Type names, parameters aside; None if it is missing or foreign."""
    content_type = http.by_name.get(b"content-type", b"")
    if content_type == json11.CONTENT_TYPE:
        return JSON11
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type == json11.CONTENT_TYPE:
        return JSON11
    return QUERY if media_type == _FORM else None
