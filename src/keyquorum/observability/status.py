# SPDX-License-Identifier: Apache-2.0
"""What GetStatus answers: how this process and what it works with are, put together from what each part knows. No key,
no account, no caller, no address and no path is in it."""

import os
import platform
import ssl
import time
from importlib.metadata import version
from typing import Final

import sqlalchemy as sa

from keyquorum import own_api
from keyquorum.audit import files, verified
from keyquorum.audit.checkpoints import Checkpoint, parse
from keyquorum.config import Settings
from keyquorum.custody.seal import kind_of
from keyquorum.layout import DataDirectory
from keyquorum.observability.readiness import Readiness
from keyquorum.observability.source import Running
from keyquorum.store import migrate, roots, sealed
from keyquorum.store.engine import Database, generation_of

_VERSIONS: Final = {"sqlite": sa.func.sqlite_version(), "postgresql": sa.func.current_setting("server_version")}
_NAMES: Final = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
#: A statement is one line, and longer than any checkpoint of a thousand writers.
_LONGEST: Final = 1 << 20


class Status:
    """``running`` and ``readiness`` are those of this process."""

    def __init__(self, settings: Settings, running: Running, readiness: Readiness) -> None:
        self._settings = settings
        self._running = running
        self._readiness = readiness
        self._started_at = time.time()

    def tell(self) -> own_api.GetStatusResponse:
        """Raises KMSError if the database cannot be had."""
        database = self._running.database
        with database.read() as connection:
            seal, about = _seal(connection), _database(database, connection)
            left = self._running.store.outbox.nodes(connection)
        nodes = {node.node: node.records for node in left}
        own = self._running.store.outbox.node
        if own is not None:
            nodes.setdefault(own, 0)
        return own_api.GetStatusResponse(
            server=self._server(own),
            nodes=[own_api.NodeStatus(node=node, waiting=waiting) for node, waiting in sorted(nodes.items())],
            seal=seal,
            database=about,
            jobs=self._jobs(),
            audit=self._audit(),
        )

    def _server(self, node: str | None) -> own_api.ServerStatus:
        state = self._readiness.state()
        return own_api.ServerStatus(
            node=node,
            version=version("keyquorum"),
            python=platform.python_version(),
            open_ssl=ssl.OPENSSL_VERSION,
            process_id=os.getpid(),
            processes=self._settings.workers,
            started_at=self._started_at,
            development=self._settings.development,
            ready=state.ready,
            checks=state.checks,
        )

    def _jobs(self) -> own_api.JobsStatus:
        running = self._running
        return own_api.JobsStatus(
            leads=running.leads,
            last_run=running.last_jobs or None,
            failures=running.failed_jobs,
            due=dict(running.backlog),
        )

    def _audit(self) -> own_api.AuditStatus:
        running, data = self._running, self._settings.data
        head, writer = running.audit.log.head, running.audit.log.writer
        own = own_api.ChainStatus(writer=writer, chain=head.chain, sequence=head.sequence, hash=head.hash)
        if data is None:
            return own_api.AuditStatus(kept=False, own=own, waiting=running.unwritten)
        directory = DataDirectory(data)
        made = _last_checkpoint(directory)
        note = verified.last(directory.verified)
        return own_api.AuditStatus(
            kept=True,
            own=own,
            checkpoint=None if made is None else made.number,
            checkpoint_at=running.last_checkpoint or None,
            heads=None
            if made is None
            else [
                own_api.ChainStatus(writer=each.writer, chain=each.chain, sequence=each.sequence, hash=each.hash)
                for each in made.heads
            ],
            waiting=running.unwritten,
            verification=None
            if note is None
            else own_api.Verification(
                verified_at=note.at,
                whole=note.whole,
                records=note.records,
                uncovered=note.uncovered,
                problems=note.problems,
            ),
        )


def _seal(connection: sa.Connection) -> own_api.SealStatus:
    used, recovery = sealed.read(connection), sealed.read(connection, sealed.RECOVERY)
    return own_api.SealStatus(
        kind=None if used is None else kind_of(used),
        state="open",
        sealed_at=None if used is None else used.created_at,
        recovery=None if recovery is None else kind_of(recovery),
        keyring_version=roots.newest_version(connection),
    )


def _database(database: Database, connection: sa.Connection) -> own_api.DatabaseStatus:
    kind, revision = connection.dialect.name, migrate.revision(connection)
    lease = database.generations.lease
    in_use, most = database.pool_status()
    return own_api.DatabaseStatus(
        kind=_NAMES[kind],
        version=str(connection.execute(sa.select(_VERSIONS[kind])).scalar()),
        schema=None if revision is None else revision.number,
        changes=generation_of(connection),
        connections=in_use,
        most=most,
        lease_seconds=None if lease is None else round(max(0.0, lease.until - lease.now()), 3),
    )


def _last_checkpoint(directory: DataDirectory) -> Checkpoint | None:
    """What the last says; it is not verified."""
    try:
        fd = os.open(directory.audit / files.CHECKPOINTS, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        line = files.last_line(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)
    return parse(line) if 0 < len(line) <= _LONGEST else None
