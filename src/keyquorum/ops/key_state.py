# SPDX-License-Identifier: Apache-2.0
"""EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion; and what the deletion job does when the date comes."""

from typing import Any, Final

import msgspec

from keyquorum import api, lifecycle
from keyquorum.errors import ValidationException
from keyquorum.model import Key
from keyquorum.ops.operation import Call, Keys, KeyUse, Operation, on_key
from keyquorum.ops.rules import DAY, DueKey, family, is_complete, reconsider_pending

_DEFAULT_WINDOW: Final = 30
_SHORTEST_WINDOW: Final = 7


def _enable(call: Call, _request: api.EnableKeyRequest, keys: Keys) -> None:
    call.services.store.keys.update(call.write(), keys[0].key, state=lifecycle.AFTER["EnableKey"])


def _disable(call: Call, _request: api.DisableKeyRequest, keys: Keys) -> None:
    call.services.store.keys.update(call.write(), keys[0].key, state=lifecycle.AFTER["DisableKey"])


def _deletion_keys(call: Call, request: api.ScheduleKeyDeletionRequest) -> tuple[KeyUse, ...]:
    # The model allows 1 to 365 here; the service's own bounds are narrower and have their own words.
    if not _SHORTEST_WINDOW <= _window(request) <= _DEFAULT_WINDOW:
        raise ValidationException(f"PendingWindowInDays must be between {_SHORTEST_WINDOW} and {_DEFAULT_WINDOW}")
    return on_key("kms:ScheduleKeyDeletion")(call, request)


def _window(request: api.ScheduleKeyDeletionRequest) -> int:
    days = request.pending_window_in_days
    return _DEFAULT_WINDOW if days is None else days


def _schedule(call: Call, request: api.ScheduleKeyDeletionRequest, keys: Keys) -> api.ScheduleKeyDeletionResponse:
    days, key, store = _window(request), keys[0].key, call.services.store
    changes: dict[str, Any]
    if _replicas(call, key):
        # The waiting period begins when the last replica is deleted.
        changes = {"state": lifecycle.PENDING_REPLICA_DELETION, "pending_window": days}
    else:
        changes = {"state": lifecycle.AFTER["ScheduleKeyDeletion"], "deletion_date": call.now + days * DAY}
    key = store.keys.update(call.write(), key, **changes)
    return api.ScheduleKeyDeletionResponse(
        key_id=call.arn(key), deletion_date=key.deletion_date, key_state=key.state, pending_window_in_days=days
    )


def _replicas(call: Call, key: Key) -> list[Key]:
    if not key.is_primary:
        return []
    return [member for member in family(call, key) if member.is_replica]


def _cancel(call: Call, _request: api.CancelKeyDeletionRequest, keys: Keys) -> api.CancelKeyDeletionResponse:
    complete = is_complete(keys[0].materials)
    state = lifecycle.AFTER["CancelKeyDeletion"] if complete else lifecycle.PENDING_IMPORT
    key = call.services.store.keys.update(
        call.write(), keys[0].key, state=state, deletion_date=None, pending_window=None
    )
    return api.CancelKeyDeletionResponse(key_id=call.arn(key))


class Erasure(msgspec.Struct, frozen=True):
    """What the deletion job asks for once no file holds what was destroyed: ``row`` of the erasures."""

    key_id: str
    row: int


def _delete(call: Call, _request: DueKey, keys: Keys) -> None:
    key, store, txn = keys[0].key, call.services.store, call.write()
    if key.deletion_date is None or key.deletion_date > call.now:
        raise ValidationException(f"{call.arn(key)} is not due")  # cancelled, or scheduled anew, a moment ago
    store.keys.delete(txn, key, call.now)
    if key.is_replica:
        reconsider_pending(call, key)
        left = store.keys.regions(txn.connection, key.key_id)
        primary = next((member for member in left if member.is_primary), None)
        if primary is not None and len(left) == 1 and lifecycle.awaits_replicas(primary.state):
            store.keys.update(
                txn,
                primary,
                state=lifecycle.AFTER["ScheduleKeyDeletion"],
                deletion_date=call.now + (primary.pending_window or _DEFAULT_WINDOW) * DAY,
                pending_window=None,
            )


def _record_erasure(call: Call, request: Erasure, _keys: Keys) -> None:
    if not call.services.store.keys.erasures.remove(call.write(), request.row):
        raise ValidationException(f"the erasure of {request.key_id} is recorded already")


OPERATIONS = (
    Operation(name="EnableKey", run=_enable, keys=on_key("kms:EnableKey"), changes=True),
    Operation(name="DisableKey", run=_disable, keys=on_key("kms:DisableKey"), changes=True),
    Operation(name="ScheduleKeyDeletion", run=_schedule, keys=_deletion_keys, changes=True),
    Operation(name="CancelKeyDeletion", run=_cancel, keys=on_key("kms:CancelKeyDeletion"), changes=True),
)

#: Not operations of the API: what the system does by itself, under CloudTrail's name where it has one.
DELETE_KEY: Final = Operation(name="DeleteKey", run=_delete, keys=on_key("kms:DeleteKey"), changes=True)
ERASE_KEY_MATERIAL: Final = Operation(name="EraseKeyMaterial", run=_record_erasure, open=True, changes=True)
