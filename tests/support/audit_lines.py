# SPDX-License-Identifier: Apache-2.0
"""Audit records of no request in particular, and what stands in an audit directory."""

import json
from pathlib import Path
from typing import Any

from keyquorum.audit import record as form


def made(event_id: str, now: float = 1_767_225_600.0, **members: Any) -> bytes:
    """A record as the request path makes it. ``members`` replace those of ``audit.record.Record``."""
    second, milliseconds = form.time_of(now)
    chosen: dict[str, Any] = {
        "user_identity": form.Identity("IAMUser", "AIDA", "arn:aws:iam::111122223333:user/alice", "111122223333"),
        "event_time": second,
        "event_source": "kms.amazonaws.com",
        "event_name": "Encrypt",
        "aws_region": "us-east-1",
        "source_address": "192.0.2.7",
        "user_agent": "Boto3/1",
        "request_parameters": {"keyId": "alias/a"},
        "request_id": f"request of {event_id}",
        "event_id": event_id,
        "read_only": True,
        "resources": [],
        "recipient_account_id": "111122223333",
        "additional_event_data": form.AdditionalData(milliseconds),
    }
    return form.encode(form.Record(**{**chosen, **members}))


def written(directory: Path, file: str = "0.jsonl") -> list[dict[str, Any]]:
    """The records in an audit file."""
    return [json.loads(line) for line in (directory / file).read_bytes().splitlines()]


def event_ids(directory: Path, file: str = "0.jsonl") -> list[str]:
    return [record["eventID"] for record in written(directory, file)]
