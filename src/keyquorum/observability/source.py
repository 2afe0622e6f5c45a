# SPDX-License-Identifier: Apache-2.0
"""Where metrics and probes find what they tell of a running service."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keyquorum.audit.trail import Trail
from keyquorum.authn.credentials import Authenticator
from keyquorum.authn.refusals import Refusals
from keyquorum.clock import Clock
from keyquorum.jobs import due
from keyquorum.jobs.ticker import Ticker
from keyquorum.journal import Journal
from keyquorum.metering import Meter
from keyquorum.observability.families import Sink
from keyquorum.observability.readiness import OK, Check
from keyquorum.store import migrate
from keyquorum.store.cache import Cache
from keyquorum.store.engine import Database, generation_of
from keyquorum.store.store import Store
from keyquorum.throttling import Throttle

#: Runs of the jobs between two counts of what is due.
_RUNS = 15


@dataclass(slots=True)
class Running:
    """A ``families.Source``. ``is_leader``: whether the jobs are run here."""

    meter: Meter
    store: Store
    authenticator: Authenticator
    refusals: Refusals
    throttle: Throttle
    journal: Journal
    audit: Trail
    ticker: Ticker
    is_leader: Callable[[], bool]
    backlog: Mapping[str, int] = field(default_factory=dict)
    _runs: int = 0

    @property
    def database(self) -> Database:
        return self.store.database

    @property
    def caches(self) -> Mapping[str, Cache[Any]]:
        return {**self.store.caches, **self.authenticator.caches}

    @property
    def sinks(self) -> Iterable[Sink]:
        return self.audit.sinks

    @property
    def last_checkpoint(self) -> float:
        return self.audit.last_checkpoint

    @property
    def last_jobs(self) -> float:
        return self.ticker.last_run

    @property
    def failed_jobs(self) -> int:
        return self.ticker.failures

    @property
    def leads(self) -> bool:
        return self.is_leader()

    @property
    def unwritten(self) -> int:
        return self.journal.waiting

    @property
    def refused_strangers(self) -> Mapping[str, int]:
        return self.refusals.counts

    @property
    def throttled(self) -> Mapping[str, int]:
        return self.throttle.refused

    def count_due(self, clock: Clock) -> None:
        """To be called with the jobs; counts now and then. Raises KMSError."""
        self._runs = (self._runs + 1) % _RUNS
        if self._runs == 1:
            self.backlog = due.backlog(self.store, clock) if self.leads else {}

    def checks(self) -> dict[str, Check]:
        """What must be right for requests to be answered here."""
        database = self.database

        def reachable() -> str:
            with database.read() as connection:
                generation_of(connection)
            return OK

        def schema() -> str:
            try:
                migrate.require_current(database)
            except migrate.SchemaError:
                return "not this program's"
            return OK

        def lease() -> str:
            held = database.generations.lease
            return OK if held is None or held.holds() else "lapsed"

        def audit() -> str:
            self.audit.log.reserve()
            return OK

        return {"seal": lambda: OK, "database": reachable, "schema": schema, "lease": lease, "audit": audit}
