# SPDX-License-Identifier: Apache-2.0
"""A link that signs its owner of an access key in to the console, once: for browsers that cannot sign by themselves."""

import json
from datetime import UTC, datetime
from urllib.parse import urlsplit

from keyquorum.admin.client import AGENT, ClientError, Refused, Remote
from keyquorum.authn.signing import Credentials, signed_headers
from keyquorum.wire.protocols import OWN


def new_link(remote: Remote) -> tuple[str, float]:
    """(URL, when it expires, in seconds since the epoch). Raises ClientError or Refused."""
    status, answer = remote.exchange("GET", "/console/nonce", None, {"user-agent": AGENT})
    if status != 200:
        raise ClientError(f"{remote.url} has no console (HTTP status {status})")
    body = json.dumps({"Nonce": _read(remote, answer)["nonce"]}).encode()
    headers = signed_headers(
        Credentials(remote.access_key_id, remote.secret, remote.session_token),
        OWN.service.decode(),
        remote.region,
        urlsplit(remote.url).netloc,
        OWN.content_type.decode(),
        body,
        datetime.now(UTC),
        OWN.target("ConsoleLogin"),
    )
    status, answer = remote.exchange("POST", "/", body, {**headers, "user-agent": AGENT})
    members = _read(remote, answer)
    if status != 200:
        raise Refused("ConsoleLogin", members.get("__type", str(status)), members.get("message", ""))
    return f"{remote.url.rstrip('/')}/console/link/{members['Token']}", float(members["ExpiresAt"])


def _read(remote: Remote, answer: bytes) -> dict[str, str]:
    try:
        members = json.loads(answer)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise ClientError(f"{remote.url} does not answer as keyquorum does")
    return members
