# SPDX-License-Identifier: Apache-2.0
"""A client of a sealed server. It knows the server's certificate, if that is its own, from the data directory."""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import msgspec

from keyquorum.layout import DataDirectory, Endpoint

_TIMEOUT: Final = 30.0


class UnsealError(Exception):
    """The text is the server's, or says why it could not be asked."""


class Client:
    """``url``: of the server; ``ca_bundle``: a PEM file, if its authority is not one of the system's."""

    def __init__(self, url: str, ca_bundle: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise UnsealError(f"{url!r} is no URL of a server")
        self.url = url.rstrip("/")
        self._context = ssl.create_default_context(cafile=ca_bundle) if url.startswith("https://") else None

    @classmethod
    def of(cls, data: Path) -> "Client":
        """Of the server that was last started on a data directory. Raises UnsealError."""
        try:
            endpoint = msgspec.json.decode(DataDirectory(data).endpoint.read_bytes(), type=Endpoint)
        except (OSError, msgspec.DecodeError) as error:
            raise UnsealError(f"no server has been started on {data}; or say --url") from error
        return cls(endpoint.url, endpoint.ca_bundle)

    def status(self) -> dict[str, Any]:
        """As ``GET /v1/seal`` tells it. Raises UnsealError."""
        return self._ask("/v1/seal", None)

    def bring(self, what: str, text: str) -> dict[str, Any]:
        """``what``: share or passphrase. The status after it. Raises UnsealError."""
        return self._ask("/v1/unseal", json.dumps({what: text}).encode())

    def _ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - http and https only, see above
            self.url + path, body, {"Content-Type": "application/json"}, method="GET" if body is None else "POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT, context=self._context) as answer:  # noqa: S310 - same
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            raise UnsealError(_message(error.read())) from None
        except (OSError, ValueError) as error:
            raise UnsealError(f"{self.url} cannot be asked: {error}") from None
        if not isinstance(told, dict) or not isinstance(told.get("sealed"), bool):
            raise UnsealError(f"{self.url} is no keyquorum")
        return told


def _message(body: bytes) -> str:
    try:
        told = json.loads(body)
        return str(told.get("message") or told["__type"])
    except (ValueError, KeyError, AttributeError):
        return "the server refused, and did not say why"
