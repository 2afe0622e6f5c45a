# SPDX-License-Identifier: Apache-2.0
"""Changes that a command makes beside the request path, and their audit records: both commit in one transaction, as
they do there, and a process that dies in between leaves the record to the next start."""

from collections.abc import Iterator
from contextlib import contextmanager

from keyquorum.audit.signing import LABEL, Signer
from keyquorum.audit.trail import Trail
from keyquorum.config import Settings
from keyquorum.custody.root import RootKey
from keyquorum.journal import Journal
from keyquorum.layout import DataDirectory
from keyquorum.store.engine import Database
from keyquorum.store.outbox import Outbox
from keyquorum.store.rowmac import RowMAC


@contextmanager
def journal(settings: Settings, database: Database, root: RootKey) -> Iterator[Journal]:
    """The journal of this process, with an audit file of its own and a checkpoint at the end. Raises AuditError,
    KMSError or OSError, while it opens."""
    assert settings.data is not None
    directory = DataDirectory(settings.data)
    node = directory.node_id() if database.shared else None
    audit = Trail(
        directory.audit, Signer(root.derive(LABEL)), sync=True, rotate_size=settings.audit_rotate_size, copies=()
    )
    try:
        made = Journal(database, Outbox(RowMAC(root.derive("row mac")), node), audit.log)
        made.recover()
        yield made
        audit.state()
    finally:
        audit.close()
