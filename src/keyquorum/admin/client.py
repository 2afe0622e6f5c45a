# SPDX-License-Identifier: Apache-2.0
"""A thin client of IAM: request structs to forms, signed with SigV4, and XML answers in the shape that the AWS CLI
prints. It reads no profile, keeps nothing and tries nothing twice: endpoint and credentials are the environment's.

How a form gets to where it is answered is a ``Send``: ``Remote`` is one over HTTP, ``offline`` has another.
"""

import base64
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keyquorum.api import Shape
from keyquorum.authn import sigv4a
from keyquorum.authn.signing import Credentials, signed_headers
from keyquorum.iam_api import OPERATIONS
from keyquorum.keyring import new_access_key_id, new_secret
from keyquorum.wire import query_client
from keyquorum.wire.protocols import IAM

#: The body of a request -> HTTP status and body of the answer.
Send = Callable[[bytes], tuple[int, bytes]]

FORM: Final = b"application/x-www-form-urlencoded; charset=utf-8"
AGENT: Final = f"keyquorum/{version('keyquorum')}"
_TIMEOUT: Final = 60.0


class ClientError(Exception):
    """The request could not be sent, or what came back is no answer of IAM's; the text says why."""


class Refused(Exception):
    """The answer was a fault. The text is the AWS CLI's."""

    def __init__(self, operation: str, code: str, text: str) -> None:
        super().__init__(f"An error occurred ({code}) when calling the {operation} operation: {text}")
        self.code = code


def call(operation: str, request: Shape, send: Send) -> dict[str, Any]:
    """The answer's members by name, without ResponseMetadata: policy documents as JSON values, dates as ISO 8601.
    Raises ClientError or Refused."""
    status, body = send(query_client.encode(operation, request))
    try:
        members, code, message = query_client.read(OPERATIONS[operation].response, operation, status, body)
    except ValueError:
        raise ClientError(f"the endpoint does not answer as IAM does (HTTP status {status})") from None
    if status != 200:
        raise Refused(operation, code, message)
    return members


def every_page(operation: str, request: Shape, send: Send) -> dict[str, Any]:
    """As ``call``, but of a list all pages in one, unless ``request`` says which: so does the AWS CLI."""
    answer = call(operation, request, send)
    paged = "marker" in request.__struct_fields__ and (request.marker, request.max_items) == (None, None)  # type: ignore[attr-defined]  # the condition before
    while paged and answer.get("IsTruncated"):
        following = call(operation, msgspec.structs.replace(request, marker=answer.pop("Marker")), send)
        items = {name: [*answer[name], *more] for name, more in following.items() if isinstance(more, list)}
        answer = {**following, **items}
    if paged:
        answer.pop("IsTruncated", None)
    return answer


def own_access_key() -> tuple[str, str, str]:
    """A new access key whose secret no server gets to know: its ID, the secret, and what CreateAccessKey takes as
    PublicKey. It signs with SigV4A."""
    access_key_id, secret = new_access_key_id(), new_secret()
    public = sigv4a.derive_public_key(access_key_id, secret)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return access_key_id, secret, base64.b64encode(der).decode()


# -- over HTTP


class Remote(msgspec.Struct, frozen=True):
    """An endpoint, and the credentials to sign with."""

    url: str
    region: str
    access_key_id: str
    secret: str
    session_token: str | None = None
    ca_bundle: str | None = None

    def __repr__(self) -> str:
        return f"Remote({self.url!r}, {self.access_key_id!r})"

    def __call__(self, body: bytes) -> tuple[int, bytes]:
        return self.exchange("POST", "/", body, self.headers(urlsplit(self.url).netloc, body, datetime.now(UTC)))

    def exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """HTTP status and body of what is answered. Raises ClientError."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(f"{self.url!r} is not the URL of an endpoint")
        try:
            connection = self._connection(parts.scheme, parts.hostname, parts.port)
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            finally:
                connection.close()
        except (HTTPException, OSError, ValueError) as error:
            raise ClientError(f"{self.url} cannot be reached: {error}") from error

    def _connection(self, scheme: str, host: str, port: int | None) -> HTTPConnection:
        if scheme == "http":
            return HTTPConnection(host, port, timeout=_TIMEOUT)
        context = ssl.create_default_context(cafile=self.ca_bundle)
        return HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)

    def headers(self, host: str, body: bytes, now: datetime) -> dict[str, str]:
        """All headers of a request at ``now`` (UTC), Authorization among them."""
        credentials = Credentials(self.access_key_id, self.secret, self.session_token)
        service = IAM.service.decode()
        headers = signed_headers(credentials, service, self.region, host, FORM.decode(), body, now)
        return {**headers, "user-agent": AGENT}


_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_IAM", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS")


def from_environment(environment: Mapping[str, str]) -> Remote:
    """The endpoint and credentials that AWS's own variables name. Raises ClientError."""

    def first(*names: str) -> str:
        found = [value for name in names if (value := environment.get(name))]
        if not found:
            raise ClientError(f"{names[0]} is not set; `keyquorum env` prints what is needed")
        return found[0]

    return Remote(
        first(*_ENDPOINTS),
        first("AWS_REGION", "AWS_DEFAULT_REGION"),
        first("AWS_ACCESS_KEY_ID"),
        first("AWS_SECRET_ACCESS_KEY"),
        environment.get("AWS_SESSION_TOKEN") or None,
        environment.get("AWS_CA_BUNDLE") or None,
    )
