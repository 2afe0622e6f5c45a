# SPDX-License-Identifier: Apache-2.0
"""The seal key file and the root key behind it."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import RECOVERY, FileSeal, KeySeal, SealError, create_key_file, read_key_file
from keyquorum.errors import IntegrityError


def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "seal.key"
    previous = os.umask(0)
    try:
        create_key_file(path)
    finally:
        os.umask(previous)
    key = path.read_bytes()
    assert (len(key), path.stat().st_mode & 0o777) == (32, 0o600)
    create_key_file(path)
    assert path.read_bytes() == key
    assert [entry.name for entry in tmp_path.iterdir()] == ["seal.key"]


def test_one_of_several_that_make_it_at_once_is_first_and_the_others_keep_its_key(tmp_path: Path) -> None:
    """Threads stand for processes that have the same number, as in two containers on one volume."""
    for round_ in range(30):
        path = tmp_path / f"{round_}.key"

        def make(path: Path) -> bytes:
            create_key_file(path)
            return path.read_bytes()

        with ThreadPoolExecutor(4) as pool:
            keys = set(pool.map(make, [path] * 4))
        assert keys == {path.read_bytes()}
        assert len(path.read_bytes()) == 32


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_a_file_of_another_size_is_no_key(tmp_path: Path, size: int) -> None:
    path = tmp_path / "seal.key"
    path.write_bytes(b"k" * size)
    path.chmod(0o600)
    with pytest.raises(SealError, match="does not hold a 256-bit key"):
        read_key_file(path)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o610, 0o666, 0o601])
def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "seal.key"
    create_key_file(path)
    path.chmod(mode)
    with pytest.raises(SealError, match="mode must be 0600"):
        read_key_file(path)


def test_a_file_that_is_not_there_or_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(SealError, match="cannot be read"):
            read_key_file(path)


def test_a_file_that_only_its_owner_can_read_will_do(tmp_path: Path) -> None:
    path = tmp_path / "seal.key"
    create_key_file(path)
    path.chmod(0o400)
    root = RootKey.generate()
    assert read_key_file(path).open(read_key_file(path).seal(root)) == root


def test_a_sealed_root_key_opens_under_its_seal_alone_and_undamaged() -> None:
    seal, root = KeySeal(bytes(32)), RootKey.generate()
    row = seal.seal(root)
    sealed = row.sealed
    assert seal.open(row) == root
    assert root not in sealed
    assert seal.seal(root).sealed != sealed
    with pytest.raises(SealError):
        KeySeal(b"\1" + bytes(31)).open(row)
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(SealError) as caught:
            seal.open(row._replace(sealed=bytes(damaged)))
        assert root.hex() not in str(caught.value)
    for length in (0, 1, 23, 24, 39, len(sealed) - 1):
        with pytest.raises(SealError):
            seal.open(row._replace(sealed=sealed[:length]))


def test_what_a_row_says_of_itself_is_sealed_with_it() -> None:
    """Its kind, its parameters, and whether it is for use or for recovery."""
    seal, root = KeySeal(bytes(32)), RootKey.generate()
    row = seal.seal(root)
    for changed in (
        row._replace(parameters='{"a":1}'),
        row._replace(parameters=None),
        row._replace(kind=None, parameters=None),  # as a row was before there were kinds
        row._replace(kind="shamir"),
    ):
        with pytest.raises(SealError):
            seal.open(changed)
    with pytest.raises(SealError):
        seal.open(row, RECOVERY)
    with pytest.raises(SealError):
        seal.open(seal.seal(root, RECOVERY))
    assert seal.open(seal.seal(root, RECOVERY), RECOVERY) == root


def test_a_rotation_that_died_leaves_a_key_file_that_opens(tmp_path: Path) -> None:
    """The next key is beside the one in use from before the change to after it."""
    path = tmp_path / "seal.key"
    create_key_file(path)
    seal, root = FileSeal(path), RootKey.generate()
    before = seal.seal(root)
    create_key_file(seal.next)
    after = FileSeal(seal.next).seal(root)
    assert seal.open(before) == root
    assert seal.open(after) == root
    seal.next.unlink()
    with pytest.raises(SealError):
        seal.open(after)


def test_a_root_key_is_not_pickled_but_for_a_worker() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(RootKey(bytes(32)))


def test_each_purpose_has_a_key_of_its_own() -> None:
    root, other = RootKey(bytes(32)), RootKey(b"\1" + bytes(31))
    labels = ["row mac", "material id", "list markers", "wrap keyring keys", ""]
    derived = {key.derive(label) for key in (root, other) for label in labels}
    assert len(derived) == 2 * len(labels)
    assert {len(key) for key in derived} == {32}
    assert bytes(32) not in derived
    assert root.derive("row mac") == RootKey(bytes(32)).derive("row mac")


def test_a_keyring_key_opens_for_its_version_alone() -> None:
    root = RootKey(bytes(32))
    wrapped = root.wrap_keyring_key(1, b"k" * 32)
    assert root.unwrap_keyring_key(1, wrapped) == b"k" * 32
    for version, blob in [(2, wrapped), (0, wrapped), (1, wrapped[:-1]), (1, b""), (1, wrapped[:24])]:
        with pytest.raises(IntegrityError):
            root.unwrap_keyring_key(version, blob)
    with pytest.raises(IntegrityError):
        RootKey(b"\1" + bytes(31)).unwrap_keyring_key(1, wrapped)
