# SPDX-License-Identifier: Apache-2.0
"""What came of one request that a page made: the request as it was signed, and the answer."""

from typing import Any, NamedTuple

import msgspec


class Outcome(NamedTuple):
    """``headers`` and ``body`` are the request's, as they were signed; ``answer_headers`` and ``answer`` came back,
    after ``seconds``. ``members`` are the answer's, by AWS's names: blobs are Base64, and dates of the query protocol
    ISO 8601. ``code`` and ``message`` are empty if it succeeded."""

    operation: str
    headers: list[tuple[str, str]]
    body: bytes
    status: int
    answer_headers: list[tuple[str, str]]
    answer: bytes
    members: dict[str, Any]
    code: str
    message: str
    request_id: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.status == 200

    def __repr__(self) -> str:
        return f"Outcome({self.operation!r}, {self.status}, {self.code!r})"


def read_json(answer: bytes) -> tuple[dict[str, Any], str, str]:
    """(members, code, message) of an answer in AWS JSON."""
    members = msgspec.json.decode(answer) if answer else {}
    return members, members.get("__type", ""), members.get("message", "")
