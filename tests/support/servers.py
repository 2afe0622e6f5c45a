# SPDX-License-Identifier: Apache-2.0
"""Servers as an operator runs them: the program itself, in a process of its own, on a data directory; and clients of
such a server that try once, so that a test sees each answer."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import psycopg
import pytest
import rounds
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from http_wire import JSON11, Response, Wire
from stores import environment as environment
from stores import forget, url_of

from keyquorum.store.postgresql import WRITE_LOCK

ACCOUNT = "111122223333"
REGION = "us-east-1"
_PROGRAM = (sys.executable, "-m", "keyquorum")


class RefusedToStart(Exception):
    """The program ended before it served; the text is what it wrote to stderr."""


class Program:
    """``keyquorum serve`` with the given options on a free port. ``logs``: a directory for what it prints."""

    def __init__(self, logs: Path, *options: str) -> None:
        """Raises RefusedToStart."""
        self.stdout, self.stderr = logs / "stdout", logs / "stderr"
        begin = self.stdout.stat().st_size if self.stdout.exists() else 0
        with self.stdout.open("ab") as out, self.stderr.open("ab") as err:
            self._process = subprocess.Popen(
                (*_PROGRAM, "serve", "--port", "0", *options), env=environment(options), stdout=out, stderr=err
            )
        self.url = self._await_url(begin)
        self.host, self.port = "127.0.0.1", int(self.url.rsplit(":", 1)[1])

    def _await_url(self, begin: int) -> str:
        while True:
            ended = self._process.poll() is not None
            printed = self.stdout.read_text()[begin:]
            if "\n" in printed:
                return next(word for word in printed.split() if word.startswith(("http://", "https://")))
            if ended:
                raise RefusedToStart(self.stderr.read_text())
            time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM; it must end in good order, if it has not ended before."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
            # uvicorn finishes its work and then dies of the signal that told it to.
            assert self._process.wait(30) in (0, -signal.SIGTERM)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)

    def connect(self) -> Wire:
        return Wire(socket.create_connection((self.host, self.port)))

    def raw(self, data: bytes) -> Response:
        """One request on a connection of its own, byte for byte."""
        wire = self.connect()
        try:
            return wire.exchange(data)
        finally:
            wire.close()


class Access(NamedTuple):
    """An access key and the Region to use it in."""

    key_id: str
    secret: str
    region: str = REGION


class Production(Program):
    """A server without ``--dev`` on the data directory ``directory / "data"``, and its root access key."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory, self.data = directory, directory / "data"
        self._options = options
        super().__init__(directory, "--data", str(self.data), *options)
        where = [part for pair in pairwise(options) if pair[0] == "--database" for part in pair]
        self.env: dict[str, str] = json.loads(run("env", "--json", "--data", str(self.data), *where).stdout)
        self.root = Access(self.env["AWS_ACCESS_KEY_ID"], self.env["AWS_SECRET_ACCESS_KEY"], self.env["AWS_REGION"])
        self._others: list[Program] = []
        self._settle = rounds.Settling(None, [])
        url = None if where else url_of(self.data)
        if url is not None and rounds.beside():
            data = [directory / f"beside{number}" for number in range(rounds.beside())]
            self._others = [self._beside(each, url, *options) for each in data]
            for ask in (self.raw, *[other.raw for other in self._others]):
                ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")  # workers start after the address was printed
            self._settle = rounds.Settling(url, [self.data, *data])

    def _beside(self, data: Path, url: str, *options: str) -> Program:
        """Another node, with the seal key and the database of this one."""
        logs = data.with_name(f"{data.name}-logs")
        for made in (data, logs):
            made.mkdir(exist_ok=True, mode=0o700)
        shutil.copy(self.data / "seal.key", data)
        return Program(logs, "--data", str(data), "--database", url, *options)

    def stop(self) -> None:
        super().stop()
        self._settle.close()
        for other in self._others:
            other.stop()

    def kill(self) -> None:
        super().kill()
        self._settle.close()
        for other in self._others:
            other.kill()

    def raw(self, data: bytes) -> Response:
        try:
            return super().raw(data)
        finally:
            self._settle()

    @property
    def database(self) -> Path:
        return self.data / "keyquorum.db"

    def again(self, *options: str) -> "Production":
        """Another server on the same data directory, whether or not this one still runs."""
        return Production(self.directory, *(options or self._options))

    def discard(self) -> None:
        """Stop, and keep nothing that is not in the directory."""
        self.stop()
        forget(self.data)

    def client(self, service: str = "kms", access: Access | None = None, **options: Any) -> Any:
        made = [client(node.url, service, access or self.root, **options) for node in (self, *self._others)]
        return made[0] if len(made) == 1 else rounds.Alternating(made, self._settle)

    def signed(self, operation: str, body: dict[str, Any], access: Access | None = None) -> Response:
        """One request, signed by botocore and sent by a plain socket."""
        return self.raw(signed_request(self.url, access or self.root, operation, json.dumps(body).encode()))


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The program to its end."""
    return subprocess.run(
        (*_PROGRAM, *arguments), env=environment(arguments), capture_output=True, text=True, check=True, timeout=60
    )


def client(url: str, service: str, access: Access, **options: Any) -> Any:
    """A boto3 client that tries once. ``options`` are boto3's."""
    chosen = {
        "aws_access_key_id": access.key_id,
        "aws_secret_access_key": access.secret,
        "region_name": access.region,
        "config": Config(retries={"total_max_attempts": 1}),
    }
    return boto3.client(service, endpoint_url=url, **{**chosen, **options})


def signed_headers(
    url: str,
    access: Access,
    operation: str,
    body: bytes,
    *,
    extra: dict[str, str] | None = None,
    service: str = "kms",
) -> dict[str, str]:
    """The headers of a request, by botocore's signer, which shares no code with ours; Host among them.

    Without an operation, as with STS, X-Amz-Target is left out.
    """
    target = {"X-Amz-Target": f"TrentService.{operation}"} if operation else {}
    headers = {"Content-Type": JSON11.decode(), **target, **(extra or {})}
    request = AWSRequest("POST", url + "/", data=body, headers=headers)
    SigV4Auth(Credentials(access.key_id, access.secret), service, access.region).add_auth(request)
    return {"Host": url.removeprefix("http://"), **dict(request.headers.items())}


def http_post(headers: dict[str, str], body: bytes, target: str = "/") -> bytes:
    """A request with exactly these headers, and Content-Length."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": str(len(body))}.items())
    return f"POST {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


def signed_request(url: str, access: Access, operation: str, body: bytes, **options: Any) -> bytes:
    return http_post(signed_headers(url, access, operation, body, **options), body)


@contextmanager
def refused(code: str, message: str | None = None, status: int = 400) -> Iterator[None]:
    """The block must be answered by exactly this fault; None for one without a text."""
    with pytest.raises(ClientError) as caught:
        yield
    answer = caught.value.response
    found = (answer["Error"]["Code"], answer["Error"]["Message"] or None, answer["ResponseMetadata"]["HTTPStatusCode"])
    assert found == (code, message, status)


def code_of(call: Any, **arguments: Any) -> str:
    """The error code that a client's call is refused with, or "" if it is not."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@contextmanager
def behind_its_back(database: Path) -> Iterator[Any]:
    """A connection to a server's database, as anyone has it who can reach it; ``BEGIN IMMEDIATE`` takes its write lock.
    ``database`` is where SQLite's file is, or would be."""
    url = None if database.exists() else url_of(database.parent)
    if url is not None:
        with psycopg.connect(url, autocommit=True) as shared:
            yield _InTheWordsOfSQLite(shared)
        return
    connection = sqlite3.connect(database, isolation_level=None, timeout=5)
    try:
        yield connection
    finally:
        connection.close()


class _InTheWordsOfSQLite(NamedTuple):
    connection: "psycopg.Connection[Any]"

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> Any:
        said = statement.replace("zeroblob(32)", f"'\\x{'00' * 32}'::bytea").replace("?", "%s")
        if said == "BEGIN IMMEDIATE":
            self.connection.execute("BEGIN")
            return self.connection.execute("SELECT pg_advisory_xact_lock(%s::bigint)", (WRITE_LOCK,))
        return self.connection.execute(said, values)
