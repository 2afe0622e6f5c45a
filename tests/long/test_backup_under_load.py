# SPDX-License-Identifier: Apache-2.0
"""A backup that is taken while clients change everything, restored on the other kind of database: a checksum over what
each answered call had promised before it holds there, and what was promised during it is there as a whole or not."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from postgres import fresh_database
from processes import kill_all
from promises import Ledger
from promises_load import Load, clients
from servers import Production, environment, run

pytestmark = [pytest.mark.long, pytest.mark.alone, pytest.mark.timeout(600)]


@contextmanager
def _server(directory: Path, *options: str) -> Iterator[Production]:
    server = Production(directory, *options)
    try:
        yield server
    finally:
        kill_all(server)


@contextmanager
def _databases(kind: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Options of a server on this kind of database, and on the other."""
    with fresh_database() as url:
        there = ("--database", url)
        yield ((), there) if kind == "sqlite" else (there, ())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_was_promised_holds_on_the_other_database(tmp_path: Path, kind: str) -> None:
    first, second, backup = tmp_path / "first", tmp_path / "second", tmp_path / "backup"
    first.mkdir()
    ledger = Ledger()
    with _databases(kind) as (here, there), _server(first, *here) as server:
        # As SDKs are by default: a machine that is short of time lets leases lapse for a moment.
        with Load(ledger, [server.url], server.root, attempts=6) as load:
            load.await_changes(200, within=60)
            begun = time.monotonic()
            command = [sys.executable, "-m", "keyquorum", "backup", "create", "--audit", "--data", str(server.data)]
            done = subprocess.run(
                [*command, *here, str(backup)], env=environment(), capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, done.stderr
            ended = time.monotonic()
            load.await_changes(50)
        assert load.failures == []
        assert load.unanswered == 0
        data = second / "data"
        data.mkdir(mode=0o700, parents=True)
        shutil.copy2(server.data / "seal.key", data)
        os.environ.pop("KEYQUORUM_DATA", None)
        run("backup", "verify", "--data", str(data), *there, str(backup))
        run("restore", "--data", str(data), *there, str(backup))
        with _server(second, *there) as again:
            promised, found, count = ledger.check_snapshot(clients(again.url, server.root, 6), begun, ended)
            assert found == promised
            assert count > 0  # of what nothing was done to meanwhile
            again.stop()
            run("audit", "verify", "--data", str(data), *there)
