# SPDX-License-Identifier: Apache-2.0
"""Makes a backup of a database, while servers work on it or not: one snapshot, read row by row into the file.

It is recorded before anything is read. It changes nothing, makes no writer wait, and mends nothing: what was tampered
with is carried along, and said.
"""

import os
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from keyquorum.app import Opened, open_data
from keyquorum.audit import commands
from keyquorum.audit.trail import Trail
from keyquorum.backup import frames, rows, trail
from keyquorum.backup.checking import Damage, Proof
from keyquorum.backup.container import BackupError, Header, Sealed, Writer, created
from keyquorum.backup.opening import ROLE
from keyquorum.clock import Clock
from keyquorum.config import Settings
from keyquorum.custody.passphrase import PassphraseSeal
from keyquorum.journal import Journal
from keyquorum.layout import DataDirectory
from keyquorum.store import migrate, schema, sealed
from keyquorum.store.engine import generation_of


class Created(NamedTuple):
    """``counts``: rows by table. ``digest`` is of everything in it."""

    header: Header
    counts: dict[str, int]
    digest: str
    damage: Damage


def create(settings: Settings, path: Path, passphrase: bytes | None = None, *, with_audit: bool = False) -> Created:
    """Back up into a new file; under the seal in use and the recovery seal, or under a passphrase alone. Raises
    BackupError, SealError, SchemaError, AuditError, KMSError or OSError; there is no file then."""
    opened = open_data(settings, create=False)
    try:
        now = Clock().now()
        with created(path) as file:
            with opened.database.read() as connection:
                header = _header(connection, opened, passphrase, now)
            _record(settings, opened, header)
            writer = Writer(file, header, opened.root)
            result = _write(settings, opened, header, writer, with_audit=with_audit)
            writer.finish()
        return result  # the file has its name
    finally:
        opened.database.close()


def _header(connection: sa.Connection, opened: Opened, passphrase: bytes | None, now: float) -> Header:
    in_use, recovery, remembered = (
        (sealed.read(connection, sealed.IN_USE), sealed.read(connection, sealed.RECOVERY), None)
        if passphrase is None
        else (None, None, opened.root.seal_by(PassphraseSeal(passphrase), ROLE))
    )
    return Header(
        id=os.urandom(16).hex(),
        created_at=now,
        program=version("keyquorum"),
        schema=schema.REVISIONS[-1],
        database=connection.dialect.name,
        seal=Sealed.of(in_use),
        recovery=Sealed.of(recovery),
        passphrase=Sealed.of(remembered),
    )


def _require_own_schema(connection: sa.Connection) -> None:
    """Of a newer schema this program would leave out what it does not know. Raises BackupError."""
    found = migrate.revision(connection)
    if found is None or found.number != schema.REVISIONS[-1]:
        raise BackupError("the database has the schema of a newer keyquorum: back it up with that")


def _record(settings: Settings, opened: Opened, header: Header) -> None:
    assert settings.data is not None
    protection = "seal" if header.passphrase is None else "passphrase"
    details = {"backupId": header.id, "protection": protection}
    made = commands.entry("CreateBackup", settings, header.created_at, details, read_only=True)
    audit = Trail(
        DataDirectory(settings.data).audit,
        opened.signer,
        sync=True,
        rotate_size=settings.audit_rotate_size,
        copies=(),
    )
    try:
        journal = Journal(opened.database, opened.store.outbox, audit.log)
        journal.recover()
        journal.write([made.record])
        audit.state()
    finally:
        audit.close()


def _write(settings: Settings, opened: Opened, header: Header, writer: Writer, *, with_audit: bool) -> Created:
    out, proof = frames.Out(writer.write), Proof(opened.root)
    counts: dict[str, int] = {}
    with opened.database.read(patient=True) as connection:
        _require_own_schema(connection)
        generation = generation_of(connection)
        for table in rows.TABLES:
            names = rows.columns(table)
            out.put(frames.Table(str(table.name), names))
            counts[table.name] = 0
            for values in rows.stored(connection, table):
                proof.see(table, values)
                fitted = rows.fitted(table, values)
                if fitted is not None:
                    out.put(frames.Row([fitted[name] for name in names]))
                    counts[table.name] += 1
    assert settings.data is not None
    directory = DataDirectory(settings.data).audit
    out.put(frames.Stated(trail.last_checkpoint(directory)))
    if with_audit:
        for taken in trail.taken(directory):
            out.put(frames.File(taken.name, taken.size))
            for piece in taken.pieces():
                out.put(frames.Data(piece))
    return Created(header, counts, out.end(counts, generation), proof.damage)
