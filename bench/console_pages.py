# SPDX-License-Identifier: Apache-2.0
"""``make bench-console``: how long the console's pages take to answer where there are many keys. One person asks for
one page after another, over HTTP, from a server in a process of its own."""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

from keyquorum.admin.client import Remote
from keyquorum.admin.console import new_link
from keyquorum.app import Service
from keyquorum.config import Settings
from keyquorum.quotas import Quotas
from many_keys import ask, fill

_EACH: Final = 15


class Reader:
    """A signed-in browser that looks at nothing but the time."""

    def __init__(self, url: str, env: dict[str, str]) -> None:
        self._netloc = urlsplit(url).netloc
        remote = Remote(url, env["AWS_REGION"], env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
        token = new_link(remote)[0].rpartition("/")[2]
        headers = {"Origin": url, "Content-Type": "application/x-www-form-urlencoded"}
        _, cookie, _ = self._send("POST", "/console/session", urlencode({"token": token}), headers)
        self._cookie = cookie.partition(";")[0]

    def _send(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, str, str]:
        connection = HTTPConnection(self._netloc, timeout=120)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("set-cookie", ""), answer.read().decode()
        finally:
            connection.close()

    def get(self, path: str) -> str:
        status, _, text = self._send("GET", path, None, {"Cookie": self._cookie})
        if status != 200:
            raise RuntimeError(f"{path}: status {status}")
        return text

    def times(self, path: str) -> list[float]:
        taken = []
        for _ in range(_EACH):
            begun = time.perf_counter()
            self.get(path)
            taken.append(time.perf_counter() - begun)
        return sorted(taken)


def measure(data: Path, count: int) -> list[tuple[str, str, list[float]]]:
    """(what, path, how long each request took)."""
    quotas = Quotas(keys_per_region=2 * count + 1000)
    service = Service(Settings(data=data, quotas=quotas))
    ids = fill(service, count)
    key = ids[count // 2]
    for _ in range(2000):  # so that there is an audit to look through
        ask(service, "Encrypt", KeyId=key, Plaintext="c2VjcmV0")
    service.close()
    program = [sys.executable, "-m", "keyquorum"]
    server = subprocess.Popen(
        [*program, "serve", "--data", str(data), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = next(word for word in server.stdout.readline().split() if word.startswith("http"))
        printed = subprocess.run(
            [*program, "env", "--json", "--data", str(data)], capture_output=True, check=True, text=True
        )
        reader = Reader(url, {**os.environ, **json.loads(printed.stdout)})
        listed = reader.get("/console/keys")
        following = re.search(r'href="(/console/keys\?[^"]*(?:after|marker)[^"]*)"', listed)
        pages = [
            ("the front page", "/console/"),
            ("the list of keys", "/console/keys"),
            ("a later page of it", "/console/keys" if following is None else following[1].replace("&amp;", "&")),
            ("the list, filtered by state", "/console/keys?state=Disabled"),
            ("a search that finds nothing", "/console/keys?q=nowhere"),
            ("a key", f"/console/keys/{key}"),
            ("an operation", "/console/api/Encrypt"),
            ("access", "/console/access"),
            ("the audit", "/console/audit"),
            ("status", "/console/status"),
        ]
        return [(what, path, reader.times(path)) for what, path in pages]
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        rows = measure(Path(directory) / "data", options.keys)
    print(f"| {options.keys:,} keys | median | slowest of {_EACH} |\n| --- | ---: | ---: |")
    for what, _, taken in rows:
        print(f"| {what} | {statistics.median(taken) * 1e3:.0f} ms | {taken[-1] * 1e3:.0f} ms |")


if __name__ == "__main__":
    main()
