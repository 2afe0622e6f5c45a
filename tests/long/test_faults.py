# SPDX-License-Identifier: Apache-2.0
"""The fault table (docs/operate/faults.md), of what can break with either database: nothing that was answered is lost,
nothing is half done, and a change is answered again within seconds, without anybody's help.

The rows of PostgreSQL alone are in test_faults_postgresql.py, the crashes between the steps of one change in
test_steps.py, and the clock in test_clock_set_back.py. With -s what was seen is printed."""

import random
import time
from pathlib import Path
from typing import Final

import pytest
from disks import fill, small_disk
from promises import Ledger
from promises_nodes import POSTGRESQL, SQLITE, WITHIN, Standing, kept, load, on

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

#: Another 25 times on SQLite in test_kill.py.
KILLS: Final = {SQLITE: 25, POSTGRESQL: 50}
STOPS: Final = 5
#: The audit log keeps 4 MiB of room for changes, which they have to use up each time.
FILLED: Final = {"database": 3, "audit": 1, "both": 3}


@pytest.mark.parametrize("store", [SQLITE, POSTGRESQL])
def test_kill_9_of_a_node_under_load(tmp_path: Path, store: str) -> None:
    dice, ledger, late = random.Random(store), Ledger(), []
    with on(store, tmp_path) as nodes:
        with load(ledger, nodes, pause=0.03) as told:
            for _ in range(KILLS[store]):
                told.await_changes(dice.randint(1, 25))
                node = dice.choice(nodes)
                node.kill()
                late.append(told.recovered(node.start(), WITHIN, node.url))
        kept(f"kill -9, {store}", ledger, nodes, told, late)


@pytest.mark.parametrize("store", [SQLITE, POSTGRESQL])
def test_sigterm_under_load(tmp_path: Path, store: str) -> None:
    dice, ledger, late = random.Random(store), Ledger(), []
    with on(store, tmp_path) as nodes:
        with load(ledger, nodes) as told:
            for _ in range(STOPS):
                told.await_changes(dice.randint(1, 25))
                node = dice.choice(nodes)
                node.stop()
                late.append(told.recovered(node.start(), WITHIN, node.url))
        kept(f"SIGTERM, {store}", ledger, nodes, told, late)


@pytest.mark.parametrize("full", ["database", "audit", "both"])
def test_the_disk_is_full_under_load(tmp_path: Path, full: str) -> None:
    """Of SQLite's files, of the audit log, and the one that both are on."""
    ledger, late = Ledger(), []
    with small_disk(tmp_path / "disk", 24) as disk:
        data = tmp_path / "node" / "data"
        data.parent.mkdir()
        if full == "audit":
            data.mkdir(mode=0o700)
            (disk / "audit").mkdir()
            (data / "audit").symlink_to(disk / "audit")
        else:
            (disk / "data").mkdir(mode=0o700)
            data.symlink_to(disk / "data")
            if full == "database":
                (tmp_path / "audit").mkdir()
                (data / "audit").symlink_to(tmp_path / "audit")
        node = Standing(tmp_path / "node")
        try:
            with load(ledger, [node], pause=0.02) as told:
                for _ in range(FILLED[full]):
                    told.await_changes(30)
                    filler, refused = fill(disk), told.unanswered
                    deadline = time.monotonic() + 60
                    while told.unanswered < refused + 10:
                        assert told.failures == [], told.failures
                        assert time.monotonic() < deadline, "the disk does not get full"
                        time.sleep(0.01)
                    filler.unlink()
                    late.append(told.recovered(time.monotonic(), WITHIN))
            kept(f"disk full, {full}", ledger, [node], told, late)
        finally:
            node.kill()
