# SPDX-License-Identifier: Apache-2.0
"""Looking back through the audit files of several writers: everything once, from the newest, and nobody else's."""

import random
from pathlib import Path

import pytest
from audit_lines import made
from audit_logs import fill

from keyquorum.audit import lookup
from keyquorum.audit.log import AuditLog
from keyquorum.audit.lookup import Elsewhere, Found, Lookup, Wanted
from keyquorum.audit.reading import Query
from keyquorum.audit.recent import Recent

START = 1_767_225_600.0
ACCOUNT = "111122223333"
MUCH = 1 << 30
ALL = Wanted(ACCOUNT)


def ids(found: Found) -> list[str]:
    return [shown.event.event_id for shown in found.records]


def everything(log: Lookup, wanted: Wanted = ALL, most: int = 7, budget: int = MUCH) -> list[str]:
    """All pages, and how far each must have looked."""
    found = log.look(wanted, most, budget)
    told = ids(found)
    while found.rest is not None:
        found = log.look(wanted, most, budget, found.rest)
        told += ids(found)
    return told


@pytest.fixture(params=[2000, 1 << 30], ids=["rotated", "one file"])
def directory(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    fill(tmp_path / "audit", 200, rotate_size=request.param)
    return tmp_path / "audit"


NEWEST_FIRST = [f"event {number}" for number in reversed(range(200))]


@pytest.mark.parametrize("block", [64, 1000, 1 << 18])
@pytest.mark.parametrize("most", [1, 7, 500])
def test_pages_tell_everything_once_and_the_newest_first(
    directory: Path, monkeypatch: pytest.MonkeyPatch, block: int, most: int
) -> None:
    monkeypatch.setattr(lookup, "_BLOCK", block)
    assert everything(Lookup(directory), most=most) == NEWEST_FIRST


@pytest.mark.parametrize("budget", [1, 3000])
def test_a_look_reads_no_more_than_it_may_and_the_next_goes_on(directory: Path, budget: int) -> None:
    log = Lookup(directory)
    first = log.look(ALL, 1000, budget)
    assert len(first.records) <= budget // 500 + 1
    assert first.rest is not None
    assert everything(log, most=1000, budget=budget) == NEWEST_FIRST


def test_what_is_written_and_put_aside_between_two_looks_moves_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    log = AuditLog.open(directory, rotate_size=5000)
    log.write([made(f"event {number}", START + number) for number in range(20)])
    first = Lookup(directory).look(ALL, 5, MUCH)
    log.write([made(f"later {number}", START + 100 + number) for number in range(20)])
    log.write([made("last", START + 200)])
    assert log.rotations
    rest = Lookup(directory).look(ALL, 100, MUCH, first.rest)
    log.close()
    assert ids(first) + ids(rest) == [f"event {number}" for number in reversed(range(20))]
    assert rest.rest is None


def test_files_that_were_pruned_meanwhile_are_the_end(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    fill(directory, 40, rotate_size=2000, starts=1)
    first = Lookup(directory).look(ALL, 5, MUCH)
    for path in directory.glob("*.*.jsonl"):
        path.unlink()
    assert set(ids(Lookup(directory).look(ALL, 100, MUCH, first.rest))) <= set(NEWEST_FIRST[160:])


def test_places_of_another_directory_are_refused(directory: Path, tmp_path: Path) -> None:
    fill(tmp_path / "other", 20, rotate_size=MUCH)
    first = Lookup(tmp_path / "other").look(ALL, 5, MUCH)
    with pytest.raises(Elsewhere):
        Lookup(directory).look(ALL, 5, MUCH, first.rest)
    with pytest.raises(Elsewhere):
        Lookup(Recent()).look(ALL, 5, MUCH, first.rest)


@pytest.mark.parametrize("block", [64, 1 << 18])
def test_times_bound_what_is_found(directory: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(lookup, "_BLOCK", block)
    monkeypatch.setattr(lookup, "_SLACK", 2)
    log = Lookup(directory)
    for _ in range(20):
        first, last = sorted(random.choices(range(-5, 205), k=2))
        wanted = Wanted(ACCOUNT, since=START + first, until=START + last)
        assert everything(log, wanted) == [e for e in NEWEST_FIRST if first <= int(e[6:]) <= last]


def test_a_late_page_of_times_long_past_is_found_without_reading_what_came_after(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    log = AuditLog.open(directory)
    log.write([made(f"event {number}", START + number * 3600) for number in range(2000)])
    log.close()
    found = Lookup(directory).look(Wanted(ACCOUNT, until=START + 36_000), 3, 400 * 1024)
    assert ids(found) == ["event 10", "event 9", "event 8"]


def test_another_accounts_records_are_never_shown(tmp_path: Path) -> None:
    """Also where what a client sent looks like the member that tells whose a record is."""
    directory = tmp_path / "audit"
    log = AuditLog.open(directory)
    claims = {"encryptionContext": {"recipientAccountId": ACCOUNT, '","recipientAccountId":"': ACCOUNT}}
    log.write(
        [
            made("theirs", START, recipient_account_id="444455556666", request_parameters=claims, user_agent=ACCOUNT),
            made("ours", START + 1),
        ]
    )
    log.close()
    assert everything(Lookup(directory)) == ["ours"]
    assert everything(Lookup(directory), Wanted("444455556666")) == ["theirs"]
    for name, value in (("event_id", "theirs"), ("request_id", "request of theirs")):
        assert everything(Lookup(directory), Wanted(ACCOUNT, names={name: value})) == []


def test_what_is_looked_for(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    log = AuditLog.open(directory)
    log.write(
        [
            made("read", START),
            made("change", START + 1, read_only=False, event_name="CreateKey"),
            made("refused", START + 2, error_code="AccessDeniedException"),
        ]
    )
    log.close()
    alice = Query(principal="arn:aws:iam::111122223333:user/alice", operation="encrypt")
    asked = [
        (Wanted(ACCOUNT, writes=True), ["change"]),
        (Wanted(ACCOUNT, writes=False), ["refused", "read"]),
        (Wanted(ACCOUNT, Query(outcome="refused")), ["refused"]),
        (Wanted(ACCOUNT, alice), ["refused", "read"]),
        (Wanted(ACCOUNT, Query(key="alias/b")), []),
        (Wanted(ACCOUNT, but=frozenset({"Encrypt"})), ["change"]),
    ]
    assert [everything(Lookup(directory), wanted) for wanted, _ in asked] == [found for _, found in asked]


def test_what_is_counted_is_what_is_found(directory: Path) -> None:
    log = Lookup(directory)
    for wanted in (
        ALL,
        Wanted(ACCOUNT, since=START + 50, until=START + 149),
        Wanted(ACCOUNT, names={"event_id": "event 7"}),
    ):
        counted = log.count(wanted, 100, MUCH)
        found = log.look(wanted, 1000, MUCH).records
        assert counted.back_to == ""
        assert sum(counted.counts.values()) == len(found)
    assert {at: count for (at, _, _), count in log.count(ALL, 100, MUCH).counts.items()} == {
        START: 100,
        START + 100: 100,
    }
    assert log.count(Wanted("444455556666"), 100, MUCH).counts == {}


def test_what_is_not_counted_is_said_to_be_so(directory: Path) -> None:
    counted = Lookup(directory).count(ALL, 10, 60_000)
    assert 0 < sum(counted.counts.values()) < 200
    oldest = min(at for at, _, _ in counted.counts)
    whole = {kind: count for kind, count in Lookup(directory).count(ALL, 10, MUCH).counts.items() if kind[0] > oldest}
    assert {kind: count for kind, count in counted.counts.items() if kind[0] > oldest} == whole
    assert counted.back_to >= "2026-01-01T00:00:00Z"


def test_lines_that_are_no_records_and_one_that_is_being_written_are_passed_over(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    log = AuditLog.open(directory)
    log.write([made("one", START)])
    log.close()
    with (directory / "0.jsonl").open("ab") as file:
        file.write(b"\n{}\n[1]\n\xff\xfe\n" + b'"' + b"x" * 600_000 + b'"\n' + made("unfinished", START + 1))
    assert everything(Lookup(directory)) == ["one"]


def test_the_memory_of_a_server_that_keeps_nothing_is_bounded() -> None:
    recent = Recent(records=10, size=1 << 20)
    log = AuditLog.discarding()
    log.sinks = (recent,)
    look = Lookup(recent)
    log.write([made(f"event {number}", START + number) for number in range(8)])
    first = look.look(ALL, 3, MUCH)
    assert ids(first) == ["event 7", "event 6", "event 5"]
    log.write([made(f"later {number}", START + 10 + number) for number in range(6)])
    assert ids(look.look(ALL, 100, MUCH, first.rest)) == ["event 4"]
    assert sum(look.count(ALL, 60, MUCH).counts.values()) == 10
    assert len(everything(look)) == 10
    log.write([made("long", START + 20, user_agent="x" * (1 << 20))])
    assert everything(look) == []
    recent.clear()
    log.close()
