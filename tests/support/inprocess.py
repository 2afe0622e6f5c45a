# SPDX-License-Identifier: Apache-2.0
"""boto3 clients of a service in this process. botocore signs each request and reads each answer; between the two there
is no socket, so that a test chooses where a request comes from, whether TLS protected it, and what time it is."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from keyquorum.app import Service
from keyquorum.model import ROOT, HttpRequest

URL = "http://keyquorum.test"
REGION = "us-east-1"


class _Body(io.BytesIO):
    """An answer's body as botocore takes it from urllib3."""

    def stream(self, **_options: Any) -> Iterator[bytes]:
        yield self.read()


@dataclass
class Circumstances:
    """Of the requests that come next: the client's address, whether it came by TLS, and the service's time in seconds
    since the epoch, or None for the machine's."""

    peer: str = "203.0.113.10"
    secure: bool = True
    now: float | None = None


class InProcess:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._session = boto3.Session()
        self.circumstances = Circumstances()

    def client(self, name: str, **credentials: str) -> Any:
        """A client of kms, iam or sts. ``credentials`` are boto3's: aws_access_key_id and so on."""
        made = self._session.client(
            name,
            endpoint_url=URL,
            region_name=REGION,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
            **credentials,
        )
        made.meta.events.register("before-send", self._answer)
        return made

    def root(self, account: str) -> dict[str, str]:
        """The credentials of an account's root, which only its first start shows."""
        service = self._service
        with service.database.read() as connection:
            principal = service.store.identities.principal(connection, account, ROOT, ROOT)
            assert principal is not None
            (access_key,) = service.store.access_keys.of(connection, principal.principal_id)
        return {
            "aws_access_key_id": access_key.access_key_id,
            "aws_secret_access_key": service.keyring.secret_of(access_key),
        }

    def _answer(self, request: AWSPreparedRequest, **_event: Any) -> AWSResponse:
        service, given = self._service, self.circumstances
        if given.now is not None:
            service.clock.offset += given.now - service.clock.now()
        values = {"host": urlsplit(URL).netloc, **{name.lower(): value for name, value in request.headers.items()}}
        headers = [(name.encode(), v if isinstance(v, bytes) else str(v).encode()) for name, v in values.items()]
        body = request.body.encode() if isinstance(request.body, str) else bytes(request.body or b"")
        http = HttpRequest(b"POST", b"/", headers, body, given.peer, given.secure)
        answer = service.pipeline.answer(http, may_block=True)
        if answer.record is not None:
            service.pipeline.write_records([answer.record])
        sent = {"content-type": answer.content_type.decode(), "x-amzn-requestid": answer.request_id}
        return AWSResponse(request.url, answer.status, sent, _Body(answer.body))
