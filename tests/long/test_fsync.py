# SPDX-License-Identifier: Apache-2.0
"""The system calls of a server, because a killed process proves nothing about the loss of power: what an answer
promises was flushed to the disk before the answer was written to the socket."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from processes import Serve, command_line, processes
from wire_signing import Signer

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]

WRITES = ("write", "writev", "sendto", "sendmsg", "pwrite64", "pwritev")
READS = ("read", "readv", "recvfrom", "recvmsg")
FLUSHES = ("fsync", "fdatasync")
_LINE = re.compile(r"(\d+) +[\d:.]+ (?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_UNFINISHED = "<unfinished ...>"


class Event(NamedTuple):
    """A system call: the lines of the trace at which it began and ended, and how strace shows it."""

    began: int
    ended: int
    call: str
    shown: str


def parse(trace: str) -> list[Event]:
    """The calls that ended, in that order. Lines are in the order of what happened, across all threads."""
    events, unfinished = [], dict[str, tuple[int, str]]()
    for at, line in enumerate(trace.splitlines()):
        found = _LINE.match(line)
        if found is None:
            continue
        thread, resumed, call, rest = found.groups()
        if rest.endswith(_UNFINISHED):
            unfinished[thread] = (at, rest.removesuffix(_UNFINISHED))
        elif resumed is None:
            events.append(Event(at, at, call, rest))
        else:
            began, first = unfinished.pop(thread, (-1, ""))
            events.append(Event(began, at, resumed, first + rest))
    return events


class Traced:
    """What a server did for one request: everything between reading it and writing its answer."""

    def __init__(self, events: list[Event], operation: str) -> None:
        request = first(events, READS, rf'<TCP.*"POST .*TrentService\.{operation}\b')
        answer = first(events, WRITES, r'<TCP.*"HTTP/1\.1 200 ', lambda event: event.began > request.ended)
        self.between = [event for event in events if event.began > request.ended and event.ended < answer.began]

    def last_write(self, file: str) -> Event:
        return first(list(reversed(self.between)), WRITES, file)

    def flush_after(self, write: Event, file: str) -> Event:
        return first(self.between, FLUSHES, file + r".*\) += 0$", lambda event: event.began > write.ended)


def first(
    events: list[Event], calls: tuple[str, ...], pattern: str, holds: Callable[[Event], bool] = lambda _: True
) -> Event:
    for event in events:
        if event.call in calls and re.search(pattern, event.shown) and holds(event):
            return event
    shown = "\n".join(f"{event.call}({event.shown[:150]}" for event in events)
    raise AssertionError(f"no {'|'.join(calls)} of {pattern} in:\n{shown}")


def trace(serve: Serve, requests: list[tuple[str, dict[str, Any]]], *options: str) -> list[Traced]:
    """Start a server, attach to all its processes, send the requests one after the other."""
    if shutil.which("strace") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("strace is not installed")
    server = serve(*options)
    created = server.signed("CreateKey", {}).json["KeyMetadata"]["KeyId"]
    pids = [pid for pid in processes(server) if "resource_tracker" not in command_line(pid)]
    calls = ",".join((*READS, *WRITES, *FLUSHES))
    output = server.directory / "trace"
    attached = [argument for pid in pids for argument in ("-p", str(pid))]
    strace = subprocess.Popen(
        ["strace", "-f", "-yy", "-tt", "-s", "300", "-e", f"trace={calls}", "-o", str(output), *attached],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert strace.stderr is not None
    for _ in pids:
        line = strace.stderr.readline()
        if "ttached" not in line or "ould not" in line or "ermitted" in line:
            strace.wait(10)
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"strace may not attach: {line.strip()}")
    signer, wire = Signer(server, server.root), server.connect()
    for operation, body in requests:
        asked = {"KeyId": created, **body} if operation != "CreateKey" else body
        assert wire.exchange(signer.request(operation, json.dumps(asked).encode()).wire()).status == 200
    wire.close()
    strace.send_signal(signal.SIGINT)
    strace.communicate(timeout=20)
    server.stop()
    events = parse(output.read_text(errors="replace"))
    return [Traced(events, operation) for operation, _ in requests]


WAL = r"keyquorum\.db-wal>"
AUDIT = r"/audit/\d+\.jsonl>"
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("CreateKey", {"Description": "to be kept"}),
    ("DisableKey", {}),
    ("ScheduleKeyDeletion", {"PendingWindowInDays": 7}),
    ("CancelKeyDeletion", {}),
]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_change_is_on_the_disk_before_its_answer(serve: Serve, workers: str) -> None:
    for traced in trace(serve, CHANGES, "--workers", workers):
        flushed = traced.flush_after(traced.last_write(WAL), WAL)
        assert traced.last_write(AUDIT).began > flushed.ended


def test_audit_records_are_written_before_their_answers(serve: Serve) -> None:
    [traced] = trace(serve, [("Encrypt", {"Plaintext": "YQ=="})])
    assert '\\"Encrypt\\"' in traced.last_write(AUDIT).shown


def test_with_audit_sync_they_are_on_the_disk(serve: Serve) -> None:
    requests: list[tuple[str, dict[str, Any]]] = [
        ("Encrypt", {"Plaintext": "YQ=="}),
        ("GenerateRandom", {"NumberOfBytes": 1}),
    ]
    for traced in trace(serve, requests, "--audit-sync"):
        traced.flush_after(traced.last_write(AUDIT), AUDIT)
