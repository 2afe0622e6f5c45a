# SPDX-License-Identifier: Apache-2.0
"""Requests signed by a signer of the tests' own: quick, because the key is derived once, and willing to sign what no
SDK would send. It shares no code with the server's.

Source: IAM User Guide, "Create a signed AWS API request".
"""

import hashlib
import hmac
import time
from typing import NamedTuple

from http_wire import JSON11
from servers import Access, Program


class Request(NamedTuple):
    """A POST, still in parts that can be damaged."""

    headers: list[tuple[bytes, bytes]]
    body: bytes
    line: bytes = b"POST / HTTP/1.1"

    def wire(self) -> bytes:
        lines = b"".join(b"%b: %b\r\n" % header for header in self.headers)
        return b"%b\r\n%b\r\n%b" % (self.line, lines, self.body)


class Signer:
    """Signs for one server with one access key. The key is derived anew when the day changes."""

    def __init__(self, server: Program, access: Access) -> None:
        self._host = f"{server.host}:{server.port}".encode()
        self._access = access
        self._derived: dict[tuple[str, str], bytes] = {}

    def request(
        self, operation: str | bytes, body: bytes, *, content_type: bytes = JSON11, service: str = "kms"
    ) -> Request:
        """``operation``: its name, or as bytes the whole X-Amz-Target; b"" for none."""
        target = operation if isinstance(operation, bytes) else b"TrentService." + operation.encode()
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = [(b"content-type", content_type), (b"host", self._host), (b"x-amz-date", moment.encode())]
        if target:
            headers.append((b"x-amz-target", target))
        names = b";".join(name for name, _ in headers)
        canonical = b"POST\n/\n\n%b\n%b\n%b" % (
            b"".join(b"%b:%b\n" % (name, b" ".join(value.split())) for name, value in headers),
            names,
            hashlib.sha256(body).hexdigest().encode(),
        )
        scope = f"{moment[:8]}/{self._access.region}/{service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}".encode()
        signature = hmac.digest(self._key(moment[:8], service), text, "sha256").hex()
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={self._access.key_id}/{scope}, SignedHeaders={names.decode()}, "
            f"Signature={signature}"
        )
        headers += [(b"authorization", authorization.encode()), (b"content-length", b"%d" % len(body))]
        return Request(headers, body)

    def _key(self, day: str, service: str) -> bytes:
        if (day, service) not in self._derived:
            key = b"AWS4" + self._access.secret.encode()
            for part in (day, self._access.region, service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._derived[day, service] = key
        return self._derived[day, service]
