# SPDX-License-Identifier: Apache-2.0
"""No file holds what was destroyed, whole or a part of it, whatever came and went before.

SQLite moves rows when pages split and merge, and leaves the old bytes where they were; the table of wrapped materials
must never give it cause to.
"""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from stored import ACCOUNT, MAC, NOW, REGION, database, grant, key, keyring

from keyquorum.model import Alias, Key, KeyMaterial, ResourcePolicy
from keyquorum.store.engine import Transaction
from keyquorum.store.store import Store

pytestmark = pytest.mark.slow

#: A symmetric or HMAC key, an RSA-2048 key, an RSA-4096 key; and more than a page of the database holds.
SIZES = (32, 1_200, 2_400, 5_000)
FRAGMENT, STEP = 24, 8


class Interrupted(Exception):
    """Ends a transaction that has done its work and does not commit."""


class Lives:
    """Keys in a data directory that two processes change, and every wrapped material that was destroyed there."""

    def __init__(self, directory: Path, stores: list[Store], seed: int) -> None:
        self.directory = directory
        self.chance = random.Random(seed)
        self.ring = keyring()
        self.stores = stores
        self.living: set[str] = set()
        self.destroyed: list[bytes] = []
        self._made = 0
        self._doomed: list[bytes] = []

    # -- what can happen to keys, each in a transaction

    def material(self, key_id: str) -> KeyMaterial:
        secret = self.chance.randbytes(self.chance.choice(SIZES))
        return self.ring.wrap_material(key_id, REGION, secret, NOW + self.chance.random())

    def create(self, store: Store, txn: Transaction) -> None:
        self._made += 1
        key_id = f"{self.chance.getrandbits(64):016x}-{self._made}"
        materials = [self.material(key_id) for _ in range(self.chance.choice((1, 1, 1, 2, 4)))]
        made = key(key_id, materials[0], description="d" * self.chance.choice((0, 40, 900, 5_000)))
        store.keys.insert(txn, made, materials, ResourcePolicy("p" * self.chance.choice((10, 1_000, 9_000)), {}))
        if self.chance.random() < 0.3:
            store.aliases.insert(txn, Alias(ACCOUNT, REGION, f"alias/{key_id}", key_id, NOW, NOW))
            store.grants.insert(txn, grant(f"{self.chance.getrandbits(64):x}{self._made}", key_id))
        self.living.add(key_id)

    def one(self, store: Store, txn: Transaction) -> tuple[Key, list[KeyMaterial]]:
        record = store.keys.load(txn.connection, self.chance.choice(sorted(self.living)), REGION)
        assert record is not None
        return record.key, list(record.materials.values())

    def doom(self, *materials: KeyMaterial) -> None:
        self._doomed += [material.wrapped for material in materials if material.wrapped is not None]

    def delete(self, store: Store, txn: Transaction) -> None:
        found, materials = self.one(store, txn)
        store.keys.delete(txn, found, NOW)
        self.living.remove(found.key_id)
        self.doom(*materials)

    def rotate(self, store: Store, txn: Transaction) -> None:
        found, _ = self.one(store, txn)
        store.keys.materials.insert(txn, self.material(found.key_id))

    def expire(self, store: Store, txn: Transaction) -> None:
        """Or the deletion of imported material: it is known for ever, and is there no more."""
        found, materials = self.one(store, txn)
        lost = self.chance.choice(materials)
        store.keys.materials.update(txn, lost, wrapped=None, valid_to=None)
        store.keys.update(txn, found, description="d" * self.chance.choice((0, 300)))
        self.doom(lost)

    def import_(self, store: Store, txn: Transaction) -> None:
        """Material that was lost, or is there and is wrapped anew."""
        found, materials = self.one(store, txn)
        old = self.chance.choice(materials)
        store.keys.materials.update(txn, old, wrapped=self.material(found.key_id).wrapped, valid_to=NOW)
        self.doom(old)

    def forget(self, store: Store, txn: Transaction) -> None:
        """Material that waits for a rotation is destroyed with its name."""
        found, materials = self.one(store, txn)
        others = [material for material in materials if material.material_id != found.material_id]
        if others:
            lost = self.chance.choice(others)
            store.keys.materials.destroy(txn, lost)
            self.doom(lost)

    # -- and how

    def step(self) -> None:
        """One transaction of one to twenty such changes, in either process; some do not commit."""
        store, before = self.chance.choice(self.stores), set(self.living)
        self._doomed = []
        try:
            with store.database.write() as txn:
                for _ in range(self.chance.choice((1, 1, 1, 5, 20))):
                    chosen = self.create
                    if len(self.living) > 5:
                        kinds = (self.create, self.delete, self.rotate, self.expire, self.import_, self.forget)
                        (chosen,) = self.chance.choices(kinds, (6, 5, 2, 2, 3, 1))
                    chosen(store, txn)
                if self.chance.random() < 0.1:
                    raise Interrupted
        except Interrupted:
            self.living = before
        else:
            self.destroyed += self._doomed

    def erase(self) -> None:
        assert self.chance.choice(self.stores).database.erase()

    # -- what is found

    def present(self) -> dict[str, list[bytes]]:
        with self.stores[0].database.read() as connection:
            records = [self.stores[1].keys.load(connection, key_id, REGION) for key_id in sorted(self.living)]
        return {
            record.key.key_id: [m.wrapped for m in record.materials.values() if m.wrapped is not None]
            for record in records
            if record is not None
        }

    def remains(self, secrets: list[bytes]) -> list[str]:
        """Every file that holds a fragment of one of the secrets, once for each that it holds."""
        fragments = {secret[i : i + FRAGMENT] for secret in secrets for i in range(0, len(secret) - FRAGMENT + 1, STEP)}
        found = []
        for path in self.directory.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            here = range(len(content) - FRAGMENT + 1)
            found += [path.name for i in here if content[i : i + FRAGMENT] in fragments]
            assert not any(secret in content for secret in secrets) or found
        return found


@pytest.fixture
def lives(tmp_path: Path, seed: int) -> Iterator[Lives]:
    with ExitStack() as stack:
        stores = [Store(stack.enter_context(database(tmp_path)), MAC) for _ in range(2)]
        yield Lives(tmp_path, stores, seed)


def live(lives: Lives, rounds: int, steps: int) -> None:
    for _ in range(rounds):
        for _ in range(steps):
            lives.step()
        lives.erase()
        assert lives.remains(lives.destroyed) == []
    present = lives.present()
    assert set(present) == lives.living
    whole = (lives.directory / "keyquorum.db").read_bytes()
    kept = [secret for secrets in present.values() for secret in secrets if len(secret) < 4_000]
    assert kept
    assert all(secret in whole for secret in kept)  # so the search does find what is there
    assert len(lives.destroyed) > rounds * steps / 2


@pytest.mark.parametrize("seed", range(2))
def test_nothing_of_what_was_destroyed_remains(lives: Lives) -> None:
    live(lives, rounds=3, steps=30)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [10, *[pytest.param(seed, marks=pytest.mark.long) for seed in (11, 12, 13)]])
def test_nothing_of_what_was_destroyed_remains_after_many_rounds(lives: Lives) -> None:
    live(lives, rounds=5, steps=60)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 103))
def test_nothing_of_what_was_destroyed_remains_after_a_long_life(lives: Lives) -> None:
    live(lives, rounds=8, steps=120)


@pytest.mark.parametrize("seed", [7])
def test_what_was_destroyed_together_leaves_nothing_either(lives: Lives) -> None:
    """Every key, in one transaction: the emptiest that the tables can be."""
    for _ in range(25):
        lives.step()
    lives._doomed = []
    with lives.stores[0].database.write() as txn:
        while lives.living:
            lives.delete(lives.stores[0], txn)
    lives.destroyed += lives._doomed
    assert lives.remains(lives._doomed)  # until the log is cut
    lives.erase()
    assert lives.remains(lives.destroyed) == []
    for _ in range(25):
        lives.step()
    lives.erase()
    assert lives.remains(lives.destroyed) == []


@pytest.mark.parametrize("seed", [8])
def test_the_place_of_what_was_destroyed_is_zeros_of_the_same_length(lives: Lives) -> None:
    for _ in range(20):
        lives.step()
    table = sa.table("wrapped_materials", sa.column("row"), sa.column("wrapped"))
    query = sa.select(table.c.row, table.c.wrapped).order_by(table.c.row)
    with lives.stores[0].database.read() as connection:
        before = [tuple(row) for row in connection.execute(query)]
    for _ in range(40):
        lives.step()
    with lives.stores[0].database.read() as connection:
        after = [tuple(row) for row in connection.execute(query)]
    gone = 0
    for (row, was), (same_row, now) in zip(before, after, strict=False):
        assert row == same_row
        assert now in (was, bytes(len(was)))
        gone += now != was
    assert len(after) > len(before)
    assert gone > 10
