# SPDX-License-Identifier: Apache-2.0
"""A pytest plugin: the fixture ``keyquorum`` is a development server of its own, emptied before each test.

    def test_round_trip(keyquorum):
        kms = keyquorum.client("kms")
        key_id = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
        keyquorum.advance(timedelta(days=8))  # and the key is gone

The server is another process on a free port of the loopback address; it ends with the test session.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest


class Server:
    """A running development server. ``endpoint_url``: what an SDK's ``endpoint_url`` is set to."""

    def __init__(self, seed: Path | None = None, region: str = "us-east-1") -> None:
        """``seed``: a seed file, loaded at the start and at each reset. Raises RuntimeError if it does not start."""
        command = [sys.executable, "-m", "keyquorum", "serve", "--dev", "--port", "0", "--region", region]
        if seed is not None:
            command += ["--seed", str(seed)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYQUORUM_")}
        self.region = region
        # A file, for a pipe that nobody reads would stop the server once it is full.
        with tempfile.TemporaryFile("w+") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and this package
                command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
            )
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            if not line:
                self._process.communicate()
                errors.seek(0)
                raise RuntimeError(f"keyquorum did not start: {errors.read().strip()}")
        self.endpoint_url = next(word for word in line.split() if word.startswith("http://"))

    def client(self, service: str = "kms", **options: Any) -> Any:
        """A boto3 client of this server; ``options`` are boto3's. Needs boto3 to be installed."""
        import boto3

        defaults = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": self.region}
        return boto3.client(service, endpoint_url=self.endpoint_url, **{**defaults, **options})

    def advance(self, by: timedelta) -> None:
        """Move the server's clock on; what came due has happened when this returns."""
        self._post("/_dev/clock", {"advance_seconds": by.total_seconds()})

    def reset(self) -> None:
        """Empty the server, set its clock right, and load the seed again."""
        self._post("/_dev/reset", {})

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)

    def _post(self, path: str, body: dict[str, float]) -> None:
        request = urllib.request.Request(  # noqa: S310 - the server's own address
            self.endpoint_url + path, json.dumps(body).encode(), {"X-Keyquorum-Dev": "1"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            answer.read()


@pytest.fixture(scope="session")
def keyquorum_server() -> Iterator[Server]:
    """The server that all tests of a session share, as it is."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def keyquorum(keyquorum_server: Server) -> Server:
    """The server, empty."""
    keyquorum_server.reset()
    return keyquorum_server
