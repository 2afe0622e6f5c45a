# SPDX-License-Identifier: Apache-2.0
"""The audit file: one owner, whole lines, and nothing left of a batch that could not be written."""

import errno
import json
import logging
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keyquorum.audit import AuditLog

LINE = b'{"eventID":"%d"}'


def lines(directory: Path, writer: int = 0) -> list[bytes]:
    return (directory / f"{writer}.jsonl").read_bytes().splitlines()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel itself cuts writes short at this size, and refuses the next, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_each_owner_has_a_file_of_its_own(tmp_path: Path) -> None:
    directory = tmp_path / "audit"
    logs = [AuditLog.open(directory, sync=False) for _ in range(3)]
    assert [log.writer for log in logs] == [0, 1, 2]
    for log in logs:
        log.write([LINE % log.writer])
    assert [lines(directory, n) for n in range(3)] == [[LINE % n] for n in range(3)]
    assert AuditLog.own(directory, 1, sync=False) is None
    logs[1].close()
    again = AuditLog.open(directory, sync=False)
    assert again.writer == 1
    again.write([LINE % 9])
    assert lines(directory, 1) == [LINE % 1, LINE % 9]
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "0.jsonl").stat().st_mode & 0o777 == 0o600
    for log in (logs[0], logs[2], again):
        log.close()


@pytest.mark.parametrize("sync", [False, True])
def test_a_batch_is_whole_lines(tmp_path: Path, sync: bool) -> None:
    log = AuditLog.open(tmp_path, sync=sync)
    log.write([LINE % 1, LINE % 2])
    log.write([LINE % 3])
    assert (tmp_path / "0.jsonl").read_bytes() == b"".join(LINE % n + b"\n" for n in (1, 2, 3))
    assert log.position == (tmp_path / "0.jsonl").stat().st_size
    log.close()


@pytest.mark.parametrize("length", [1, 15, 70_000, 200_000])
@pytest.mark.parametrize("whole", [0, 3])
def test_a_line_that_was_not_finished_is_cut_off(
    tmp_path: Path, length: int, whole: int, caplog: pytest.LogCaptureFixture
) -> None:
    before = b"".join(LINE % n + b"\n" for n in range(whole))
    (tmp_path / "0.jsonl").write_bytes(before + b"x" * length)
    with caplog.at_level(logging.WARNING):
        log = AuditLog.open(tmp_path, sync=False)
    assert f"cut {length} bytes" in caplog.text
    assert (tmp_path / "0.jsonl").read_bytes() == before
    log.write([LINE % 7])
    assert lines(tmp_path) == [*before.splitlines(), LINE % 7]
    log.close()


def test_a_file_of_whole_lines_is_left_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = (LINE % 1 + b"\n") * 10_000
    (tmp_path / "0.jsonl").write_bytes(content)
    log = AuditLog.open(tmp_path, sync=False)
    assert ((tmp_path / "0.jsonl").read_bytes(), log.position, caplog.text) == (content, len(content), "")
    log.close()


def test_a_batch_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, sync=False)
    log.write([LINE % 1])
    with largest_file(log.position + 20):
        with pytest.raises(OSError, match="only 20 of"):
            log.write([LINE % n for n in range(2, 9)])
        assert lines(tmp_path) == [LINE % 1]
        log.write([LINE % 3])  # what fits is still written
        with pytest.raises(OSError, match="only 4 of"):
            log.write([LINE % 4])
        assert lines(tmp_path) == [LINE % 1, LINE % 3]
    log.close()


def test_a_batch_that_is_refused_outright_leaves_nothing(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, sync=False)
    log.write([LINE % 1])
    with largest_file(log.position):
        with pytest.raises(OSError) as caught:
            log.write([LINE % 2])
        assert caught.value.errno == errno.EFBIG
    log.write([LINE % 3])
    assert lines(tmp_path) == [LINE % 1, LINE % 3]
    log.close()


def test_a_device_without_room(tmp_path: Path) -> None:
    log = AuditLog(os.open("/dev/full", os.O_WRONLY), 0, sync=False, sized=False)
    with pytest.raises(OSError) as caught:
        log.write([LINE % 1])
    assert caught.value.errno == errno.ENOSPC
    log.close()


def test_records_are_found_after_a_position_only(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, sync=False)
    log.write([b'{"eventID":"aaaa"}'])
    position = log.position
    log.write([b'{"eventID":"bbbb"}', b'{"eventID":"cccc"}'])
    assert log.contains_after(position, ["aaaa", "cccc", "dddd"]) == {"cccc"}
    assert log.contains_after(0, ["aaaa", "cccc", "dddd"]) == {"aaaa", "cccc"}
    log.write([b'{"eventID":"dddd"}'])
    assert [json.loads(line)["eventID"] for line in lines(tmp_path)] == ["aaaa", "bbbb", "cccc", "dddd"]
    log.close()


def test_a_log_that_keeps_nothing_takes_everything() -> None:
    log = AuditLog.discarding()
    log.write([LINE % 1] * 1000)
    assert log.position == 0
    log.close()


def test_nothing_is_written_after_the_close(tmp_path: Path) -> None:
    """The number of its descriptor is another file's by then; it would be the database's."""
    log = AuditLog.open(tmp_path, sync=False)
    log.write([LINE % 1])
    fd = log._fd
    log.close()
    others = [os.open(tmp_path / f"other-{n}", os.O_RDWR | os.O_CREAT) for n in range(8)]
    assert fd in others
    with pytest.raises(OSError, match="is closed"):
        log.write([LINE % 2])
    with pytest.raises(OSError):
        log.contains_after(0, ["1"])
    for other in others:
        os.close(other)
    assert [(tmp_path / f"other-{n}").read_bytes() for n in range(8)] == [b""] * 8
    assert lines(tmp_path) == [LINE % 1]


def test_a_close_waits_for_a_write_and_the_next_is_refused(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, sync=True)
    written: list[int] = []
    refused: list[OSError] = []
    begun = threading.Event()

    def keep_writing() -> None:
        for number in range(100_000):
            try:
                log.write([LINE % number])
            except OSError as error:
                refused.append(error)
                return
            written.append(number)
            begun.set()

    threads = [threading.Thread(target=keep_writing) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    log.close()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 3
    assert sorted(lines(tmp_path)) == sorted(LINE % number for number in written)
