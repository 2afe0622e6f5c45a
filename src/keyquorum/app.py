# SPDX-License-Identifier: Apache-2.0
"""The one place where things are built: settings -> database, store, keyring, request path, jobs."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from keyquorum import bootstrap
from keyquorum.arns import ArnLayout
from keyquorum.audit.signing import LABEL, Signer
from keyquorum.audit.trail import Trail
from keyquorum.authn.credentials import Authenticator
from keyquorum.authn.federation import Federation
from keyquorum.authn.refusals import Refusals
from keyquorum.clock import Clock
from keyquorum.config import Settings
from keyquorum.custody.seal import KeySeal, Seal, create_key_file, read_key_file
from keyquorum.errors import KMSError
from keyquorum.jobs import due
from keyquorum.jobs.ticker import Ticker
from keyquorum.journal import Journal
from keyquorum.jwks import KeySets
from keyquorum.keyring import Keyring
from keyquorum.layout import DataDirectory
from keyquorum.model import ROOT, AccessKey, Caller
from keyquorum.ops.operation import Services
from keyquorum.pipeline import Pipeline
from keyquorum.seed.apply import apply as apply_seed
from keyquorum.seed.document import read as read_seed
from keyquorum.store import migrate
from keyquorum.store.engine import Database
from keyquorum.store.generations import Generations
from keyquorum.store.rowmac import RowMAC
from keyquorum.store.store import Store
from keyquorum.usagelog import UsageLog
from keyquorum.wire.paging import Marker

_log = logging.getLogger(__name__)

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


def open_data(data: Path | None, lock_timeout: float, *, create: bool) -> Opened:
    """Open what is kept; with ``create``, make what is missing. Raises SealError, SchemaError, KMSError or OSError.

    Nothing is changed, not even migrated, before the seal has opened the root key.
    """
    if data is None:
        database = Database(None, Generations(None), lock_timeout)
        seal: Seal = KeySeal(os.urandom(KeySeal.KEY_BYTES))
    else:
        directory = DataDirectory(data)
        if create:
            directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not directory.database.exists():
            raise FileNotFoundError(f"there is no database in {data}")
        database = Database(directory.database, Generations(directory.generations), lock_timeout)
        is_new = not bootstrap.has_root(database)
        if create and is_new:
            create_key_file(directory.seal_key)
        seal = read_key_file(directory.seal_key)
        if not is_new:
            bootstrap.open_root(database, seal)
    if create:
        migrate.upgrade(database)
        bootstrap.create_root(database, seal, Clock().now())
    else:
        migrate.require_current(database)
    root, keyring = bootstrap.open_root(database, seal)
    store = Store(database, RowMAC(root.derive("row mac")))
    return Opened(database, store, keyring, Marker(root.derive("list markers")), Signer(root.derive(LABEL)))


class Service:
    """One process's KMS, without its sockets."""

    def __init__(self, settings: Settings) -> None:
        """Raises SealError, SchemaError, SeedError, AuditError, KMSError or OSError; nothing is running then."""
        self.settings = settings
        self.clock = Clock()
        self._seed = read_seed(settings.seed) if settings.seed is not None else None
        opened = open_data(settings.data, settings.lock_timeout, create=True)
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
        self.pipeline = Pipeline(
            self._services, self.authenticator, federation, self.journal, self.usage, self.refusals, self.clock
        )
        self._ticker = Ticker(self.run_jobs)

    def run_jobs(self) -> None:
        """Everything that is due, and the caches rid of what is stale."""
        try:
            self.journal.retry()
            self.audit.tick()
            self.usage.write()
            self.authenticator.write_uses()
            due.run(self.store, self.pipeline, self.clock)
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
        self._ticker.start()

    def stop(self) -> None:
        """Finish: nothing of a request may run any more."""
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
        self.audit.state()
        self.audit.close()
        self.database.close()

    def reset(self) -> None:
        """Empty the server and load the seed again; for development only."""
        bootstrap.empty(self.store)
        self.clock.offset = 0.0
        self.usage.clear()
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
