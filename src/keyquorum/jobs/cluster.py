# SPDX-License-Identifier: Apache-2.0
"""What a process of a cluster does besides its jobs: keep the record of changes short, and its numbers rising.

Which process runs the jobs is the follower's to say: the one in the cluster whose session holds their lock. If it dies,
is stopped or cut off, the database lets the lock go within seconds and another takes it. Should two run at once for a
moment, nothing is done twice: each job is decided again on locked rows.
"""

import logging
from typing import TYPE_CHECKING, Final

from keyquorum.store import changes
from keyquorum.store.engine import Database

if TYPE_CHECKING:
    from keyquorum.store.follower import Follower

_log = logging.getLogger(__name__)

#: Ticks from one look at the record of changes to the next.
_TICKS: Final = 60


class Cluster:
    def __init__(self, database: Database, follower: "Follower") -> None:
        self._database = database
        self._follower = follower
        self._behind: int | None = None
        self._ticks = 0

    @property
    def leads(self) -> bool:
        """Whether the jobs of the cluster are this process's to run."""
        return self._follower.leads

    def tick(self) -> None:
        """To be called once a second. Raises KMSError if the database cannot be had."""
        self._meet()
        self._ticks += 1
        if self.leads and self._ticks >= _TICKS:
            self._ticks = 0
            changes.prune(self._database)

    def _meet(self) -> None:
        """A database whose number fell (it was put back to an older state) is behind the counters of this host, and
        nothing could be cached. The number of the next change is larger than both: if nobody makes one, this does."""
        seen = self._follower.seen
        behind = seen if seen is not None and seen < self._database.generations.highest() else None
        if behind is not None and behind == self._behind:
            _log.warning("the database is at change %d, behind this node: it is brought on", behind)
            with self._database.write():
                behind = None
        self._behind = behind
