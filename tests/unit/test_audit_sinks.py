# SPDX-License-Identifier: Apache-2.0
"""Copies of records: who gets them, in what form, and that nobody waits for whoever is slow."""

import json
import logging
import os
import re
import socket
import threading
from pathlib import Path

import pytest
from audit_lines import made
from audit_logs import SIGNER

from keyquorum.audit import chain, sinks, syslog
from keyquorum.audit.checkpoints import Checkpoints
from keyquorum.audit.log import AuditError, AuditLog
from keyquorum.audit.sinks import Sink
from keyquorum.audit.trail import Trail


def lines(*event_ids: str) -> list[bytes]:
    return chain.follow(chain.begin(chain.ORIGIN), [made(event_id) for event_id in event_ids])[0]


class Slow:
    """Takes nothing until it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.taken: list[tuple[int, bytes]] = []

    def send(self, number: int, line: bytes) -> None:
        self.go.wait(30)
        self.taken.append((number, line))

    def close(self) -> None:
        pass


class Broken:
    """Fails so many times first."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.taken: list[bytes] = []

    def send(self, _number: int, line: bytes) -> None:
        if self.times:
            self.times -= 1
            raise ConnectionRefusedError("nobody is there")
        self.taken.append(line)

    def close(self) -> None:
        pass


def test_a_file_gets_records_and_checkpoints_as_they_are(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    trail = Trail(tmp_path / "audit", SIGNER, sync=False, rotate_size=1 << 20, copies=(f"file:{copy}",))
    trail.log.write([made("a"), made("b")])
    trail.state()
    trail.close()
    assert copy.read_bytes() == b"".join(
        (tmp_path / "audit" / name).read_bytes() for name in ("0.jsonl", "checkpoints.jsonl")
    )
    assert copy.stat().st_mode & 0o777 == 0o600


def test_what_could_not_be_written_is_not_copied(tmp_path: Path) -> None:
    log = AuditLog(os.open("/dev/full", os.O_WRONLY), 0, path=None)
    slow = Slow()
    sink = Sink("slow", slow)
    log.sinks = (sink,)
    with pytest.raises(OSError):
        log.write([made("a")])
    slow.go.set()
    sink.close()
    log.close()
    assert slow.taken == []


def test_nobody_waits_for_a_slow_sink_and_what_is_dropped_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow()
    sink = Sink("slow", slow, most=3)
    sent = lines(*map(str, range(10)))
    sink.offer(sent)
    assert sink.dropped == 7
    slow.go.set()
    with caplog.at_level(logging.WARNING):
        sink.close()
    assert [number for number, _ in slow.taken] == [1, 2, 3]
    assert "7 lines dropped so far" in caplog.text


def test_numbers_go_on_over_what_was_dropped() -> None:
    slow = Slow()
    sink = Sink("slow", slow, most=2)
    sink.offer(lines("a", "b", "c"))
    slow.go.set()
    while len(slow.taken) < 2:
        pass
    sink.offer(lines("d"))
    sink.close()
    assert [number for number, _ in slow.taken] == [1, 2, 4]


def test_a_sink_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_RETRY", 0.01)
    broken = Broken(3)
    sink = Sink("broken", broken)
    sent = lines("a", "b")
    sink.offer(sent)
    while len(broken.taken) < 2:
        pass
    sink.close()
    assert broken.taken == sent
    assert caplog.text.count("nobody is there") == 1


def test_the_end_does_not_wait_for_a_sink_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_LAST_MOMENTS", 0.05)
    slow = Slow()
    sink = Sink("slow", slow)
    sink.offer(lines("a", "b"))
    sink.close()
    assert sink.dropped == 2
    sink.offer(lines("c"))
    assert sink.dropped == 3
    slow.go.set()


SYSLOG = re.compile(rb'<110>1 (\S+) (\S+) keyquorum (\d+) (\S+) \[meta sequenceId="(\d+)"\] (\{.*\})')


def test_the_form_of_a_syslog_message() -> None:
    """RFC 5424, section 6."""
    [line] = lines("a")
    found = SYSLOG.fullmatch(syslog.message(7, line, "host"))
    assert found is not None
    time, host, pid, name, number, text = found.groups()
    assert (time, host, int(pid), name, number) == (b"2026-01-01T00:00:00Z", b"host", os.getpid(), b"Encrypt", b"7")
    assert text == line.rstrip(b"\n")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("GenerateDataKeyPairWithoutPlaintext", b"GenerateDataKeyPairWithoutPlaint"),
        ("a b", b"a"),
        ("", b"-"),
    ],
)
def test_a_message_id_is_32_printable_characters_at_most(name: str, shown: bytes) -> None:
    line = chain.follow(chain.begin(chain.ORIGIN), [made("a", event_name=name)])[0][0]
    found = SYSLOG.fullmatch(syslog.message(1, line, "host"))
    assert found is not None
    assert found[4] == shown


def test_a_checkpoint_as_a_message(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path)
    log.write([made("a")])
    Checkpoints(tmp_path, SIGNER).make(log, 1_767_225_600.0)
    log.close()
    found = SYSLOG.fullmatch(syslog.message(1, (tmp_path / "checkpoints.jsonl").read_bytes(), "host"))
    assert found is not None
    assert (found[1], found[4]) == (b"2026-01-01T00:00:00Z", b"checkpoint")


def test_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        sink = sinks.parse(f"syslog:udp://127.0.0.1:{receiver.getsockname()[1]}")
        long = made("b", request_parameters={"policy": "x" * 30_000})
        sink.offer(chain.follow(chain.begin(chain.ORIGIN), [made("a"), long])[0])
        assert SYSLOG.fullmatch(receiver.recv(65_536))
        assert len(receiver.recv(65_536)) == syslog.LONGEST_DATAGRAM
        sink.close()


def test_over_tcp_and_over_a_connection_that_breaks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sink = sinks.parse(f"syslog:tcp://127.0.0.1:{listener.getsockname()[1]}")
        sink.offer(lines("a", "b"))
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            for event_id in ("a", "b"):
                length = int(b"".join(iter(lambda: stream.read(1), b" ")))
                found = SYSLOG.fullmatch(stream.read(length))
                assert found is not None
                assert json.loads(found[6])["eventID"] == event_id
        sink.close()


def test_over_a_local_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log"))
        receiver.settimeout(10)
        sink = sinks.parse(f"syslog:unix:{tmp_path / 'log'}")
        sink.offer(lines("a"))
        assert SYSLOG.fullmatch(receiver.recv(65_536))
        sink.close()


@pytest.mark.parametrize(
    "text", ["", "nowhere", "file:", "syslog:", "syslog:udp://", "syslog:http://host", "syslog:unix:"]
)
def test_a_sink_that_is_none(text: str) -> None:
    with pytest.raises(AuditError, match="--audit-sink"):
        sinks.parse(text)
