# SPDX-License-Identifier: Apache-2.0
"""A thin client of IAM: request structs to forms, signed with SigV4, and XML answers in the shape that the AWS CLI
prints. It reads no profile, keeps nothing and tries nothing twice: endpoint and credentials are the environment's.

How a form gets to where it is answered is a ``Send``: ``Remote`` is one over HTTP, ``offline`` has another.
"""

import base64
import hmac
import json
import ssl
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.metadata import version
from types import NoneType
from typing import Any, Final, get_args, get_origin
from urllib.parse import unquote, urlencode, urlsplit

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import fields

from keyquorum.api import Shape, Timestamp
from keyquorum.authn import sigv4, sigv4a
from keyquorum.authn.canonical import SIGV4, TERMINATOR, SignedRequest, message
from keyquorum.iam_api import OPERATIONS
from keyquorum.keyring import new_access_key_id, new_secret
from keyquorum.model import HttpRequest
from keyquorum.wire.protocols import IAM
from keyquorum.wire.query_xml import DOCUMENTS

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
    status, body = send(encode(operation, request))
    try:
        root = ET.fromstring(body)  # noqa: S314 - of the endpoint that the user chose; expat bounds what entities cost
    except ET.ParseError:
        raise ClientError(f"the endpoint does not answer as IAM does (HTTP status {status})") from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    if status != 200:
        raise Refused(operation, root.findtext("Error/Code", str(status)), root.findtext("Error/Message", ""))
    response = OPERATIONS[operation].response
    result = root.find(f"{operation}Result")
    return {} if response is None or result is None else _structure(response, result)


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


# -- requests


def encode(operation: str, request: Shape) -> bytes:
    """The form, as ``wire.query`` reads it."""
    return urlencode([("Action", operation), ("Version", IAM.version), *_parameters("", request)]).encode()


def _parameters(name: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case Shape():
            for field in fields(value):
                yield from _parameters(f"{name}.{field.encode_name}".lstrip("."), getattr(value, field.name))
        case []:
            yield name, ""
        case list():
            for place, entry in enumerate(value, 1):
                yield from _parameters(f"{name}.member.{place}", entry)
        case bool():
            yield name, "true" if value else "false"
        case _:
            yield name, str(value)


# -- answers


def _structure(structure: type[Shape], element: ET.Element) -> dict[str, Any]:
    found = {part.tag: part for part in element}
    return {
        field.encode_name: _document(part) if (structure, field.name) in DOCUMENTS else _value(field.type, part)
        for field in fields(structure)
        if (part := found.get(field.encode_name)) is not None
    }


def _value(kind: Any, element: ET.Element) -> Any:
    if NoneType in get_args(kind):
        [kind] = [one for one in get_args(kind) if one is not NoneType]
    text = element.text or ""
    if get_origin(kind) is list:
        return [_value(get_args(kind)[0], part) for part in element]
    if get_origin(kind) is dict:
        return {part.findtext("key", ""): part.findtext("value", "") for part in element}
    if isinstance(kind, type) and issubclass(kind, Shape):
        return _structure(kind, element)
    if kind is bool:
        return text == "true"
    if kind == Timestamp:
        return datetime.fromisoformat(text).isoformat()
    return text if kind is str else int(text)


def _document(element: ET.Element) -> Any:
    text = unquote(element.text or "")
    try:
        return json.loads(text)
    except ValueError:
        return text


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
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(f"{self.url!r} is not the URL of an endpoint")
        try:
            connection = self._connection(parts.scheme, parts.hostname, parts.port)
            try:
                connection.request("POST", "/", body, self.headers(parts.netloc, body, datetime.now(UTC)))
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
        timestamp = now.strftime("%Y%m%dT%H%M%SZ")
        date = timestamp[:8]
        headers = {"content-type": FORM.decode(), "host": host, "x-amz-date": timestamp}
        if self.session_token is not None:
            headers["x-amz-security-token"] = self.session_token
        listed = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = b"/".join((date.encode(), self.region.encode(), IAM.service, TERMINATOR))
        signed = SignedRequest(
            algorithm=SIGV4,
            access_key_id=self.access_key_id,
            date=date,
            region=self.region,
            service=IAM.service.decode(),
            scope=scope,
            timestamp=timestamp.encode(),
            signed_headers=tuple([name for name, _ in listed]),
            signature=b"",
            session_token=None,
            headers=dict(listed),
        )
        key = sigv4.derive_key(self.secret, date, self.region, signed.service)
        key.update(message(HttpRequest(b"POST", b"/", listed, body, ""), signed))
        return {**headers, "user-agent": AGENT, "authorization": _authorization(signed, key)}


def _authorization(signed: SignedRequest, key: hmac.HMAC) -> str:
    names = b";".join(signed.signed_headers).decode()
    credential = f"{signed.access_key_id}/{signed.scope.decode()}"
    return f"{SIGV4.decode()} Credential={credential}, SignedHeaders={names}, Signature={key.hexdigest()}"


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
