# SPDX-License-Identifier: Apache-2.0
"""Seals where nodes share a PostgreSQL: each kind made, opened by two nodes, rotated, exchanged and recovered, with a
record of each change in the audit log of the node where it was made; and nodes that start with what opens nothing."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from inprocess import InProcess
from postgres import fresh_database
from seals import KINDS, Places, Shown, changed, opening, standing
from servers import Program, RefusedToStart

from keyquorum.admin import seals
from keyquorum.app import Service, open_data
from keyquorum.config import Settings
from keyquorum.custody.seal import SealError

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("seals")]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    with standing(tmp_path_factory) as places:
        yield places


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_database() as found:
        yield found


@contextmanager
def serving(settings: Settings) -> Iterator[Any]:
    """A client of a node in this process."""
    service = Service(settings)
    service.start()
    try:
        inside = InProcess(service)
        yield inside.client("kms", **inside.root(settings.account))
    finally:
        service.stop()


def changes_of_seals(data: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for path in data.glob("audit/?.jsonl") for line in path.read_text().splitlines()]
    found = [record for record in records if record["eventName"].endswith("Seal")]
    found.sort(key=lambda record: (record["eventTime"], record["additionalEventData"]["milliseconds"]))
    return [{"is": record["eventName"], **record["serviceEventDetails"]} for record in found]


@pytest.mark.parametrize(("kind", "next_kind"), list(zip(KINDS, KINDS[1:] + KINDS[:1], strict=True)))
def test_the_life_of_a_seal_on_two_nodes(kind: str, next_kind: str, places: Places, url: str, tmp_path: Path) -> None:
    one, two = (tmp_path / name / "data" for name in ("one", "two"))
    for data in (one, two):
        data.mkdir(parents=True, mode=0o700)

    def wanted(data: Path, to: str, **more: Any) -> seals.Wanted:
        made = places.wanted(data, to, **more)
        return made._replace(settings=changed(made.settings, database=url))

    def opened(data: Path, by: str, shown: Shown, *, second: bool = False) -> Settings:
        if by == "file" and data == two:
            shutil.copy(one / "seal.key", two)
        return changed(opening(places, data, by, shown, second=second), database=url)

    shown = Shown()
    seals.init(wanted(one, kind, recovery=(2, 3)), shown)
    recovery = shown.shares["recovery"]
    with serving(opened(one, kind, shown)) as here, serving(opened(two, kind, shown)) as there:
        key_id = here.create_key()["KeyMetadata"]["KeyId"]
        blob = there.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
        before, shown = shown, Shown()
        seals.reseal(opened(one, kind, before), wanted(one, kind, second=True), shown)
        assert here.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"  # who runs has the root key
    if kind in ("passphrase", "environment", "kms", "shamir"):
        with pytest.raises(SealError):
            open_data(opened(two, kind, before), create=False)
    with serving(opened(two, kind, shown, second=True)) as there:
        assert there.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    moved = Shown()
    seals.reseal(opened(two, kind, shown, second=True), wanted(two, next_kind), moved)
    if next_kind == "file":
        shutil.copy(two / "seal.key", one)
    opens = opened(one, next_kind, moved)
    open_data(opens, create=False).database.close()
    lost = changed(places.settings(one, "environment", second=True, shares=recovery[1:]), database=url)
    seals.recover(lost, wanted(one, "environment", second=True), Shown())
    with serving(changed(places.settings(one, "environment", second=True), database=url)) as here:
        assert here.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    with pytest.raises(SealError, match=r"the configuration has --seal|does not open"):
        open_data(opens, create=False)
    split = {"threshold": 2, "shares": 3}
    assert changes_of_seals(one) == [
        {
            "is": "InitializeSeal",
            "seal": kind,
            **(split if kind == "shamir" else {}),
            "recoveryThreshold": 2,
            "recoveryShares": 3,
        },
        {"is": "RotateSeal", "seal": kind, "sealBefore": kind, **(split if kind == "shamir" else {})},
        {"is": "RecoverSeal", "seal": "environment", "sealBefore": next_kind},
    ]
    assert changes_of_seals(two) == [
        {"is": "MigrateSeal", "seal": next_kind, "sealBefore": kind, **(split if next_kind == "shamir" else {})}
    ]


def test_of_nodes_that_start_on_an_empty_database_one_makes_the_key(url: str, tmp_path: Path) -> None:
    """All at once: who comes second is told what to do, and makes no key of its own that opens nothing."""
    nodes = [tmp_path / name for name in ("one", "two")]

    def start(node: Path) -> Program | str:
        node.mkdir()
        try:
            return Program(node, "--data", str(node / "data"), "--database", url)
        except RefusedToStart as refusal:
            return str(refusal)

    with ThreadPoolExecutor(2) as threads:
        started = list(threads.map(start, nodes))
    [refusal] = [each for each in started if isinstance(each, str)]
    [server] = [each for each in started if isinstance(each, Program)]
    alone, other = (nodes[started.index(each)] for each in (refusal, server))
    assert f"copy that node's seal.key to {alone / 'data' / 'seal.key'}, or seal the root key there by" in refusal
    assert "Traceback" not in refusal
    assert list((alone / "data").glob("*seal.key*")) == []
    with pytest.raises(SealError, match="there is a root key already"):
        seals.init(seals.Wanted(Settings(data=alone / "data", database=url), "file"), Shown())
    assert list((alone / "data").glob("*seal.key*")) == []
    shutil.copy(other / "data" / "seal.key", alone / "data")
    Program(alone, "--data", str(alone / "data"), "--database", url).stop()
    server.stop()


def test_a_node_with_another_key_file_is_told_which_one_it_needs(url: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
    seals.init(seals.Wanted(Settings(data=tmp_path / "one", database=url), "file"), Shown())
    (tmp_path / "two" / "seal.key").write_bytes(bytes(32))
    (tmp_path / "two" / "seal.key").chmod(0o600)
    settings = Settings(data=tmp_path / "two", database=url)
    with pytest.raises(SealError, match=r"does not open the root key .* copy that node's seal\.key to"):
        open_data(settings, create=False)
    (tmp_path / "two" / "seal.key").unlink()
    with pytest.raises(SealError, match=r"cannot be read: .* copy that node's seal\.key to"):
        open_data(settings, create=True)
    assert not (tmp_path / "two" / "seal.key").exists()
