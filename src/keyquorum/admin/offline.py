# SPDX-License-Identifier: Apache-2.0
"""IAM on a data directory itself, for whoever can read its seal key, while a server runs there or not.

Operations take the request path from its second step, as the root of an account, and leave their audit records; only
the signature is left out, which could prove no more than the seal key has. Nothing is made, upgraded or listened on,
and no job is run.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
from keyquorum.model import ROOT, Caller, HttpRequest
from keyquorum.store.migrate import SchemaError

#: What audit records have for an address.
SOURCE: Final = "command line"
_LOCK_TIMEOUT: Final = 5.0
_FAULTS: Final = (AuditError, IntegrityError, KMSError, OSError, SchemaError, SealError)


def place(data: Path) -> tuple[str, str]:
    """Account and Region of the server of a data directory. Raises ClientError."""
    try:
        endpoint = msgspec.json.decode(DataDirectory(data).endpoint.read_bytes(), type=Endpoint)
    except (OSError, msgspec.DecodeError) as error:
        raise ClientError(f"no server has been started on {data}") from error
    return endpoint.account, endpoint.region


@contextmanager
def reading(data: Path) -> Iterator[Opened]:
    """What a data directory holds, as it is: nothing is made or upgraded. Raises ClientError, while it opens only."""
    try:
        found = open_data(data, _LOCK_TIMEOUT, create=False)
    except _FAULTS as error:
        raise ClientError(f"the data directory {data} cannot be opened: {error}") from error
    try:
        yield found
    finally:
        found.database.close()


@contextmanager
def opened(data: Path, account: str | None) -> Iterator[Send]:
    """Raises ClientError. ``account`` is the server's own if it is None."""
    own, region = place(data)
    account = account or own
    # First as it is: a start makes an account that is not there, and upgrades an older schema.
    with reading(data) as found, found.database.read() as connection:
        root = found.store.identities.principal(connection, account, ROOT, ROOT)
    if root is None:
        raise ClientError(f"there is no account {account} in {data}")
    try:
        # A change is synced with the database; the records of the rest shall survive the power as well.
        service = Service(Settings(data=data, account=account, region=region, audit_sync=True))
    except _FAULTS as error:
        raise ClientError(f"the data directory {data} cannot be opened: {error}") from error
    caller = Caller(account, region, root.arn, account, ROOT, identity_id=root.principal_id)
    agent = f"{AGENT} (--offline, uid {os.getuid()})".encode()

    def send(body: bytes) -> tuple[int, bytes]:
        http = HttpRequest(b"POST", b"/", [(b"content-type", FORM), (b"user-agent", agent)], body, SOURCE)
        answer = service.pipeline.answer_as(caller, http)
        if answer.record is not None:
            try:
                service.pipeline.write_records([answer.record])
            except KMSError as error:
                raise ClientError(str(error.message)) from error
        return answer.status, answer.body

    try:
        yield send
    finally:
        service.close()
