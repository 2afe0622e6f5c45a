# SPDX-License-Identifier: Apache-2.0
"""Requests for what is this server's own, by whoever has an access key: AWS JSON 1.0, signed for ``keyquorum``."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from keyquorum.admin.client import Remote
from keyquorum.authn.signing import Credentials, signed_headers
from keyquorum.wire.protocols import OWN


class Answered(NamedTuple):
    """``code`` is empty for a success."""

    status: int
    code: str
    members: dict[str, Any]


def own(
    url: str, access_key_id: str, secret: str, operation: str, region: str = "us-east-1", **members: Any
) -> Answered:
    body = json.dumps(members).encode()
    headers = signed_headers(
        Credentials(access_key_id, secret, None),
        OWN.service.decode(),
        region,
        urlsplit(url).netloc,
        OWN.content_type.decode(),
        body,
        datetime.now(UTC),
        f"Keyquorum.{operation}",
    )
    status, answer = Remote(url, region, access_key_id, secret).exchange("POST", "/", body, headers)
    found = json.loads(answer) if answer else {}
    return Answered(status, found.get("__type", ""), found)
