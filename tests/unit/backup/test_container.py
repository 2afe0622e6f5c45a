# SPDX-License-Identifier: Apache-2.0
"""The file of a backup: nothing of it can be changed, moved, left out or exchanged without being noticed."""

import io
import itertools
import os
from pathlib import Path

import msgspec
import pytest

from keyquorum.backup.container import FORMAT, BackupError, Header, Reader, Writer, created
from keyquorum.crypto.stream import CHUNK, SEALED_CHUNK, Sealer
from keyquorum.custody.root import RootKey

ROOT = RootKey(bytes(range(32)))
HEADER = Header(id="ab" * 16, created_at=1.0, program="1", schema="0003", database="sqlite")
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5)


def written(payload: bytes, header: Header = HEADER, root: RootKey = ROOT) -> bytes:
    file = io.BytesIO()
    writer = Writer(file, header, root)
    for start in range(0, len(payload), 10_000):
        writer.write(payload[start : start + 10_000])
    writer.finish()
    return file.getvalue()


def read(data: bytes, root: RootKey = ROOT) -> bytes:
    return b"".join(Reader(io.BytesIO(data)).payload(root))


def chunks(data: bytes) -> tuple[bytes, list[bytes]]:
    """What comes before the first chunk, and the chunks."""
    start = 22 + int.from_bytes(data[18:22], "big")
    return data[:start], [data[at : at + SEALED_CHUNK] for at in range(start, len(data), SEALED_CHUNK)]


@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_read(size: int) -> None:
    payload = os.urandom(size)
    assert read(written(payload)) == payload


@pytest.mark.parametrize("size", SIZES)
def test_a_file_that_was_cut_off_anywhere_is_refused(size: int) -> None:
    data = written(bytes(size))
    before, parts = chunks(data)
    at_chunks = {len(before) + n * SEALED_CHUNK + d for n in range(len(parts) + 1) for d in (-17, -1, 0, 1, 17)}
    for length in sorted({0, 1, 15, 16, 21, 22, len(before) - 1, *at_chunks}):
        if 0 <= length < len(data):
            with pytest.raises(BackupError):
                read(data[:length])


def test_no_bit_of_it_can_be_changed() -> None:
    data = written(b"payload")
    for at, bit in itertools.product(range(len(data)), range(8)):
        changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        with pytest.raises(BackupError):
            read(changed)


def test_chunks_keep_their_places() -> None:
    before, parts = chunks(written(os.urandom(4 * CHUNK - 1)))
    other = chunks(written(os.urandom(4 * CHUNK - 1), msgspec.structs.replace(HEADER, id="cd" * 16)))[1]
    attacks = {
        "swapped": [parts[1], parts[0], *parts[2:]],
        "repeated": [parts[0], parts[0], *parts[1:]],
        "left out": [parts[0], *parts[2:]],
        "the last one first": [parts[3], *parts[:3]],
        "the last one twice": [*parts, parts[3]],
        "one of another backup": [parts[0], other[1], *parts[2:]],
        "all of another backup": other,
        "more after the end": [*parts, b"x"],
    }
    for attack in attacks.values():
        with pytest.raises(BackupError):
            read(before + b"".join(attack))


def test_another_root_key_reads_nothing() -> None:
    with pytest.raises(BackupError):
        read(written(b"payload"), RootKey(bytes(32)))


def test_a_newer_format_is_refused_by_name() -> None:
    data = written(b"payload")
    newer = data[:16] + (FORMAT + 1).to_bytes(2, "big") + data[18:]
    with pytest.raises(BackupError, match=f"has format {FORMAT + 1}"):
        Reader(io.BytesIO(newer))


def test_a_header_that_claims_to_be_long_is_not_read() -> None:
    data = written(b"")
    with pytest.raises(BackupError, match="header is damaged"):
        Reader(io.BytesIO(data[:18] + b"\xff\xff\xff\xff" + data[22:]))


def test_only_the_last_chunk_may_be_short() -> None:
    with pytest.raises(ValueError, match="length"):
        Sealer(bytes(32), b"").seal(b"short", last=False)


def test_the_file_is_there_when_it_is_whole_and_only_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    with created(path) as file:
        file.write(b"x")
        assert not path.exists()
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["backup"]
    with pytest.raises(BackupError, match="there already"), created(path):
        pass
    with pytest.raises(ZeroDivisionError), created(tmp_path / "another") as file:
        file.write(bytes([1 // 0]))
    assert os.listdir(tmp_path) == ["backup"]
