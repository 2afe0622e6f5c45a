# SPDX-License-Identifier: Apache-2.0
"""A process's part of the audit log, put together: its file, its checkpoints, its sinks."""

from pathlib import Path

from keyquorum.audit import sinks
from keyquorum.audit.checkpoints import Checkpoints
from keyquorum.audit.keeper import Keeper
from keyquorum.audit.log import AuditLog
from keyquorum.audit.recent import Recent
from keyquorum.audit.signing import Signer


class Trail:
    """``log`` is where records go; without a directory nothing is kept but the last of them, in memory. ``public_key``
    is the checkpoints'."""

    def __init__(
        self, directory: Path | None, signer: Signer, *, sync: bool, rotate_size: int, copies: tuple[str, ...]
    ) -> None:
        """Raises AuditError or OSError. ``copies`` are sinks, as ``sinks.parse`` has them."""
        self.public_key = signer.public_key()
        self.sinks = tuple(map(sinks.parse, copies))
        self._keeper: Keeper | None = None
        self.recent: Recent | None = None
        if directory is None:
            self.log, self.recent = AuditLog.discarding(), Recent()
            self.log.sinks = (*self.sinks, self.recent)
        else:
            self.log = AuditLog.open(directory, sync=sync, rotate_size=rotate_size)
            self._keeper = Keeper(Checkpoints(directory, signer, self.sinks), self.log)
            self.log.sinks = self.sinks

    @property
    def last_checkpoint(self) -> float:
        """When this process made its last, in seconds since the epoch; 0 before the first."""
        return 0.0 if self._keeper is None else self._keeper.made_at

    def state(self) -> None:
        """Make a checkpoint, at the start and at the end."""
        if self._keeper is not None:
            self._keeper.make()

    def tick(self) -> None:
        """Make a checkpoint if one is due."""
        if self._keeper is not None:
            self._keeper.make_if_due()

    def close(self) -> None:
        """Nothing is written after this."""
        self.log.close()
        for sink in self.sinks:
            sink.close()
