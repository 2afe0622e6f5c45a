# SPDX-License-Identifier: Apache-2.0
"""The rows of the fault table that are about PostgreSQL alone: two nodes, and a database that stops, is cut off in the
middle of a transaction, has no room, or is told two things at once."""

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from botocore.exceptions import ClientError
from cluster import through
from disks import fill, small_disk
from postgres import Postgres, binaries, fresh_database, name_of, own_server, server
from processes import audit_records
from promises import Ledger
from promises_load import clients
from promises_nodes import WITHIN, AtCommit, Standing, kept, load, standing

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

ENDS: Final = 4
CUTS: Final = 25
AT_COMMIT: Final = 30
#: Keys that two nodes argue about, and what each says of one.
ARGUED: Final = 40
SCHEDULE, CANCEL, ENABLE = "ScheduleKeyDeletion", "CancelKeyDeletion", "EnableKey"
SAID: Final = 6


@contextmanager
def _nodes(directory: Path, postgres: Postgres) -> Iterator[list[Standing]]:
    url = postgres.url(postgres.create())
    with standing(directory, ("--database", url, "--lock-timeout", "2"), 2) as nodes:
        yield nodes


# -- the server


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_postgresql_is_stopped_and_started_under_load(tmp_path: Path, how: str) -> None:
    ledger, late = Ledger(), []
    with own_server() as postgres, _nodes(tmp_path, postgres) as nodes:
        with load(ledger, nodes, pause=0.02) as told:
            for number in range(ENDS):
                told.await_changes(30)
                (postgres.stop if how == "fast" else postgres.crash)()
                time.sleep(0.5 * number)  # shorter and longer than a lease lasts
                postgres.start()
                back = time.monotonic()
                late += [told.recovered(back, WITHIN, node.url) for node in nodes]
        kept(f"PostgreSQL stopped, {how}", ledger, nodes, told, late)


def test_the_disk_of_postgresql_is_full_under_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It cannot make its tables larger. Should it lack room for its log, it ends, and is started again afterwards."""
    ledger, late = Ledger(), []
    with tempfile.TemporaryDirectory(prefix="keyquorum-disk-") as above, small_disk(Path(above) / "disk", 200) as disk:
        for directory in (Path(above), disk):
            os.chmod(directory, 0o755)  # its user is another
        with monkeypatch.context() as there:
            there.setattr(tempfile, "tempdir", str(disk))
            postgres = Postgres(binaries(), durable=True)
        try:
            with _nodes(tmp_path, postgres) as nodes:
                with load(ledger, nodes, pause=0.02) as told:
                    for _ in range(2):
                        told.await_changes(30)
                        filler, refused = fill(disk), told.unanswered
                        _use_up(postgres)
                        deadline = time.monotonic() + 60
                        while told.unanswered < refused + 10:
                            assert told.failures == []
                            assert time.monotonic() < deadline, "the disk does not get full"
                            time.sleep(0.01)
                        filler.unlink()
                        _watched_over(postgres)
                        back = time.monotonic()
                        late += [told.recovered(back, WITHIN, node.url) for node in nodes]
                kept("disk full, PostgreSQL", ledger, nodes, told, late)
        finally:
            postgres.remove()


def _use_up(postgres: Postgres) -> None:
    """Have PostgreSQL need more room than the segments of its log still have, whatever becomes of it."""
    try:
        with postgres.connect() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS filler (text text)")
            while True:
                connection.execute("INSERT INTO filler SELECT repeat(md5(i::text), 50) FROM generate_series(1, 2000) i")
    except psycopg.Error:
        return


def _watched_over(postgres: Postgres) -> None:
    """What looks after it starts it again, if it has ended."""
    try:
        postgres.execute("DROP TABLE IF EXISTS filler")
    except psycopg.Error:
        postgres.stop()
        postgres.start()
        postgres.execute("DROP TABLE IF EXISTS filler")


# -- the way there


def test_sessions_are_ended_in_the_middle_of_transactions(tmp_path: Path) -> None:
    dice, ledger, late = random.Random(3), Ledger(), []
    with fresh_database() as url, standing(tmp_path, ("--database", url), 2) as nodes:
        with load(ledger, nodes, pause=0.03) as told:
            for _ in range(CUTS):
                told.await_changes(dice.randint(1, 10))
                assert server().cut(name_of(url)) > 0
                cut = time.monotonic()
                late += [told.recovered(cut, WITHIN, node.url) for node in nodes]
        kept("connections cut", ledger, nodes, told, late)


@pytest.mark.parametrize("arrives", [False, True], ids=["before it arrives", "before its answer"])
def test_connections_are_cut_right_at_commit(tmp_path: Path, arrives: bool) -> None:
    """Where the COMMIT had arrived, the node finds out: not even its client notices."""
    ledger = Ledger()
    link = AtCommit(("127.0.0.1", server().port), arrives=arrives, chance=0.1)
    with fresh_database() as url, standing(tmp_path, ("--database", through(link, url)), 2) as nodes:
        link.armed = True
        with load(ledger, nodes) as told:
            while link.cuts < AT_COMMIT:
                told.await_changes(5)
            link.armed = False
            late = [told.recovered(time.monotonic(), WITHIN)]
        kept(f"cut at COMMIT, {'after' if arrives else 'before'} it arrived", ledger, nodes, told, late)
        assert not (arrives and told.unanswered)
    link.close()


# -- two nodes that say the opposite


class Said(NamedTuple):
    """``date``: the DeletionDate of the answer. ``code`` is "" for a success."""

    operation: str
    request_id: str
    code: str
    date: Any


_Standing = tuple[str, Any]
_PENDING: Final = "PendingDeletion"


def _after(state: _Standing, said: Said) -> _Standing | None:
    """The state after a call, by AWS's table of key states; None if it could not have been answered so then."""
    pending = state[0] == _PENDING
    if said.code:
        return state if said.code == "KMSInvalidStateException" and pending is (said.operation != CANCEL) else None
    if said.operation == CANCEL:
        return ("Disabled", None) if pending else None
    if pending:
        return None
    return (_PENDING, said.date) if said.operation == SCHEDULE else ("Enabled", None)


def _ends(one: list[Said], other: list[Said]) -> set[_Standing]:
    """The states in which the key may be after both, in any order that keeps each one's."""
    reached: dict[tuple[int, int], set[_Standing]] = {(0, 0): {("Enabled", None)}}
    for i in range(len(one) + 1):
        for j in range(len(other) + 1):
            states = reached.setdefault((i, j), set())
            for before, said in (((i - 1, j), one[i - 1 : i]), ((i, j - 1), other[j - 1 : j])):
                found = [_after(state, said[0]) for state in reached.get(before, ())]
                states.update(state for state in found if state is not None)
    return reached[len(one), len(other)]


def test_two_nodes_schedule_and_cancel_one_deletion_at_once(tmp_path: Path) -> None:
    """What all answers say happened in some order, and the key is as that order leaves it; so says the audit log."""
    with fresh_database() as url, standing(tmp_path, ("--database", url), 2) as nodes:
        kms = [clients(node.url, nodes[0].root).kms("us-east-1") for node in nodes]
        keys = [kms[0].create_key()["KeyMetadata"]["KeyId"] for _ in range(ARGUED)]
        together = threading.Barrier(2)
        answers: list[list[list[Said]]] = [[], []]

        def argue(number: int) -> None:
            dice = random.Random(number)
            for key_id in keys:
                together.wait(60)
                said = [_say(kms[number], dice, key_id) for _ in range(SAID)]
                answers[number].append(said)

        threads = [threading.Thread(target=argue, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert list(map(len, answers)) == [ARGUED, ARGUED]
        time.sleep(1)  # within which each node knows what the other has answered
        records = [record for node in nodes for record in audit_records(node.data)]
        told = {record["requestID"]: (record["eventName"], record.get("errorCode", "")) for record in records}
        assert len(told) == len(records)
        won = refused = 0
        for key_id, one, other in zip(keys, *answers, strict=True):
            for client in kms:
                described = client.describe_key(KeyId=key_id)["KeyMetadata"]
                assert (described["KeyState"], described.get("DeletionDate")) in _ends(one, other), (one, other)
            for said in (*one, *other):
                assert told[said.request_id] == (said.operation, said.code)
                won, refused = won + (not said.code), refused + bool(said.code)
        assert min(won, refused) > ARGUED
        print(f"\nscheduled and cancelled at once: {won} calls succeeded, {refused} were refused, of {ARGUED} keys")


def _say(kms: Any, dice: random.Random, key_id: str) -> Said:
    ask: Callable[..., Any]
    operation, ask, members = dice.choice((
        (SCHEDULE, kms.schedule_key_deletion, {"PendingWindowInDays": dice.randint(7, 30)}),
        (CANCEL, kms.cancel_key_deletion, {}),
        (ENABLE, kms.enable_key, {}),
    ))  # fmt: skip
    try:
        answer = ask(KeyId=key_id, **members)
    except ClientError as error:
        answer = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    return Said(operation, answer["ResponseMetadata"]["RequestId"], code, answer.get("DeletionDate"))
