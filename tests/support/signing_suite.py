# SPDX-License-Identifier: Apache-2.0
"""AWS's own signing test suites (awslabs/aws-c-auth, tests/aws-signing-test-suite, v4 and v4a): one reader for both."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from keyquorum.model import HttpRequest

CASES = [
    "get-header-key-duplicate",
    "get-header-value-multiline",
    "get-header-value-order",
    "get-header-value-trim",
    "get-relative-normalized",
    "get-relative-relative-normalized",
    "get-slash-dot-slash-normalized",
    "get-slash-normalized",
    "get-slash-pointless-dot-normalized",
    "get-slashes-normalized",
    "get-space-normalized",
    "get-unreserved",
    "get-utf8",
    "get-vanilla",
    "get-vanilla-empty-query-key",
    "get-vanilla-query",
    "get-vanilla-query-order-encoded",
    "get-vanilla-query-order-key-case",
    "get-vanilla-query-unreserved",
    "get-vanilla-utf8-query",
    "get-vanilla-with-session-token",
    "post-header-key-case",
    "post-header-key-sort",
    "post-header-value-case",
    "post-sts-header-after",
    "post-sts-header-before",
    "post-vanilla",
    "post-vanilla-empty-query-value",
    "post-vanilla-query",
    "post-x-www-form-urlencoded",
    "post-x-www-form-urlencoded-parameters",
]
# "normalize": false is S3's rule, which signs the path as it stands. No service of ours uses it, so these must not
# verify; "get-space-unnormalized" is left out because there is nothing to normalise in its path.
S3_ONLY = [
    "get-relative-relative-unnormalized",
    "get-relative-unnormalized",
    "get-slash-dot-slash-unnormalized",
    "get-slash-pointless-dot-unnormalized",
    "get-slash-unnormalized",
    "get-slashes-unnormalized",
]
SAME_UNDER_BOTH = ["get-space-unnormalized"]
# The session token was added after signing ("omit_session_token"); we require every x-amz-* header to be signed.
TOKEN_ADDED_AFTERWARDS = "post-sts-header-after"

REQUIRED = {"credentials", "expiration_in_seconds", "normalize", "region", "service", "sign_body", "timestamp"}
SERVICE = b"service"
Headers = list[tuple[bytes, bytes]]


class Case:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.context: dict[str, Any] = json.loads(self.read("context.json"))
        assert REQUIRED <= self.context.keys() <= REQUIRED | {"omit_session_token"}
        self.credentials: dict[str, str] = self.context["credentials"]
        assert {"access_key_id", "secret_access_key"} <= self.credentials.keys()
        assert self.credentials.keys() <= {"access_key_id", "secret_access_key", "token"}
        self.now = datetime.fromisoformat(self.context["timestamp"]).timestamp()
        self.token = None if self.context.get("omit_session_token") else self.credentials.get("token")

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def payload_hash(self) -> bytes:
        return self.read("header-canonical-request.txt").rpartition(b"\n")[2]

    def unsigned(self, start: bytes, added: Headers) -> HttpRequest:
        """The request with the headers that signing adds, and an Authorization header whose signature is wrong.
        ``start``: algorithm, credential."""
        request = read_request(self.read("request.txt"))
        headers = [*request.headers, (b"x-amz-date", b"20150830T123600Z"), *added]
        if self.token:
            headers.append((b"x-amz-security-token", self.token.encode()))
        if self.context["sign_body"]:
            headers.append((b"x-amz-content-sha256", self.payload_hash()))
        names = b";".join(sorted({name for name, _ in headers}))
        authorization = start + b", SignedHeaders=" + names + b", Signature=" + b"0" * 64
        return HttpRequest(
            request.method, request.target, [*headers, (b"authorization", authorization)], request.body, "::1"
        )

    def signed(self) -> HttpRequest:
        """The published request, less what is not signed and so refused."""
        request = read_request(self.read("header-signed-request.txt"))
        return without(request, b"x-amz-security-token") if self.directory.name == TOKEN_ADDED_AFTERWARDS else request


def read_request(text: bytes) -> HttpRequest:
    """The suite's plain-text form, as an HTTP server would hand it over: a folded line becomes a space (RFC 9112)."""
    head, _, body = text.partition(b"\n\n")
    first, *lines = head.replace(b"\n ", b"  ").rstrip(b"\n").split(b"\n")
    method, target = first.removesuffix(b" HTTP/1.1").split(b" ", 1)
    headers = [(name.lower(), value) for name, _, value in (line.partition(b":") for line in lines)]
    return HttpRequest(method, target, headers, body, "127.0.0.1")


def without(request: HttpRequest, *names: bytes) -> HttpRequest:
    kept = [(name, value) for name, value in request.headers if name not in names]
    return HttpRequest(request.method, request.target, kept, request.body, request.peer)


def tampered(request: HttpRequest) -> tuple[HttpRequest, ...]:
    headers = [(name, value + b"0" if name == b"host" else value) for name, value in request.headers]
    return (
        HttpRequest(request.method, request.target, request.headers, request.body + b"\0", request.peer),
        HttpRequest(request.method, request.target + b"0", request.headers, request.body, request.peer),
        HttpRequest(b"PUT", request.target, request.headers, request.body, request.peer),
        HttpRequest(request.method, request.target, headers, request.body, request.peer),
    )
