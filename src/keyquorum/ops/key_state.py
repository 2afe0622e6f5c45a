# SPDX-License-Identifier: Apache-2.0
"""EnableKey, DisableKey, ScheduleKeyDeletion, CancelKeyDeletion; and what the deletion job does when the date comes."""

from typing import Final

import msgspec

from keyquorum import api, lifecycle
from keyquorum.errors import ValidationException
from keyquorum.ops.operation import Call, Keys, KeyUse, Operation, on_key

_DAY: Final = 86_400
_DEFAULT_WINDOW: Final = 30
_SHORTEST_WINDOW: Final = 7


def _enable(call: Call, _request: api.EnableKeyRequest, keys: Keys) -> None:
    call.services.store.keys.update(call.write(), keys[0].key, state=lifecycle.AFTER["EnableKey"])


def _disable(call: Call, _request: api.DisableKeyRequest, keys: Keys) -> None:
    call.services.store.keys.update(call.write(), keys[0].key, state=lifecycle.AFTER["DisableKey"])


def _deletion_keys(request: api.ScheduleKeyDeletionRequest) -> tuple[KeyUse, ...]:
    # The model allows 1 to 365 here; the service's own bounds are narrower and have their own words.
    if not _SHORTEST_WINDOW <= _window(request) <= _DEFAULT_WINDOW:
        raise ValidationException(f"PendingWindowInDays must be between {_SHORTEST_WINDOW} and {_DEFAULT_WINDOW}")
    return on_key("kms:ScheduleKeyDeletion")(request)


def _window(request: api.ScheduleKeyDeletionRequest) -> int:
    days = request.pending_window_in_days
    return _DEFAULT_WINDOW if days is None else days


def _schedule(call: Call, request: api.ScheduleKeyDeletionRequest, keys: Keys) -> api.ScheduleKeyDeletionResponse:
    days = _window(request)
    key = call.services.store.keys.update(
        call.write(),
        keys[0].key,
        state=lifecycle.AFTER["ScheduleKeyDeletion"],
        deletion_date=call.now + days * _DAY,
    )
    return api.ScheduleKeyDeletionResponse(
        key_id=call.arn(key), deletion_date=key.deletion_date, key_state=key.state, pending_window_in_days=days
    )


def _cancel(call: Call, _request: api.CancelKeyDeletionRequest, keys: Keys) -> api.CancelKeyDeletionResponse:
    key = call.services.store.keys.update(
        call.write(), keys[0].key, state=lifecycle.AFTER["CancelKeyDeletion"], deletion_date=None
    )
    return api.CancelKeyDeletionResponse(key_id=call.arn(key))


class DeletedKey(msgspec.Struct, frozen=True):
    """What the deletion job asks for: a key that is due, or was deleted and is now erased from every file."""

    key_id: str


def _delete(call: Call, _request: DeletedKey, keys: Keys) -> None:
    key = keys[0].key
    if key.deletion_date is None or key.deletion_date > call.now:
        raise ValidationException(f"{call.arn(key)} is not due")  # cancelled, or scheduled anew, a moment ago
    call.services.store.keys.delete(call.write(), key, call.now)
    call.services.keyring.forget(key.key_id)


def _record_erasure(call: Call, request: DeletedKey, _keys: Keys) -> None:
    if not call.services.store.keys.mark_erased(call.write(), request.key_id, call.now):
        raise ValidationException(f"{request.key_id} is recorded as erased already")


OPERATIONS = (
    Operation(name="EnableKey", run=_enable, keys=on_key("kms:EnableKey"), changes=True),
    Operation(name="DisableKey", run=_disable, keys=on_key("kms:DisableKey"), changes=True),
    Operation(name="ScheduleKeyDeletion", run=_schedule, keys=_deletion_keys, changes=True),
    Operation(name="CancelKeyDeletion", run=_cancel, keys=on_key("kms:CancelKeyDeletion"), changes=True),
)

#: Not operations of the API: what the system does by itself, under CloudTrail's name where it has one.
DELETE_KEY: Final = Operation(name="DeleteKey", run=_delete, keys=on_key("kms:DeleteKey"), changes=True)
ERASE_KEY_MATERIAL: Final = Operation(name="EraseKeyMaterial", run=_record_erasure, changes=True)
