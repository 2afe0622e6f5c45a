# SPDX-License-Identifier: Apache-2.0
"""The AWS JSON 1.1 protocol: bodies to request structs, responses and faults to bodies.

Unknown members are ignored and null means absent, as with AWS. It refuses, without ever echoing a value: what is not
one JSON object in UTF-8, a member of another JSON type than the model's, bad base64, numbers out of range.
"""

from functools import cache

import msgspec

from keyquorum import api, own_api
from keyquorum.errors import KMSError, SerializationException
from keyquorum.wire import constraints

CONTENT_TYPE = b"application/x-amz-json-1.1"

_encoder = msgspec.json.Encoder()
_OPERATIONS = api.OPERATIONS | own_api.OPERATIONS


@cache
def _decoder(name: str) -> msgspec.json.Decoder[api.Shape]:
    return msgspec.json.Decoder(_OPERATIONS[name].request)


def decode(name: str, body: bytes) -> api.Shape:
    """The request of operation ``name`` (of ``api`` or ``own_api``), which satisfies its model.

    Raises ``SerializationException`` or ``ValidationException``.
    """
    try:
        if not body.isascii():
            # msgspec checks only the strings that it keeps.
            str(body, "utf-8")
        request = _decoder(name).decode(body)
    except UnicodeDecodeError:
        raise SerializationException("The request body is not valid UTF-8") from None
    except msgspec.DecodeError as error:
        # msgspec names types, positions and members of the model; never a value or a key of the request.
        raise SerializationException(str(error)) from None
    except RecursionError:
        raise SerializationException("The request body is nested too deeply") from None
    constraints.check(request)
    return request


def encode(response: api.Shape | None) -> bytes:
    """The body of a success; empty for the operations that return nothing (``response`` is None)."""
    return b"" if response is None else _encoder.encode(response)


def encode_fault(error: KMSError) -> bytes:
    """The body of a fault. ``message`` is left out where there is none; ``detail`` never leaves the server."""
    body = {"__type": error.code}
    if error.message is not None:
        body["message"] = error.message
    return _encoder.encode(body)
