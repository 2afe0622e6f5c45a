# SPDX-License-Identifier: Apache-2.0
"""What the request path knows of a request, made into its audit record."""

import os
from typing import Any

from keyquorum import audit
from keyquorum.model import HttpRequest, Key
from keyquorum.ops.operation import Call

_INTERNAL = "AWS Internal"


def new_id() -> str:
    """A request or event ID: 128 random bits in the form of a UUID."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Trace:
    """One request's record in the making. ``http`` is None for what the system does by itself."""

    __slots__ = ("_call", "_http", "_name", "_source", "event_id", "keys", "request")

    def __init__(self, call: Call, source: str, name: str, http: HttpRequest | None) -> None:
        self._call = call
        self._source = source
        self._name = name
        self._http = http
        self.event_id = new_id()
        self.request: Any = None
        self.keys: list[Key] = []

    def record(self, error_code: str | None = None) -> bytes:
        """The record as it is to be written; ``error_code`` for a request that was refused."""
        call = self._call
        caller = call.caller
        agent = address = _INTERNAL
        if self._http is not None:
            address, agent = self._http.peer, self._http.by_name.get(b"user-agent", b"").decode("latin-1")
        return audit.encode(
            audit.Record(
                event_time=audit.time_of(call.now),
                event_source=self._source,
                event_name=self._name,
                aws_region=caller.region,
                source_address=address,
                user_agent=audit.bounded(agent),
                request_id=call.request_id,
                event_id=self.event_id,
                user_identity=audit.Identity(
                    caller.kind, caller.principal_id, caller.arn, caller.account, caller.access_key_id
                ),
                request_parameters=audit.parameters(self.request),
                resources=[audit.Resource(call.arn(key), key.account) for key in (*self.keys, *call.made)],
                error_code=error_code,
            )
        )
