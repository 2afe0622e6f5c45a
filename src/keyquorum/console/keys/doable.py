# SPDX-License-Identifier: Apache-2.0
"""What can be done with a key next: as the life cycle's table has it for the key's state, and the operations for the
key's kind. Whether whoever is signed in may do it, is decided when they do."""

from collections.abc import Callable
from typing import Any, Final

from keyquorum import lifecycle
from keyquorum.errors import KMSError
from keyquorum.specs import is_symmetric

Metadata = dict[str, Any]


def _is_rotating(key: Metadata) -> bool:
    return is_symmetric(key["KeySpec"]) and not _is_replica(key)


def _is_replica(key: Metadata) -> bool:
    return _kind(key) == "REPLICA"


def _kind(key: Metadata) -> str:
    configuration: dict[str, Any] = key.get("MultiRegionConfiguration", {})
    return str(configuration.get("MultiRegionKeyType", ""))


def _is_imported(key: Metadata) -> bool:
    return bool(key["Origin"] == "EXTERNAL")


_FITS: Final[dict[str, Callable[[Metadata], bool]]] = {
    "EnableKey": lambda key: not key["Enabled"],
    "DisableKey": lambda key: bool(key["Enabled"]),
    "EnableKeyRotation": lambda key: _is_rotating(key) and not _is_imported(key),
    "DisableKeyRotation": lambda key: _is_rotating(key) and not _is_imported(key),
    "RotateKeyOnDemand": _is_rotating,
    "GetKeyRotationStatus": lambda key: is_symmetric(key["KeySpec"]),
    "ListKeyRotations": lambda key: is_symmetric(key["KeySpec"]),
    "GetParametersForImport": _is_imported,
    "DeleteImportedKeyMaterial": _is_imported,
    "ReplicateKey": lambda key: _kind(key) == "PRIMARY",
    "UpdatePrimaryRegion": lambda key: (
        _kind(key) == "PRIMARY" and bool(key["MultiRegionConfiguration"].get("ReplicaKeys"))
    ),
}


def can(operation: str, key: Metadata) -> bool:
    """Whether a key with these metadata can do it. False for a state that is not known here."""
    fits = _FITS.get(operation)
    try:
        lifecycle.check(operation, key["KeyState"], "")
    except (KMSError, KeyError):
        return False
    return fits is None or fits(key)


#: Key state -> what it means for whoever looks at the key.
NEXT: Final = {
    lifecycle.ENABLED: "The key can be used. Disabling it stops all use at once, and can be taken back at any time.",
    lifecycle.DISABLED: "Nobody can use the key until it is enabled again. Nothing is lost.",
    lifecycle.PENDING_DELETION: (
        "Nobody can use the key, and at the date below it will be destroyed for good, with all that was encrypted "
        "under it. Until then the deletion can be cancelled; the key is then disabled, and can be enabled again."
    ),
    lifecycle.PENDING_REPLICA_DELETION: (
        "Nobody can use the key. It will be destroyed after the last of its replicas, once the waiting period that "
        "begins then is over. Until then the deletion can be cancelled."
    ),
    lifecycle.PENDING_IMPORT: "The key has no key material, or not all of it: it can be used once that is imported.",
    lifecycle.UNAVAILABLE: "The key store that holds the key cannot be reached.",
    lifecycle.CREATING: "The key is being made. Wait a moment.",
    lifecycle.UPDATING: "The key's primary Region is being changed. Wait a moment.",
}
