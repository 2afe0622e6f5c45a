# SPDX-License-Identifier: Apache-2.0
"""What the processes of a server have in common for whoever watches over it: the port for metrics, the memory that they
share, and in each process what is made with them."""

import resource
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric

from keyquorum.config import Settings
from keyquorum.observability.exposition import Everybody, Exposition
from keyquorum.observability.families import Collector, Source, sealed
from keyquorum.observability.readiness import Readiness, State
from keyquorum.observability.sharing import Shared
from keyquorum.server.protocol import fronts
from keyquorum.server.workers import Workers

_BACKLOG: Final = 16
#: Files, the database's connections, other listeners.
_DESCRIPTORS: Final = 512


@dataclass(frozen=True, slots=True)
class Common:
    """``listener``: of the metrics, if they are served; ``shared``: if there is more than one process."""

    listener: socket.socket | None
    shared: Shared | None

    @classmethod
    def of(cls, settings: Settings) -> "Common":
        """Raises OSError if the address cannot be had."""
        listener = None
        if settings.metrics_port is not None:
            family = socket.AF_INET6 if ":" in settings.metrics_host else socket.AF_INET
            address = (settings.metrics_host, settings.metrics_port)
            listener = socket.create_server(address, family=family, backlog=_BACKLOG)
        # A worker that takes its time to end may still have its place when its successor comes.
        return cls(listener, Shared(2 * settings.workers) if settings.workers > 1 else None)

    @property
    def quotas(self) -> memoryview | None:
        return None if self.shared is None else self.shared.quotas

    def exposition(self, source: Source, readiness: Readiness, workers: Workers) -> Exposition | None:
        """What serves the metrics of this process and, in turn, of all; None if nobody wants them."""
        if self.listener is None:
            return None
        collector = Collector(source, lambda: list(fronts.values()), workers)
        return Exposition(self.listener, Everybody(collector, self.shared), readiness.state)

    def while_sealed(self, reason: Callable[[], str]) -> Exposition | None:
        """The same, as long as there is nothing to tell but that."""
        if self.listener is None:
            return None
        return Exposition(
            self.listener, Everybody(_Sealed(), None), lambda: State(False, {"seal": f"sealed: {reason()}"})
        )


class _Sealed:
    def collect(self) -> Iterable[Metric]:
        return [sealed(is_sealed=True)]


def make_descriptors(connections: int) -> str | None:
    """See to it that so many connections can be open. What is wrong, if they cannot."""
    wanted = connections + _DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return None
    had = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (had, hard))
    if had == wanted:
        return None
    return f"{connections} connections need {wanted} open files, and the limit is {hard} (systemd: LimitNOFILE=)"
