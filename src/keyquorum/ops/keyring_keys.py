# SPDX-License-Identifier: Apache-2.0
"""What becomes of a keyring key: made, retired once nothing is kept under it, destroyed. No operations of the API: the
system does them by itself, or for whoever holds the seal (docs/adr/0022)."""

from typing import Any, Final

import msgspec

from keyquorum.errors import ValidationException
from keyquorum.ops.operation import Call, Keys, Operation
from keyquorum.store import roots

#: How long what was sealed under a retired keyring key is good for. The longest-lived is a session of 36 hours (STS API
#: reference, GetSessionToken, "DurationSeconds"); an hour more for clocks.
KEPT_SECONDS: Final = 37 * 3600


class KeyringVersion(msgspec.Struct, frozen=True):
    """The keyring key that is meant."""

    keyring_version: int


def _rotate(call: Call, request: KeyringVersion, _keys: Keys) -> None:
    txn, keyring = call.write(), call.services.keyring
    if request.keyring_version != roots.newest_version(txn.connection) + 1:
        raise ValidationException("the keyring key was rotated a moment ago")
    roots.add_keyring_key(txn, request.keyring_version, keyring.next_key(request.keyring_version), call.now)


def _known(call: Call, request: KeyringVersion) -> roots.KeyringKey:
    """An older keyring key, under which nothing is kept. Raises ValidationException for any other."""
    connection, store = call.write().connection, call.services.store
    *older, _ = roots.known_keyring_keys(connection)
    version = request.keyring_version
    found = next((key for key in older if key.version == version), None)
    if found is None:
        raise ValidationException(f"there is no keyring key {version} that another one has replaced")
    if store.keys.materials.count_under(connection, version) or store.access_keys.count_under(connection, version):
        raise ValidationException(f"keyring key {version} is in use")
    return found


def _retire(call: Call, request: KeyringVersion, _keys: Keys) -> None:
    if _known(call, request).retired_at is not None:
        raise ValidationException(f"keyring key {request.keyring_version} is retired already")
    roots.retire_keyring_key(call.write(), request.keyring_version, call.now)


def _destroy(call: Call, request: KeyringVersion, _keys: Keys) -> None:
    retired_at = _known(call, request).retired_at
    if retired_at is None or call.now < retired_at + KEPT_SECONDS:
        raise ValidationException(f"keyring key {request.keyring_version} is not due")
    roots.destroy_keyring_key(call.write(), request.keyring_version)


def _operation(name: str, run: Any) -> Operation:
    return Operation(name=name, run=run, open=True, changes=True)


ROTATE_KEYRING_KEY: Final = _operation("RotateKeyringKey", _rotate)
RETIRE_KEYRING_KEY: Final = _operation("RetireKeyringKey", _retire)
DESTROY_KEYRING_KEY: Final = _operation("DestroyKeyringKey", _destroy)
