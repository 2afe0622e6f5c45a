# SPDX-License-Identifier: Apache-2.0
"""The one place where things are built: settings -> database, store, keyring, request path, jobs."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from keyquorum import bootstrap
from keyquorum.arns import ArnLayout
from keyquorum.audit.lookup import Lookup
from keyquorum.audit.signing import LABEL, Signer
from keyquorum.audit.trail import Trail
from keyquorum.authn.credentials import Authenticator
from keyquorum.authn.federation import Federation
from keyquorum.authn.refusals import Refusals
from keyquorum.clock import Clock
from keyquorum.config import ConfigError, Settings
from keyquorum.custody import kinds
from keyquorum.custody.attended import open_by_hand
from keyquorum.custody.root import RootKey
from keyquorum.custody.seal import FILE, KeySeal, SealError, SealWaits, kind_of
from keyquorum.errors import KMSError
from keyquorum.jobs import due
from keyquorum.jobs.cluster import Cluster
from keyquorum.jobs.rewrap import Rewrapping
from keyquorum.jobs.ticker import Ticker
from keyquorum.journal import Journal
from keyquorum.jwks import KeySets
from keyquorum.keyring import Keyring
from keyquorum.layout import DataDirectory
from keyquorum.model import ROOT, AccessKey, Caller
from keyquorum.observability.readiness import Readiness
from keyquorum.observability.source import Running
from keyquorum.observability.status import Status
from keyquorum.ops import registry
from keyquorum.ops.operation import Services
from keyquorum.own_api import GetStatusResponse
from keyquorum.pipeline import Pipeline
from keyquorum.seed.apply import apply as apply_seed
from keyquorum.seed.document import read as read_seed
from keyquorum.store import migrate
from keyquorum.store.engine import Database
from keyquorum.store.generations import Generations
from keyquorum.store.lease import Lease
from keyquorum.store.rowmac import RowMAC
from keyquorum.store.sqlite import SQLite
from keyquorum.store.store import Store
from keyquorum.throttling import DEFAULTS, Throttle, unknown
from keyquorum.usagelog import UsageLog
from keyquorum.wire.paging import Marker

if TYPE_CHECKING:
    from keyquorum.store.follower import Follower

_log = logging.getLogger(__name__)

_OF_ANOTHER_NODE = (
    "The nodes of one database open one root key, and this one is sealed by a key file that another node made: copy "
    "that node's seal.key to {}, or seal the root key there by what every node can open (keyquorum seal migrate)"
)
# More dates than any test passes at once.
_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A data directory, or the memory of a development server, opened with its seal. ``signer`` is for checkpoints of
    the audit log, which is not yet in it."""

    database: Database
    store: Store
    keyring: Keyring
    pages: Marker
    signer: Signer
    root: RootKey


def open_database(settings: Settings, *, create: bool) -> Database:
    """The database of the settings, as it is; with ``create``, an empty one where there is none. Raises OSError, and
    KMSError."""
    data, lock_timeout = settings.data, settings.lock_timeout
    if data is None:
        return SQLite(None, Generations(None), lock_timeout)
    directory = DataDirectory(data)
    if create:
        directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.database is not None:
        from keyquorum.store.postgresql import PostgreSQL  # its driver is a tenth of a start

        generations = Generations(directory.generations, Lease())
        return PostgreSQL(settings.database, generations, lock_timeout, settings.database_pool)
    if not create and not directory.database.exists():
        raise FileNotFoundError(f"there is no database in {data}")
    return SQLite(directory.database, Generations(directory.generations), lock_timeout)


def _follower(database: Database) -> "Follower | None":
    if not database.shared:
        return None
    from keyquorum.store.follower import Follower
    from keyquorum.store.postgresql import PostgreSQL

    assert isinstance(database, PostgreSQL)
    return Follower(database.conninfo, database.generations)


def open_root(database: Database, settings: Settings, *, create: bool, attended: bool) -> RootKey:
    """The root key, opened by its seal; with ``create``, one that is made under a key file where there is none. Raises
    SealError; SealWaits, unless somebody attends who can be asked; SchemaError and KMSError."""
    sealed = bootstrap.sealed_root(database)
    if sealed is None:
        if not create:
            raise SealError("the database has no root key yet")
        if settings.seal != {FILE}:
            raise SealError("the database has no root key yet: make one with keyquorum seal init")
        migrate.prepare(database)
        bootstrap.create_root(database, lambda: kinds.make(settings, FILE, None, anew=False).seal, Clock().now())
        sealed = bootstrap.sealed_root(database)
        assert sealed is not None
    try:
        key = kinds.opener(settings, sealed).open(sealed)
    except SealWaits:
        if not attended:
            raise
        key = open_by_hand(settings, sealed)
    except SealError as error:
        if not database.shared or kind_of(sealed) != FILE or FILE not in settings.seal:
            raise
        raise SealError(f"{error}. {_OF_ANOTHER_NODE.format(kinds.key_file(settings))}") from error
    return accepted(database, key)


def accepted(database: Database, key: bytes) -> RootKey:
    """A root key that a seal gave, if it is this database's. Raises IntegrityError if it is not, and KMSError."""
    root = RootKey(key)
    bootstrap.open_keyring(database, root)
    return root


def open_data(settings: Settings, *, create: bool, root: RootKey | None = None) -> Opened:
    """Open what is kept; with ``create``, make what is missing. ``root``: if the seal was opened before. Raises
    SealError, SchemaError, KMSError or OSError.

    Nothing is changed, not even migrated, before the seal has opened the root key.
    """
    database = open_database(settings, create=create)
    try:
        return _opened(database, settings, create=create, root=root)
    except BaseException:
        database.close()
        raise


def _opened(database: Database, settings: Settings, *, create: bool, root: RootKey | None) -> Opened:
    if settings.data is None:
        root = RootKey(RootKey.generate())
        migrate.upgrade(database)
        bootstrap.create_root(database, lambda: KeySeal(RootKey.generate()), Clock().now(), root)
    elif root is None:
        root = open_root(database, settings, create=create, attended=True)
    if create:
        migrate.prepare(database)
    else:
        migrate.require_current(database)
    keyring = bootstrap.open_keyring(database, root)
    node = DataDirectory(settings.data).node_id() if database.shared and settings.data is not None else None
    store = Store(database, RowMAC(root.derive("row mac")), node=node)
    return Opened(database, store, keyring, Marker(root.derive("list markers")), Signer(root.derive(LABEL)), root)


class Service:
    """One process's KMS, without its sockets."""

    def __init__(self, settings: Settings, root: RootKey | None = None, quotas: memoryview | None = None) -> None:
        """``root``: if the seal was opened before. ``quotas``: memory for request quotas that processes share. Raises
        ConfigError, SealError, SchemaError, SeedError, AuditError, KMSError or OSError; nothing is running then."""
        self.settings = settings
        self.clock = Clock()
        self._seed = read_seed(settings.seed) if settings.seed is not None else None
        opened = open_data(settings, create=True, root=root)
        self.database, self.store, self.keyring = opened.database, opened.store, opened.keyring
        self.usage = UsageLog(self.database)
        self._services = Services(
            self.store,
            self.keyring,
            opened.pages,
            self.usage,
            ArnLayout(settings.arn_format),
            settings.quotas,
            settings.regions,
            settings.development,
        )
        self.new_access_key = self._populate()
        directory = None if settings.data is None else DataDirectory(settings.data).audit
        self.audit = Trail(
            directory,
            opened.signer,
            sync=settings.audit_sync,
            rotate_size=settings.audit_rotate_size,
            copies=settings.audit_sinks,
        )
        source = self.audit.recent if directory is None else directory
        assert source is not None, "without a directory the last records are in memory"
        self._services = replace(self._services, events=Lookup(source), status=self._tell)
        self.journal = Journal(self.database, self.store.outbox, self.audit.log)
        if directory is not None:
            self.journal.recover()
            self.journal.recover_others(directory, sync=settings.audit_sync)
            self.audit.state()
        self.authenticator = Authenticator(
            self.store, self.keyring, settings.region, self._stand_in(), settings.regions
        )
        federation = Federation(self.store, KeySets(), settings.region)
        self.refusals = Refusals()
        throttle = Throttle(_request_quotas(settings), quotas)
        self.pipeline = Pipeline(
            self._services,
            self.authenticator,
            federation,
            self.journal,
            self.usage,
            self.refusals,
            self.clock,
            throttle,
        )
        system = due.system(settings.account, settings.region)
        self.rewrapping = Rewrapping(self.store, self.keyring, self.pipeline, self.clock, system)
        database = self.database
        self.follower = _follower(database)
        self._cluster = None if self.follower is None else Cluster(database, self.follower)
        self._ticker = Ticker(self.run_jobs)
        self.running = Running(
            self.pipeline.meter,
            self.store,
            self.authenticator,
            self.refusals,
            throttle,
            self.journal,
            self.audit,
            self._ticker,
            lambda: self._cluster is None or self._cluster.leads,
        )
        self.readiness = Readiness(self.running.checks())
        self._status = Status(settings, self.running, self.readiness)

    def _tell(self) -> GetStatusResponse:
        return self._status.tell()

    def run_jobs(self) -> None:
        """Everything that is due, and the caches rid of what is stale."""
        try:
            self.journal.retry()
            self.audit.tick()
            self.usage.write()
            self.authenticator.write_uses()
            self.keyring.follow()
            if self._cluster is not None:
                self._cluster.tick()
            if self._cluster is None or self._cluster.leads:
                due.run(self.store, self.pipeline, self.clock)
                self.rewrapping.tick()
            else:
                self.keyring.follow()  # what the leader has destroyed does not stay here
            self.running.count_due(self.clock)
        finally:
            self.database.generations.follow()
            self.store.sweep()
            self.authenticator.sweep()

    def advance(self, seconds: float) -> None:
        """Let time pass, for development only: whatever comes due on the way happens at its date, and in order."""
        target = self.clock.now() + seconds
        for _ in range(_STEPS):
            tried = self.clock.now()  # taken before: what comes due while the jobs run is still to come
            self.run_jobs()
            with self.database.read() as connection:
                date = self.store.keys.next_date(connection, tried)
            if date is None or date > target:
                break
            self.clock.offset += max(0.0, date - self.clock.now())
        self.clock.offset += max(0.0, target - self.clock.now())
        self.run_jobs()

    def start(self) -> None:
        if self.follower is not None:
            self.follower.start()
        self._ticker.start()

    def stop(self) -> None:
        """Finish: nothing of a request may run any more."""
        self.readiness.stop()
        self._ticker.stop()
        if self.refusals.counts:
            _log.warning("requests that failed authentication since the start: %s", dict(self.refusals.counts))
        try:
            self.usage.write()
            self.authenticator.write_uses()
        except KMSError as error:
            _log.error("the last uses of keys and access keys are not kept: %s", error.detail)
        finally:
            self.close()

    def close(self) -> None:
        if self.follower is not None:
            self.follower.stop()
        self.audit.state()
        self.audit.close()
        self.database.close()

    def reset(self) -> None:
        """Empty the server and load the seed again; for development only."""
        bootstrap.empty(self.store)
        self.clock.offset = 0.0
        self.usage.clear()
        if self.audit.recent is not None:
            self.audit.recent.clear()
        self._clear_caches()
        self._populate()

    def _clear_caches(self) -> None:
        self.store.clear()
        self.authenticator.clear()

    def _populate(self) -> AccessKey | None:
        settings, now = self.settings, self.clock.now()
        with self.database.write() as txn:
            made = bootstrap.ensure_account(txn, self.store, self.keyring, settings.account, now)
        if self._seed is not None:
            apply_seed(self._services, self._seed, settings.account, settings.region, now)
        return made

    def _stand_in(self) -> Caller | None:
        if not self.settings.development:
            return None
        account = self.settings.account
        return Caller(account, self.settings.region, f"arn:aws:iam::{account}:root", account, ROOT)


def _request_quotas(settings: Settings) -> dict[str, float]:
    """Those that were chosen, over the defaults. Raises ConfigError."""
    chosen = settings.request_quotas
    operations = {name for service in registry.BY_SERVICE.values() for name in service}
    for name in unknown(chosen, operations):
        raise ConfigError(f"--request-quota: there is no operation {name}")
    return {**({} if settings.development else DEFAULTS), **chosen}
