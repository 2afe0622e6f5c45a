# SPDX-License-Identifier: Apache-2.0
"""Puts a backup into an empty data directory and an empty database, of whichever kind.

The whole file is checked first. Then everything is written in one transaction, and the record of the restore with it:
what was interrupted has left an empty database behind. It refuses to add to what is there.
"""

from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from keyquorum.app import open_data, open_database
from keyquorum.audit import commands
from keyquorum.audit.chain import hash_of
from keyquorum.audit.checkpoints import parse
from keyquorum.audit.record import time_of
from keyquorum.audit.signing import LABEL, Signer, Verifier
from keyquorum.audit.trail import Trail
from keyquorum.backup import frames, rows, trail
from keyquorum.backup.checking import Checked, check, require_known, row_of, table_of
from keyquorum.backup.container import BackupError, Reader
from keyquorum.backup.opening import open_root
from keyquorum.clock import Clock
from keyquorum.config import Settings
from keyquorum.custody import kinds
from keyquorum.custody.root import RootKey
from keyquorum.errors import IntegrityError
from keyquorum.journal import Journal
from keyquorum.layout import DataDirectory
from keyquorum.store import migrate, schema, sealed
from keyquorum.store.engine import Database, Transaction
from keyquorum.store.outbox import Outbox
from keyquorum.store.rowmac import RowMAC

#: Rows of one statement.
_AT_ONCE: Final = 500
_MAC: Final = "mac"
_OUTBOX: Final = schema.audit_outbox
_MATERIALS: Final = schema.key_materials


class Options(NamedTuple):
    """How the backup is opened. ``recovery``: by the recovery seal."""

    passphrase: bytes | None = None
    recovery: bool = False


def verify(settings: Settings, path: Path, options: Options) -> Checked:
    """Read a backup to its end. Raises BackupError, SealError, IntegrityError or OSError."""
    with path.open("rb") as file:
        reader = Reader(file)
        require_known(reader.header)
        return check(reader, open_root(reader.header, settings, options.passphrase, recovery=options.recovery))


def restore(settings: Settings, path: Path, options: Options) -> Checked:
    """Raises BackupError, SealError, SchemaError, AuditError, IntegrityError, KMSError or OSError; nothing is there
    then that was not before."""
    assert settings.data is not None
    directory = DataDirectory(settings.data)
    with path.open("rb") as file:
        reader = Reader(file)
        require_known(reader.header)
        root = open_root(reader.header, settings, options.passphrase, recovery=options.recovery)
        found = check(reader, root)
        _require_no_audit(directory.audit)
        with closing(open_database(settings, create=True)) as database:
            _require_empty(database)
            anew = options.passphrase is not None or options.recovery
            made = kinds.make(settings, _kind(settings), None, anew=False) if anew else None
            migrate.upgrade(database)
            placing = trail.Placing(directory.audit) if found.files else None
            try:
                if placing is not None:
                    _extract(reader, root, placing)
                with database.write() as txn:
                    _Restore(settings, root, found).run(reader, txn)
                    if made is not None:
                        sealed.put(txn.connection, sealed.IN_USE, root.seal_by(made.seal), Clock().now())
                    if placing is not None:
                        placing.place()
            except BaseException:
                if placing is not None:
                    placing.discard()
                raise
            if made is not None:
                made.settle()
    _begin_log(settings, root)
    return found


def _kind(settings: Settings) -> str:
    if len(settings.seal) != 1:
        raise BackupError("say with one --seal what the root key is to be sealed by from now on")
    return next(iter(settings.seal))


def _require_no_audit(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()):
        raise BackupError(f"{directory} holds audit files: a backup is restored into an empty data directory only")


def _require_empty(database: Database) -> None:
    with database.read() as connection:
        there = sa.inspect(connection).get_table_names()
        if there and "alembic_version" not in there:
            raise BackupError("the database holds tables that are not keyquorum's")
        _require_no_rows(connection, set(there))


def _require_no_rows(connection: sa.Connection, there: set[str]) -> None:
    for table in (*rows.TABLES, schema.wrapped_materials):
        if table.name in there and connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
            raise BackupError("the database is not empty: a backup is restored into an empty one only")


def _extract(reader: Reader, root: RootKey, placing: trail.Placing) -> None:
    """The audit files, durable, before there is a transaction that would wait for them."""
    for frame in frames.read(reader.payload(root)):
        if isinstance(frame, frames.File):
            placing.begin(frame.name)
        elif isinstance(frame, frames.Data):
            placing.write(frame.data)
    placing.finish()


class _Restore:
    """One transaction that puts everything in its place."""

    def __init__(self, settings: Settings, root: RootKey, found: Checked) -> None:
        self._settings = settings
        self._root = root
        self._mac = RowMAC(root.derive("row mac"))
        self._found = found

    def run(self, reader: Reader, txn: Transaction) -> None:
        """Raises BackupError, also where another process was first."""
        connection = txn.connection
        _require_no_rows(connection, {table.name for table in schema.metadata.sorted_tables})
        txn.touch_everything()
        # Whatever numbers this host has given out, and whatever the backup's had: the next one is larger.
        connection.execute(sa.update(schema.generation).values(value=self._found.generation))
        table, waiting = None, list[dict[str, Any]]()
        names: list[str] = []
        for frame in frames.read(reader.payload(self._root)):
            if isinstance(frame, frames.Row) and table is not None:
                waiting.append(row_of(table, names, frame.values))
                if len(waiting) < _AT_ONCE:
                    continue
            if table is not None and waiting:
                self._insert(connection, table, waiting)
                waiting = []
            if isinstance(frame, frames.Table):
                table, names = table_of(frame.name, frame.columns), frame.columns
            if isinstance(frame, frames.Stated):
                break  # what comes after it is none of the database's
        self._follow_on(connection)
        Outbox(self._mac).add(txn, 0, 0, *self._record())

    def _insert(self, connection: sa.Connection, table: sa.Table, values: list[dict[str, Any]]) -> None:
        if table is _MATERIALS:
            forms = [(row["wrapped_row"], row.pop(rows.WRAPPED)) for row in values]
            wrapped = [{"row": row, "wrapped": form} for row, form in forms if row is not None and form is not None]
            if wrapped:
                connection.execute(sa.insert(schema.wrapped_materials), wrapped)
        elif table is _OUTBOX:
            values = [self._of_no_node(row) for row in values]
        connection.execute(sa.insert(table), values)

    def _of_no_node(self, row: dict[str, Any]) -> dict[str, Any]:
        """A record that waits, for whoever opens the audit files first: the node that it waited for is not here."""
        try:
            proven = self._mac.check(_OUTBOX, row, "row")
        except IntegrityError:
            return row  # and so it is not written, and the log says why
        proven["node"] = None
        return {**self._mac.seal(_OUTBOX, {k: v for k, v in proven.items() if k != "row"}), "row": row["row"]}

    def _follow_on(self, connection: sa.Connection) -> None:
        """Numbers that the database gives out go on after those that were restored. SQLite sees to that itself."""
        if connection.dialect.name != "postgresql":
            return
        for table in (schema.wrapped_materials, schema.erasures, _OUTBOX):
            sequence = sa.func.pg_get_serial_sequence(table.name, "row")
            largest = sa.select(sa.func.coalesce(sa.func.max(table.c.row), 0) + 1).scalar_subquery()
            connection.execute(sa.select(sa.func.setval(sequence, largest, False)))

    def _record(self) -> commands.Entry:
        header, found = self._found.header, self._found
        statement = Verifier(Signer(self._root.derive(LABEL)).public_key()).verified(found.checkpoint)
        checkpoint = None if statement is None else parse(statement)
        details: dict[str, Any] = {
            "backupId": header.id,
            "backupTime": time_of(header.created_at)[0],
            "backupDigest": found.digest,
            "backupDatabase": header.database,
            "withAuditLog": bool(found.files),
        }
        if checkpoint is not None:
            details["lastCheckpoint"] = checkpoint.number
            details["lastCheckpointHash"] = hash_of(found.checkpoint)
        return commands.entry("RestoreBackup", self._settings, Clock().now(), details, read_only=False)


def _begin_log(settings: Settings, root: RootKey) -> None:
    """What waits in the outbox goes into the audit log, the record of the restore at its end."""
    assert settings.data is not None
    directory = DataDirectory(settings.data).audit
    opened = open_data(settings, create=False, root=root)
    with closing(opened.database):
        audit = Trail(directory, opened.signer, sync=True, rotate_size=settings.audit_rotate_size, copies=())
        try:
            journal = Journal(opened.database, opened.store.outbox, audit.log)
            journal.recover_others(directory, sync=True)
            journal.recover()
            audit.state()
        finally:
            audit.close()
