# SPDX-License-Identifier: Apache-2.0
"""A request as ASGI has it (HTTP & WebSocket ASGI message format, version 2.3), for every path that is not the KMS
route."""

from typing import Any
from urllib.parse import unquote

from uvicorn._types import HTTPScope

from keyquorum.model import HttpRequest


def scope_of(connection: Any, request: HttpRequest, version: str) -> HTTPScope:
    """``connection``: uvicorn's protocol, as ``KMSProtocol`` has it; ``version``: of HTTP, such as "1.1"."""
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": connection.asgi_version, "spec_version": "2.3"},
        "http_version": version,
        "server": connection.server,
        "client": (request.peer, 0) if connection.via_proxy else connection.client,
        "scheme": "https" if request.secure else "http",
        "root_path": connection.root_path,
        "headers": request.headers,
        "state": connection.app_state.copy(),
        "method": request.method.decode("ascii"),
        "path": connection.root_path + unquote(path.decode("ascii")),
        "raw_path": connection.root_path.encode("ascii") + path,
        "query_string": query,
    }
