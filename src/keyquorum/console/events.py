# SPDX-License-Identifier: Apache-2.0
"""Records of the audit log as pages show them, and how pages ask for them. A record is shown as it is: it was written
from what clients sent, and is text to a page, whatever it says.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from keyquorum.console.outcome import Outcome
from keyquorum.console.visitors import Visitor

#: What pages ask for themselves, again and again, would hide everything else.
ITS_OWN: Final = ("LookupEvents", "CountEvents", "GetStatus", "CountKeys", "SearchKeys")
#: How often one event is looked for, each time in a bounded part of the log.
_LOOKS: Final = 8
_SLACK: Final = 2.0
#: The year 9999, in seconds since the epoch.
_LAST: Final = 253_370_764_800.0

#: Fields of forms and addresses -> attributes.
_FIELDS: Final = {"name": "EventName", "user": "Username", "key": "ResourceName", "outcome": "Outcome"}


class Shown(Struct, frozen=True):
    """An event. ``at``: seconds since the epoch; ``code`` is empty for what was allowed; ``record`` is all of it."""

    event_id: str
    at: float
    time: str
    name: str
    source: str
    who: str
    arn: str
    address: str
    code: str
    message: str
    keys: tuple[str, ...]
    request_id: str
    region: str
    read_only: bool
    record: dict[str, Any]

    @property
    def refused_access(self) -> bool:
        return self.code in ("AccessDeniedException", "AccessDenied")

    @property
    def pretty(self) -> str:
        return json.dumps(self.record, indent=2, ensure_ascii=False)

    def row(self) -> dict[str, Any]:
        """For the script of the page."""
        return {
            "id": self.event_id, "at": self.at, "time": self.time, "name": self.name, "who": self.who,
            "code": self.code, "keys": list(self.keys), "address": self.address,
        }  # fmt: skip


def shown(event: Mapping[str, Any]) -> Shown:
    """An event of LookupEvents."""
    record = _record(event)
    identity = record.get("userIdentity") or {}
    extra = record.get("additionalEventData") or {}
    time = str(record.get("eventTime", ""))
    return Shown(
        event_id=str(event.get("EventId", "")),
        at=float(event.get("EventTime", 0.0)),
        time=f"{time[:-1].replace('T', ' ')}.{int(extra.get('milliseconds', 0)):03}" if time else "",
        name=str(event.get("EventName", "")),
        source=str(event.get("EventSource", "")),
        who=str(event.get("Username", "")),
        arn=str(identity.get("arn", "")),
        address=str(record.get("sourceIPAddress", "")),
        code=str(record.get("errorCode", "")),
        message=str(record.get("errorMessage", "")),
        keys=tuple(str(resource.get("ResourceName", "")).rpartition("/")[2] for resource in event.get("Resources", ())),
        request_id=str(record.get("requestID", "")),
        region=str(record.get("awsRegion", "")),
        read_only=event.get("ReadOnly") == "true",
        record=record,
    )


def _record(event: Mapping[str, Any]) -> dict[str, Any]:
    try:
        record = json.loads(event.get("CloudTrailEvent", "{}"))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def attributes(fields: Mapping[str, str], *, all_of_them: bool = False) -> list[dict[str, str]]:
    """What is asked for, by the fields of a form; without the pages' own reading, unless ``all_of_them``."""
    found = [
        {"AttributeKey": key, "AttributeValue": value}
        for name, key in _FIELDS.items()
        if (value := fields.get(name, "").strip())
    ]
    if not all_of_them and fields.get("name", "").strip() not in ITS_OWN:
        found += [{"AttributeKey": "ExceptEventName", "AttributeValue": name} for name in ITS_OWN]
    return found


async def find(visitor: Visitor, key: str, value: str, at: float | None = None) -> tuple[Shown | None, Outcome]:
    """The event with this EventId or RequestId, and the last answer. ``at`` is when it was, if that is known. None if
    it is not there, or not in the part of the log that was looked through."""
    asked: dict[str, Any] = {"LookupAttributes": [{"AttributeKey": key, "AttributeValue": value}], "MaxResults": 1}
    if at is not None:
        asked |= {"StartTime": at - _SLACK, "EndTime": at + _SLACK}
    for _ in range(_LOOKS):
        outcome = await visitor.own("LookupEvents", asked)
        events = outcome.members.get("Events") if outcome.ok else None
        if events:
            return shown(events[0]), outcome
        if not outcome.ok or "NextToken" not in outcome.members:
            break
        asked["NextToken"] = outcome.members["NextToken"]
    return None, outcome


def moment(text: str) -> float | None:
    """Seconds since the epoch, of a number or of what a browser's field for dates and times says (UTC); None if it is
    neither."""
    with suppress(ValueError):
        seconds = float(text)
        return seconds if 0 <= seconds < _LAST else None  # nor what no calendar has, nor what is no number
    try:
        seconds = datetime.fromisoformat(text if "+" in text or text.endswith("Z") else f"{text}+00:00").timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < _LAST else None
