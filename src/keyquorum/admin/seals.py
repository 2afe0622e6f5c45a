# SPDX-License-Identifier: Apache-2.0
"""``keyquorum seal``: which seal holds the root key, and sealing the same root key otherwise.

Servers may run meanwhile: they have the root key in memory, and it stays what it is. Whatever the new seal needs
exists, is durable, has been shown and has been tried before one transaction replaces the row; so a process that dies at
any moment leaves a root key that either the old seal opens or the new one does. The audit record is in the same
transaction. Nothing of the old seal is removed unless that is asked for, and then last.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from keyquorum import bootstrap
from keyquorum.admin.recorded import journal
from keyquorum.app import accepted, open_database, open_root
from keyquorum.audit import commands
from keyquorum.config import Settings
from keyquorum.custody import kinds, shamir
from keyquorum.custody.attended import open_by_hand
from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import FILE, IN_USE, RECOVERY, SealError, kind_of, shown
from keyquorum.model import SealedRoot
from keyquorum.store import migrate, sealed
from keyquorum.store.engine import Database

#: Shows new shares to whoever will distribute them: what they are for, and the shares. Raises OSError if it cannot.
Show = Callable[[str, tuple[str, ...]], None]
#: Threshold and shares.
Division = tuple[int, int] | None


class Wanted(NamedTuple):
    """The seal to come. ``settings``: where it finds what it needs."""

    settings: Settings
    kind: str
    division: Division = None
    recovery: Division = None
    remove_old: bool = False


class Status(NamedTuple):
    """Seconds since the epoch. ``parameters`` are the row's own text."""

    kind: str
    parameters: str | None
    sealed_at: float
    allowed: bool
    recovery: Division


def status(settings: Settings) -> Status | None:
    """None if there is no root key yet. Nothing is opened. Raises SealError, KMSError or OSError."""
    with _database(settings, create=False) as database:
        row = bootstrap.sealed_root(database)
        spare = bootstrap.sealed_root(database, sealed.RECOVERY)
    if row is None:
        return None
    kind = kind_of(row)
    recovery = None
    if spare is not None:
        split = shamir.split_of(spare)
        recovery = (split.threshold, split.shares)
    return Status(kind, row.parameters, row.created_at, kind in settings.seal, recovery)


def check(settings: Settings) -> None:
    """Open the root key as a start would. Raises SealError, IntegrityError, KMSError or OSError."""
    with _database(settings, create=False) as database:
        open_root(database, settings, create=False, attended=True)


def init(wanted: Wanted, show: Show) -> None:
    """Make a root key where there is none. Raises SealError, SchemaError, AuditError, KMSError or OSError."""
    settings = wanted.settings
    with _database(settings, create=True) as database:
        if bootstrap.has_root(database):
            raise SealError("there is a root key already: keyquorum seal migrate seals it otherwise")

        def make() -> kinds.Made:
            return kinds.make(settings, wanted.kind, wanted.division, anew=False)

        # A key file is made last of all: see ``put_root``.
        made = make() if wanted.kind != FILE else None
        spare = None if wanted.recovery is None else kinds.divided(*wanted.recovery)
        _show(show, made, spare)
        migrate.prepare(database)
        root, now = RootKey(RootKey.generate()), time.time()
        recovery = None if spare is None else spare.seal
        with journal(settings, database, root) as recorded:
            with database.write() as txn:
                if not bootstrap.put_root(txn, lambda: (made or make()).seal, now, root, recovery):
                    raise SealError("another process has made a root key meanwhile; shares that were shown are void")
                entry = recorded.enter(txn, *_record("InitializeSeal", wanted, now))
            recorded.publish(entry)


def reseal(settings: Settings, wanted: Wanted, show: Show) -> list[str]:
    """Seal the root key anew; sentences about what became of the old seal. Raises SealError, SchemaError,
    IntegrityError, AuditError, KMSError or OSError."""
    with _database(settings, create=False) as database:
        migrate.require_current(database)
        row = _row(database)
        kinds.finish(settings, row)
        root = open_root(database, settings, create=False, attended=True)
        name = "RotateSeal" if kind_of(row) == wanted.kind else "MigrateSeal"
        return _replace(name, database, root, row, settings, wanted, show)


def recover(settings: Settings, wanted: Wanted, show: Show) -> list[str]:
    """Open the root key with the recovery shares, since its seal is lost, and seal it anew. Raises as ``reseal``."""
    with _database(settings, create=False) as database:
        migrate.require_current(database)
        spare = bootstrap.sealed_root(database, sealed.RECOVERY)
        if spare is None:
            raise SealError("no recovery shares were ever made for this root key")
        shamir.split_of(spare)
        root = accepted(database, open_by_hand(settings, spare, RECOVERY))
        return _replace("RecoverSeal", database, root, _row(database), settings, wanted, show)


def _replace(
    name: str, database: Database, root: RootKey, row: SealedRoot, settings: Settings, wanted: Wanted, show: Show
) -> list[str]:
    made = kinds.make(wanted.settings, wanted.kind, wanted.division, anew=True)
    spare = None if wanted.recovery is None else kinds.divided(*wanted.recovery)
    new = root.seal_by(made.seal)
    if not root.is_opened_by(made.seal, new, IN_USE):
        raise SealError("the new seal does not give back what it sealed")
    new_spare = None if spare is None else root.seal_by(spare.seal, RECOVERY)
    _show(show, made, spare)
    with journal(settings, database, root) as recorded:
        with database.write() as txn:
            if sealed.read(txn.connection) != row:
                raise SealError("another process has changed the seal meanwhile; shares that were shown are void")
            now = time.time()
            sealed.put(txn.connection, sealed.IN_USE, new, now)
            if new_spare is not None:
                sealed.put(txn.connection, sealed.RECOVERY, new_spare, now)
            entry = recorded.enter(txn, *_record(name, wanted, now, row))
        recorded.publish(entry)
    retired = made.settle()
    return list(_put_away(settings, row, retired, wanted))


def _record(name: str, wanted: Wanted, now: float, row: SealedRoot | None = None) -> commands.Entry:
    """``row``: what there was before."""
    details: dict[str, Any] = {"seal": wanted.kind}
    if row is not None:
        details["sealBefore"] = kind_of(row)
    if wanted.division is not None:
        details["threshold"], details["shares"] = wanted.division
    if wanted.recovery is not None:
        details["recoveryThreshold"], details["recoveryShares"] = wanted.recovery
    if wanted.remove_old:
        details["removeOld"] = True
    return commands.entry(name, wanted.settings, now, details, read_only=False)


def _put_away(settings: Settings, row: SealedRoot, retired: Path | None, wanted: Wanted) -> Iterator[str]:
    remove = kinds.KINDS[kind_of(row)].remove
    if retired is not None:
        if wanted.remove_old:
            retired.unlink()
            yield f"removed the key that was, {retired}"
        else:
            yield f"the key that was is {retired}: backups up to now are sealed by it"
    elif wanted.remove_old and remove is not None:
        yield remove(settings, row)
    elif wanted.remove_old:
        yield f"what opened the {row.kind} seal is not keyquorum's to remove"


def _show(show: Show, made: kinds.Made | None, spare: kinds.Made | None) -> None:
    if made is not None and made.shares:
        show("the seal", made.shares)
    if spare is not None:
        show("recovery", spare.shares)


def _row(database: Database) -> SealedRoot:
    row = bootstrap.sealed_root(database)
    if row is None:
        raise SealError("the database has no root key yet")
    if kind_of(row) not in kinds.KINDS:
        raise SealError(f"the database says that the root key is sealed by {shown(row.kind)}, which is nothing")
    return row


@contextmanager
def _database(settings: Settings, *, create: bool) -> Iterator[Database]:
    database = open_database(settings, create=create)
    try:
        yield database
    finally:
        database.close()
