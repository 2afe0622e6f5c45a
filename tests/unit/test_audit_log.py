# SPDX-License-Identifier: Apache-2.0
"""The audit file: one owner, whole lines, and nothing left of a batch that could not be written."""

import errno
import logging
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from audit_lines import event_ids, made, written

from keyquorum.audit import chain
from keyquorum.audit.log import AuditLog

MIB = 1024 * 1024


def records(*numbers: int) -> list[bytes]:
    return [made(str(number)) for number in numbers]


def ids(directory: Path, file: str = "0.jsonl") -> list[int]:
    return [int(event_id) for event_id in event_ids(directory, file)]


def linked(directory: Path, *files: str) -> bool:
    """Whether each line holds the hash of the one before it, across the files."""
    before = chain.ORIGIN
    for file in files:
        for line in (directory / file).read_bytes().splitlines(keepends=True):
            link = chain.link_of(line)
            if link is None or link.previous != before:
                return False
            before = chain.hash_of(line)
    return True


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
    logs = [AuditLog.open(directory) for _ in range(3)]
    assert [log.writer for log in logs] == [0, 1, 2]
    for log in logs:
        log.write(records(log.writer))
    assert [ids(directory, f"{n}.jsonl") for n in range(3)] == [[0], [1], [2]]
    assert AuditLog.own(directory, 1) is None
    logs[1].close()
    again = AuditLog.open(directory)
    assert again.writer == 1
    again.write(records(9))
    assert ids(directory, "1.jsonl") == [1, 9]
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "0.jsonl").stat().st_mode & 0o777 == 0o600
    for log in (logs[0], logs[2], again):
        log.close()


@pytest.mark.parametrize("sync", [False, True])
def test_a_batch_is_whole_lines(tmp_path: Path, sync: bool) -> None:
    log = AuditLog.open(tmp_path, sync=sync)
    log.write(records(1, 2))
    log.write(records(3))
    assert ids(tmp_path) == [1, 2, 3]
    assert log.position == (tmp_path / "0.jsonl").stat().st_size
    log.close()


def test_each_line_names_its_chain_its_number_and_the_line_before(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path)
    log.write(records(1, 2))
    log.write(records(3))
    log.close()
    again = AuditLog.open(tmp_path)
    again.write(records(4))
    again.close()
    data = [record["additionalEventData"] for record in written(tmp_path)]
    assert [d["sequence"] for d in data] == [1, 2, 3, 1]
    assert data[0]["chain"] == data[2]["chain"] != data[3]["chain"]
    assert [d["milliseconds"] for d in data] == [0] * 4
    assert linked(tmp_path, "0.jsonl")


@pytest.mark.parametrize("length", [1, 15, 70_000, 200_000])
@pytest.mark.parametrize("whole", [0, 3])
def test_a_line_that_was_not_finished_is_cut_off(
    tmp_path: Path, length: int, whole: int, caplog: pytest.LogCaptureFixture
) -> None:
    log = AuditLog.open(tmp_path)
    log.write(records(*range(whole)))
    log.close()
    with (tmp_path / "0.jsonl").open("ab") as file:
        file.write(b"x" * length)
    with caplog.at_level(logging.WARNING):
        log = AuditLog.open(tmp_path)
    assert f"cut {length} bytes" in caplog.text
    log.write(records(7))
    assert ids(tmp_path) == [*range(whole), 7]
    assert linked(tmp_path, "0.jsonl")
    log.close()


def test_a_file_of_whole_lines_is_left_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog.open(tmp_path)
    log.write(records(*range(1000)))
    log.close()
    content = (tmp_path / "0.jsonl").read_bytes()
    log = AuditLog.open(tmp_path)
    assert ((tmp_path / "0.jsonl").read_bytes(), log.position, caplog.text) == (content, len(content), "")
    log.close()


def test_a_batch_that_does_not_fit_leaves_nothing_and_the_chain_goes_on(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path)
    log.write(records(1))
    size = log.position
    with largest_file(log.position + size + 20):
        with pytest.raises(OSError, match=f"only {size + 20} of"):
            log.write(records(*range(2, 9)))
        assert ids(tmp_path) == [1]
        log.write(records(3))  # what fits is still written
        with pytest.raises(OSError, match="only"):
            log.write(records(4))
        assert ids(tmp_path) == [1, 3]
    log.write(records(5))
    assert [record["additionalEventData"]["sequence"] for record in written(tmp_path)] == [1, 2, 3]
    assert linked(tmp_path, "0.jsonl")
    log.close()


def test_a_batch_that_is_refused_outright_leaves_nothing(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path)
    log.write(records(1))
    with largest_file(log.position):
        with pytest.raises(OSError) as caught:
            log.write(records(2))
        assert caught.value.errno == errno.EFBIG
    log.write(records(3))
    assert ids(tmp_path) == [1, 3]
    assert linked(tmp_path, "0.jsonl")
    log.close()


def test_a_device_without_room() -> None:
    log = AuditLog(os.open("/dev/full", os.O_WRONLY), 0, path=None)
    head = log.head
    with pytest.raises(OSError) as caught:
        log.write(records(1))
    assert (caught.value.errno, log.head) == (errno.ENOSPC, head)
    log.close()


def test_records_are_found_after_a_position_only(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path)
    log.write([made("aaaa")])
    position = log.position
    log.write([made("bbbb"), made("cccc", request_parameters={"encryptionContext": {"eventID": "dddd"}})])
    assert log.find(position, ["aaaa", "cccc", "dddd"], 0) == {"cccc"}
    assert log.find(0, ["aaaa", "cccc", "dddd"], 0) == {"aaaa", "cccc"}
    log.write([made("dddd")])
    assert event_ids(tmp_path) == ["aaaa", "bbbb", "cccc", "dddd"]
    log.close()


def test_a_log_that_keeps_nothing_takes_everything() -> None:
    log = AuditLog.discarding()
    log.write(records(*range(1000)))
    log.reserve()
    assert log.position == 0
    log.close()


def test_nothing_is_written_after_the_close(tmp_path: Path) -> None:
    """The number of its descriptor is another file's by then; it would be the database's."""
    log = AuditLog.open(tmp_path)
    log.write(records(1))
    fd = log._fd
    log.close()
    others = [os.open(tmp_path / f"other-{n}", os.O_RDWR | os.O_CREAT) for n in range(8)]
    assert fd in others
    for write in (log.write, log.write_reserved):
        with pytest.raises(OSError, match="is closed"):
            write(records(2))
    with pytest.raises(OSError, match="is closed"):
        log.reserve()
    with pytest.raises(OSError):
        log.find(0, ["1"], 0)
    for other in others:
        os.close(other)
    assert [(tmp_path / f"other-{n}").read_bytes() for n in range(8)] == [b""] * 8
    assert ids(tmp_path) == [1]


def test_a_close_waits_for_a_write_and_the_next_is_refused(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, sync=True)
    done: list[int] = []
    refused: list[OSError] = []
    begun = threading.Event()

    def keep_writing() -> None:
        for number in range(100_000):
            try:
                log.write(records(number))
            except OSError as error:
                refused.append(error)
                return
            done.append(number)
            begun.set()

    threads = [threading.Thread(target=keep_writing) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    log.close()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 3
    assert sorted(ids(tmp_path)) == sorted(done)
    assert linked(tmp_path, "0.jsonl")


def test_a_file_that_has_its_size_is_put_aside_and_the_chain_goes_on(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, rotate_size=4000)
    for number in range(28):
        log.write(records(number))
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["0.1.jsonl", "0.2.jsonl", "0.3.jsonl", "0.4.jsonl", "0.jsonl"]
    in_order = [*files[:-1], "0.jsonl"]
    assert [number for file in in_order for number in ids(tmp_path, file)] == list(range(28))
    assert all(4000 <= (tmp_path / file).stat().st_size < 6000 for file in files[:-1])
    assert linked(tmp_path, *in_order)
    again = AuditLog.open(tmp_path, rotate_size=4000)
    assert again.writer == 0
    again.write(records(28))
    again.close()
    assert linked(tmp_path, *in_order)


def test_a_file_that_was_put_aside_while_another_process_opened_it_is_not_owned(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, rotate_size=1)
    for number in range(3):
        log.write(records(number))
        assert AuditLog.own(tmp_path, 0) is None
        log.durable_head()  # closes what was put aside
        assert AuditLog.own(tmp_path, 0) is None
    log.close()


def test_records_are_found_in_a_file_that_was_put_aside_lately(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path, rotate_size=1)
    log.write([made("aaaa")])
    log.write([made("bbbb")])
    os.utime(tmp_path / "0.1.jsonl", (1000, 1000))
    assert log.find(10**6, ["aaaa", "bbbb"], 1001) == {"bbbb"}
    assert log.find(10**6, ["aaaa", "bbbb"], 1000) == {"aaaa", "bbbb"}
    log.close()


def test_a_process_that_died_between_the_two_names_of_a_file(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path)
    log.write(records(1))
    log.close()
    os.link(tmp_path / "0.jsonl", tmp_path / "0.1.jsonl")
    (tmp_path / ".0.jsonl.draft").touch()
    log = AuditLog.open(tmp_path, rotate_size=1)
    assert not (tmp_path / "0.1.jsonl").exists()
    log.write(records(2))
    assert (ids(tmp_path, "0.1.jsonl"), ids(tmp_path)) == ([1], [2])
    assert linked(tmp_path, "0.1.jsonl", "0.jsonl")
    log.close()


def test_a_file_that_cannot_be_put_aside_grows_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog.open(tmp_path, rotate_size=1000)
    (tmp_path / ".0.jsonl.draft").mkdir()
    log.write(records(*range(3)))
    log.write(records(3))
    assert ids(tmp_path) == [0, 1, 2, 3]
    assert "cannot be put aside and grows on" in caplog.text
    log.close()


def test_room_is_taken_ahead_and_given_back(tmp_path: Path) -> None:
    log = AuditLog.open(tmp_path)
    log.reserve()
    stat = (tmp_path / "0.jsonl").stat()
    log.close()
    if stat.st_blocks * 512 < 4 * MIB:
        pytest.skip("this file system takes no room ahead")
    assert stat.st_size == 0
    assert (tmp_path / "0.jsonl").stat().st_blocks == 0
