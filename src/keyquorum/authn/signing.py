# SPDX-License-Identifier: Apache-2.0
"""The other side of ``sigv4``: a request of ours, signed for an endpoint of this kind. Pure."""

from datetime import datetime
from typing import NamedTuple

from keyquorum.authn import sigv4
from keyquorum.authn.canonical import SIGV4, TERMINATOR, SignedRequest, message
from keyquorum.model import HttpRequest


class Credentials(NamedTuple):
    """What a request is signed with."""

    access_key_id: str
    secret: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r})"


def signed_headers(
    credentials: Credentials,
    service: str,
    region: str,
    host: str,
    content_type: str,
    body: bytes,
    now: datetime,
    target: str | None = None,
) -> dict[str, str]:
    """The headers of ``POST /`` that are signed, names in lower case, and Authorization. ``now`` is UTC. ``target`` is
    X-Amz-Target, if there is one."""
    timestamp = now.strftime("%Y%m%dT%H%M%SZ")
    date = timestamp[:8]
    headers = {"content-type": content_type, "host": host, "x-amz-date": timestamp}
    if credentials.session_token is not None:
        headers["x-amz-security-token"] = credentials.session_token
    if target is not None:
        headers["x-amz-target"] = target
    listed = [(name.encode(), value.encode()) for name, value in headers.items()]
    signed = SignedRequest(
        algorithm=SIGV4,
        access_key_id=credentials.access_key_id,
        date=date,
        region=region,
        service=service,
        scope=b"/".join((date.encode(), region.encode(), service.encode(), TERMINATOR)),
        timestamp=timestamp.encode(),
        signed_headers=tuple([name for name, _ in listed]),
        signature=b"",
        session_token=None,
        headers=dict(listed),
    )
    key = sigv4.derive_key(credentials.secret, date, region, service)
    key.update(message(HttpRequest(b"POST", b"/", listed, body, ""), signed))
    names = b";".join(signed.signed_headers).decode()
    credential = f"{signed.access_key_id}/{signed.scope.decode()}"
    authorization = f"{SIGV4.decode()} Credential={credential}, SignedHeaders={names}, Signature={key.hexdigest()}"
    return {**headers, "authorization": authorization}
