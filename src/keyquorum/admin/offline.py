# SPDX-License-Identifier: Apache-2.0
"""IAM on a data directory itself, for whoever can read its seal key, while a server runs there or not.

Operations take the request path from its second step, as the root of an account, and leave their audit records; only
the signature is left out, which could prove no more than the seal key has. Nothing is made, upgraded or listened on,
and no job is run.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from keyquorum.admin.client import AGENT, FORM, ClientError, Send
from keyquorum.app import Opened, Service, open_data
from keyquorum.audit.log import AuditError
from keyquorum.config import Settings
from keyquorum.custody.seal import SealError
from keyquorum.errors import IntegrityError, KMSError
from keyquorum.layout import DataDirectory, Endpoint
from keyquorum.model import ROOT, Caller, HttpRequest, Principal
from keyquorum.store.migrate import SchemaError

#: What audit records have for an address.
SOURCE: Final = "command line"
_FAULTS: Final = (AuditError, IntegrityError, KMSError, OSError, SchemaError, SealError)


def place(data: Path) -> tuple[str, str]:
    """Account and Region of the server of a data directory. Raises ClientError."""
    try:
        endpoint = msgspec.json.decode(DataDirectory(data).endpoint.read_bytes(), type=Endpoint)
    except (OSError, msgspec.DecodeError) as error:
        raise ClientError(f"no server has been started on {data}") from error
    return endpoint.account, endpoint.region


@contextmanager
def reading(settings: Settings) -> Iterator[Opened]:
    """What a data directory holds, as it is: nothing is made or upgraded. Raises ClientError, while it opens only."""
    try:
        found = open_data(settings, create=False)
    except _FAULTS as error:
        raise ClientError(f"the data directory {settings.data} cannot be opened: {error}") from error
    try:
        yield found
    finally:
        found.database.close()


@contextmanager
def working(settings: Settings, account: str | None = None) -> Iterator[tuple[Service, Principal]]:
    """The request path on what a data directory holds, and the root of the account; nothing is listened on, and no job
    is run. Raises ClientError, while it opens only. ``account`` is the server's own if it is None."""
    data = settings.data
    assert data is not None
    own, region = place(data)
    account = account or own
    # First as it is: a start makes an account that is not there, and upgrades an older schema.
    with reading(settings) as found, found.database.read() as connection:
        root = found.store.identities.principal(connection, account, ROOT, ROOT)
    if root is None:
        raise ClientError(f"there is no account {account} in {data}")
    try:
        # A change is synced with the database; the records of the rest shall survive the power as well.
        service = Service(
            replace(
                settings, account=account, region=region, audit_sync=True, audit_sinks=(), seed=None, development=False
            ),
            found.root,
        )
    except _FAULTS as error:
        raise ClientError(f"the data directory {data} cannot be opened: {error}") from error
    try:
        yield service, root
    finally:
        service.close()


@contextmanager
def opened(settings: Settings, account: str | None) -> Iterator[Send]:
    """Raises ClientError. ``account`` is the server's own if it is None."""
    agent = f"{AGENT} (--offline, uid {os.getuid()})".encode()
    with working(settings, account) as (service, root):
        where = service.settings
        caller = Caller(where.account, where.region, root.arn, where.account, ROOT, identity_id=root.principal_id)

        def send(body: bytes) -> tuple[int, bytes]:
            http = HttpRequest(b"POST", b"/", [(b"content-type", FORM), (b"user-agent", agent)], body, SOURCE)
            answer = service.pipeline.answer_as(caller, http)
            if answer.record is not None:
                try:
                    service.pipeline.write_records([answer.record])
                except KMSError as error:
                    raise ClientError(str(error.message)) from error
            return answer.status, answer.body

        yield send
