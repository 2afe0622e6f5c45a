# SPDX-License-Identifier: Apache-2.0
"""After a rotation of the keyring key: everything that is kept is wrapped under the newest one, a few rows at a time,
and the older ones are retired and destroyed.

How far it has come is in the rows, which name the keyring key that they are under, and nowhere else: a process that
dies leaves the rest to any other, and several may do the same at once. The write lock is held for one batch. A row that
was tampered with keeps its place, and keeps its keyring key from being retired.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from keyquorum.clock import Clock
from keyquorum.errors import IntegrityError, ValidationException
from keyquorum.keyring import Keyring
from keyquorum.model import Caller, key_name
from keyquorum.ops.keyring_keys import (
    DESTROY_KEYRING_KEY,
    KEPT_SECONDS,
    RETIRE_KEYRING_KEY,
    ROTATE_KEYRING_KEY,
    KeyringVersion,
)
from keyquorum.ops.operation import Operation
from keyquorum.pipeline import Pipeline
from keyquorum.store import roots
from keyquorum.store.engine import Transaction
from keyquorum.store.store import Store

_log = logging.getLogger(__name__)

#: Keys, or access keys, of one transaction.
_BATCH: Final = 50
#: Batches between which a server does what else is due.
_AT_ONCE: Final = 20
#: Seconds until what could not be re-wrapped is tried again.
_PATIENCE: Final = 3600.0
_FIRST: Final = ("", "")


class Rewrapping:
    """One process's way through what is kept. ``caller`` is whom the records name."""

    def __init__(self, store: Store, keyring: Keyring, pipeline: Pipeline, clock: Clock, caller: Caller) -> None:
        self._store = store
        self._keyring = keyring
        self._pipeline = pipeline
        self._clock = clock
        self._caller = caller
        self._version = 0
        self._begin(0)
        self._unerased = False

    def _begin(self, version: int) -> None:
        self._version = version
        self._key, self._access_key = _FIRST, ""
        self._refused = 0
        self._not_before = float("-inf")

    def rotate(self, *, anew: bool = False) -> int:
        """Make a new keyring key, unless an older one is still being replaced, or in any case; the version of the
        newest. Raises KMSError."""
        with self._store.database.read() as connection:
            *older, newest = roots.known_keyring_keys(connection)
        if not anew and any(key.retired_at is None for key in older):
            return newest.version
        version = newest.version + 1
        self._act(ROTATE_KEYRING_KEY, version)
        self._keyring.refresh()
        return version

    def left(self) -> int:
        """How many materials and access keys are under older keyring keys. Raises KMSError."""
        with self._store.database.read() as connection:
            *older, _ = roots.known_keyring_keys(connection)
            return sum(self._under(connection, key.version) for key in older if key.retired_at is None)

    def _under(self, connection: sa.Connection, version: int) -> int:
        store = self._store
        return store.keys.materials.count_under(connection, version) + store.access_keys.count_under(
            connection, version
        )

    def tick(self) -> None:
        """Go on for a moment, if there is anything to do. Raises KMSError."""
        with self._store.database.read() as connection:
            *older, _ = roots.known_keyring_keys(connection)
        if any(key.retired_at is None for key in older) and time.monotonic() >= self._not_before:
            for _ in range(_AT_ONCE):
                if not self.step():  # finished, or another process is at it
                    break
        steady = self._clock.is_steady()
        for key in older:
            if steady and key.retired_at is not None and key.retired_at + KEPT_SECONDS <= self._clock.now():
                self._unerased |= self._act(DESTROY_KEYRING_KEY, key.version)
                self._keyring.refresh()
        if self._unerased and self._store.database.erase():
            self._unerased = False

    def run(self, progress: Callable[[int], None]) -> int:
        """Go through everything at once. ``progress`` is told how many were re-wrapped each time. The number of keys
        and access keys that were not, because rows were tampered with; raises KMSError."""
        self._begin(0)
        while (done := self.step()) is not None:
            progress(done)
        return self._refused

    def step(self) -> int | None:
        """One batch: how many materials and access keys it re-wrapped, which is 0 if another process was first. At the
        end of everything, the retirement of what nothing is under any more, and None."""
        newest = self._newest()
        if newest != self._version:
            self._begin(newest)
        materials, access_keys = self._store.keys.materials, self._store.access_keys
        with self._store.database.read() as connection:
            keys = materials.before(connection, newest, self._key, _BATCH)
            others = [] if keys else access_keys.before(connection, newest, self._access_key, _BATCH)
        if keys:
            done = self._batch(newest, lambda txn: sum([self._key_done(txn, *place) for place in keys]))
            self._key = keys[-1]
        elif others:
            done = self._batch(newest, lambda txn: sum([self._access_key_done(txn, name) for name in others]))
            self._access_key = others[-1]
        else:
            self._retire(newest)
            return None
        return done

    def _batch(self, newest: int, action: Callable[[Transaction], int]) -> int:
        with self._store.database.write() as txn:
            if roots.newest_version(txn.connection) != newest:
                return 0  # rotated once more: the next step begins anew
            if self._keyring.version != newest:
                self._keyring.refresh()
            return action(txn)

    def _key_done(self, txn: Transaction, key_id: str, region: str) -> int:
        """How many of the key's materials were re-wrapped."""
        materials = self._store.keys.materials
        try:
            found = [
                (self._keyring.rewrap_material(material), place)
                for material, place in materials.placed(txn.connection, key_id, region)
                if material.keyring_version < self._version
            ]
        except IntegrityError as error:
            self._refuse(f"key {key_id} in {region}", error)
            return 0
        materials.rewrap(txn, found)
        # What is cached holds the old form, which will not open for ever.
        txn.touch(key_name(key_id, region))
        return len(found)

    def _access_key_done(self, txn: Transaction, access_key_id: str) -> int:
        access_keys = self._store.access_keys
        try:
            found = access_keys.load(txn.connection, access_key_id)
            if found is None or not 0 < found.keyring_version < self._version:
                return 0
            rewrapped = self._keyring.rewrap_access_key(found)
        except IntegrityError as error:
            self._refuse(f"access key {access_key_id}", error)
            return 0
        access_keys.rewrap(txn, found, rewrapped)
        return 1

    def _refuse(self, what: str, error: IntegrityError) -> None:
        self._refused += 1
        _log.error("%s is not re-wrapped, and its keyring key is kept: %s", what, error)

    def _retire(self, newest: int) -> None:
        with self._store.database.read() as connection:
            known = roots.known_keyring_keys(connection)
            unused = [
                key.version
                for key in known
                if key.version < newest and key.retired_at is None and not self._under(connection, key.version)
            ]
        for version in unused:
            self._unerased |= self._act(RETIRE_KEYRING_KEY, version)
        if self._refused:
            self._not_before = time.monotonic() + _PATIENCE
        self._key, self._access_key = _FIRST, ""

    def _newest(self) -> int:
        with self._store.database.read() as connection:
            return roots.newest_version(connection)

    def _act(self, operation: Operation, version: int) -> bool:
        try:
            self._pipeline.act(operation, KeyringVersion(version), self._caller)
        except ValidationException as error:
            _log.info("%s of keyring key %d: %s", operation.name, version, error.message)  # another process was first
            return False
        return True
