# SPDX-License-Identifier: Apache-2.0
"""A service without its sockets, and requests put straight into its request path."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.model import Answer, HttpRequest

ACCOUNT = "111122223333"
REGION = "us-east-1"


class Told(NamedTuple):
    """An answer, read: ``code`` is None for a success."""

    code: str | None
    message: str | None
    body: dict[str, Any]
    answer: Answer

    @property
    def record(self) -> dict[str, Any]:
        """The audit record that goes out with the answer."""
        assert self.answer.record is not None
        record: dict[str, Any] = json.loads(self.answer.record)
        return record


def unsigned(operation: str, members: Any, *headers: tuple[bytes, bytes]) -> HttpRequest:
    """Bytes in ``members`` become base64, as on the wire."""
    body = json.dumps(members, default=lambda value: base64.b64encode(value).decode()).encode()
    return HttpRequest(
        b"POST",
        b"/",
        [
            (b"host", b"localhost"),
            (b"content-type", b"application/x-amz-json-1.1"),
            (b"x-amz-target", b"TrentService." + operation.encode()),
            *headers,
        ],
        body,
        "192.0.2.7",
    )


class Direct:
    def __init__(self, service: Service) -> None:
        self.service = service

    def send(self, http: HttpRequest) -> Told:
        answer = self.service.pipeline.answer(http, may_block=True)
        body = json.loads(answer.body) if answer.body else {}
        fault = answer.status != 200
        return Told(body.get("__type") if fault else None, body.get("message") if fault else None, body, answer)

    def __call__(self, operation: str, **members: Any) -> Told:
        return self.send(unsigned(operation, members))

    def key(self, **members: Any) -> str:
        return str(self("CreateKey", **members).body["KeyMetadata"]["KeyId"])

    def advance(self, seconds: float) -> None:
        """What the development server's clock does."""
        self.service.advance(seconds)


@contextmanager
def development(seed: Path | None = None, **settings: Any) -> Iterator[Direct]:
    """A development service: in memory, unsigned requests stand for the root of the account."""
    service = Service(Settings(data=None, development=True, seed=seed, **settings))
    yield Direct(service)
    service.close()
