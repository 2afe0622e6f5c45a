# SPDX-License-Identifier: Apache-2.0
"""The audit records of what is done at the command line by whoever can open the seal, beside the request path: backups,
restores, changes of the seal. They look like those of what the system does by itself, and say that a command did it."""

import os
import uuid
from typing import Any, Final, NamedTuple

import msgspec

from keyquorum.audit.record import AdditionalData, Identity, Record, encode, time_of
from keyquorum.config import Settings
from keyquorum.layout import DataDirectory, Endpoint

_SOURCE: Final = "kms.amazonaws.com"
_INTERNAL: Final = "AWS Internal"


class Entry(NamedTuple):
    event_id: str
    record: bytes


def entry(name: str, settings: Settings, now: float, details: dict[str, Any], *, read_only: bool) -> Entry:
    """``now``: in seconds since the epoch. ``details`` are written as they are: no secret may be in them."""
    account, region = _place(settings)
    second, milliseconds = time_of(now)
    event_id = str(uuid.uuid4())
    record = Record(
        user_identity=Identity(account_id=account, invoked_by=_INTERNAL),
        event_time=second,
        event_source=_SOURCE,
        event_name=name,
        aws_region=region,
        source_address="command line",
        user_agent=f"keyquorum (uid {os.getuid()})",
        request_id=str(uuid.uuid4()),
        event_id=event_id,
        read_only=read_only,
        resources=[],
        event_type="AwsServiceEvent",
        recipient_account_id=account,
        service_event_details=details,
        additional_event_data=AdditionalData(milliseconds),
    )
    return Entry(event_id, encode(record))


def _place(settings: Settings) -> tuple[str, str]:
    """Account and Region of the server that was last started on the data directory, or of the settings."""
    if settings.data is not None:
        try:
            endpoint = msgspec.json.decode(DataDirectory(settings.data).endpoint.read_bytes(), type=Endpoint)
        except (OSError, msgspec.DecodeError):
            pass
        else:
            return endpoint.account, endpoint.region
    return settings.account, settings.region
