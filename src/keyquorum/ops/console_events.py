# SPDX-License-Identifier: Apache-2.0
"""LookupEvents and CountEvents: the audit log of this node, for those whom identity-based policies give
cloudtrail:LookupEvents. They tell of the caller's own account and of no other, and read a bounded part at a time.

Source: AWS CloudTrail API reference, LookupEvents. CountEvents is no operation of CloudTrail's.
"""

from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from keyquorum import own_api
from keyquorum.audit.lookup import Elsewhere, Place, Wanted
from keyquorum.audit.reading import Query, Shown
from keyquorum.errors import DependencyTimeoutException, ValidationException
from keyquorum.ops.operation import Call, Events, Keys, Operation, always, in_account
from keyquorum.ops.rules import opened_text, sealed_text

_PERMISSION: Final = "cloudtrail:LookupEvents"
_PAGE: Final = 50
_HOUR: Final = 3600
_DAY: Final = 86_400.0
#: Bytes that one request reads.
_AT_MOST: Final = 4 * 1024 * 1024
_TO_COUNT: Final = 6 * 1024 * 1024
_PURPOSE: Final = "audit place"

#: Attributes that are one member of the event each; the others are questions about several.
_NAMES: Final = {
    "ErrorCode": "error_code",
    "EventId": "event_id",
    "EventSource": "event_source",
    "RequestId": "request_id",
}


def _events(call: Call) -> Events:
    events = call.services.events
    if events is None:
        raise ValidationException("This server has no audit log to look at.")
    return events


def _wanted(call: Call, request: Any) -> Wanted:
    """Raises ValidationException."""
    names: dict[str, str] = {}
    fields: dict[str, str] = {}
    but: set[str] = set()
    writes: bool | None = None
    outcome: Literal["allowed", "refused"] | None = None
    for attribute in request.lookup_attributes or ():
        key, value = str(attribute.attribute_key), str(attribute.attribute_value)
        if key in _NAMES:
            names[_NAMES[key]] = value
        elif key == "ReadOnly":
            writes = _one_of(key, value, ("true", "false")) == "false"
        elif key == "Outcome":
            outcome = "allowed" if _one_of(key, value, ("allowed", "refused")) == "allowed" else "refused"
        elif key == "ExceptEventName":
            but.add(value)
        else:
            fields[key] = value
    if request.start_time is not None and request.end_time is not None and request.start_time > request.end_time:
        raise ValidationException("StartTime must not be after EndTime.")
    query = Query(
        key=fields.get("ResourceName"),
        principal=fields.get("Username") or fields.get("AccessKeyId"),
        operation=fields.get("EventName"),
        outcome=outcome,
    )
    return Wanted(call.caller.account, query, names, request.start_time, request.end_time, writes, frozenset(but))


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValidationException(f"{key} is one of {', '.join(allowed)}.")
    return value


def _lookup(call: Call, request: own_api.LookupEventsRequest, _keys: Keys) -> own_api.LookupEventsResponse:
    wanted, places = _wanted(call, request), _opened(call, request.next_token)
    try:
        found = _events(call).look(wanted, request.max_results or _PAGE, _AT_MOST, places)
    except Elsewhere:
        raise ValidationException("NextToken is another node's: ask that one, or begin again.") from None
    except OSError as error:
        raise _unreadable(error) from error
    return own_api.LookupEventsResponse(
        events=[_event(shown) for shown in found.records],
        next_token=None if found.rest is None else sealed_text(call.services.keyring, _PURPOSE, found.rest),
        looked_back_to=_seconds(found.back_to) if found.rest is not None and found.back_to else None,
    )


def _count(call: Call, request: own_api.CountEventsRequest, _keys: Keys) -> own_api.CountEventsResponse:
    start = request.start_time if request.start_time is not None else (request.end_time or call.now) - _DAY
    wanted, period = msgspec.structs.replace(_wanted(call, request), since=start), request.period or _HOUR
    try:
        found = _events(call).count(wanted, period, _TO_COUNT)
    except OSError as error:
        raise _unreadable(error) from error
    counts = [
        own_api.EventCount(start_time=float(at), event_name=name, error_code=code or None, count=count)
        for (at, name, code), count in sorted(found.counts.items())
    ]
    return own_api.CountEventsResponse(counts=counts, looked_back_to=_seconds(found.back_to) if found.back_to else None)


def _event(shown: Shown) -> own_api.Event:
    event, identity = shown.event, shown.event.user_identity
    return own_api.Event(
        event_id=event.event_id,
        event_name=event.event_name,
        read_only="true" if event.read_only else "false",
        access_key_id=identity.access_key_id or None,
        event_time=_seconds(event.event_time),
        event_source=event.event_source,
        username="root"
        if identity.type == "Root"
        else identity.user_name or identity.arn.rpartition("/")[2] or identity.invoked_by or identity.principal_id,
        resources=[
            own_api.EventResource(resource_type="AWS::KMS::Key", resource_name=resource.ARN)
            for resource in event.resources
        ],
        cloud_trail_event=shown.line.decode("utf-8", "replace").rstrip("\n"),
    )


def _seconds(time: str) -> float:
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0  # somebody wrote into the file


def _opened(call: Call, token: str | None) -> list[Place] | None:
    if token is None:
        return None
    places = opened_text(call.services.keyring, _PURPOSE, token, list[Place])
    if places is None:
        raise ValidationException("NextToken is none that this server gave.")
    return places


def _unreadable(error: OSError) -> DependencyTimeoutException:
    return DependencyTimeoutException("The audit log cannot be read.", detail=f"the audit log cannot be read: {error}")


OPERATIONS: Final = tuple(
    Operation(name=name, run=run, needs=in_account(_PERMISSION), waits=True, computes=always)
    for name, run in (("LookupEvents", _lookup), ("CountEvents", _count))
)
