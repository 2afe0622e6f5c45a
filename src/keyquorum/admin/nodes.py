# SPDX-License-Identifier: Apache-2.0
"""The nodes of a cluster, as their database knows them, for whoever can open the seal."""

from keyquorum.admin.client import ClientError
from keyquorum.admin.offline import reading, working
from keyquorum.config import Settings
from keyquorum.errors import KMSError
from keyquorum.jobs.due import system
from keyquorum.ops.nodes import ADOPT_AUDIT_RECORDS, Adoption
from keyquorum.store.outbox import Left


def left(settings: Settings) -> tuple[str | None, list[Left]]:
    """The name of this node, and for which nodes audit records wait. Raises ClientError, KMSError."""
    with reading(settings) as found, found.database.read() as connection:
        return found.store.outbox.node, found.store.outbox.nodes(connection)


def adopt(settings: Settings, node: str) -> None:
    """Write the audit records that wait for a node which is lost into the audit log of this one, which says so. Raises
    ClientError, KMSError."""
    with working(settings) as (service, _):
        where = service.settings
        try:
            service.pipeline.act(
                ADOPT_AUDIT_RECORDS,
                Adoption(node, service.audit.log.writer),
                system(where.account, where.region),
            )
        except KMSError as error:
            if error.status >= 500:
                raise
            raise ClientError(str(error.message)) from error
        service.journal.recover()
