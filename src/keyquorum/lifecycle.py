# SPDX-License-Identifier: Apache-2.0
"""The key state machine, a table: which operation a key allows in which state, and the state it leaves behind.

No other module compares states, a key's or a key material's. Pure. Source: AWS KMS Developer Guide, "Key states of AWS
KMS keys" (table of 2022-12; newer operations from the service model).
"""

from typing import Final

from keyquorum.errors import (
    DisabledException,
    KMSError,
    KMSInvalidStateException,
    UnsupportedOperationException,
)

ENABLED: Final = "Enabled"
DISABLED: Final = "Disabled"
PENDING_DELETION: Final = "PendingDeletion"
PENDING_REPLICA_DELETION: Final = "PendingReplicaDeletion"
PENDING_IMPORT: Final = "PendingImport"
UNAVAILABLE: Final = "Unavailable"
CREATING: Final = "Creating"
UPDATING: Final = "Updating"

#: The order of the columns below.
STATES: Final = (
    ENABLED,
    DISABLED,
    PENDING_DELETION,
    PENDING_REPLICA_DELETION,
    PENDING_IMPORT,
    UNAVAILABLE,
    CREATING,
    UPDATING,
)

# One letter a cell: . allowed, D DisabledException, S KMSInvalidStateException saying which state the key is in,
# N KMSInvalidStateException saying that it is not pending deletion, U UnsupportedOperationException.
# A cell that AWS marks "not applicable" refuses: S.
_ROWS: Final = {
    # what uses key material
    "Encrypt": ".DSSSSS.",
    "Decrypt": ".DSSSSS.",
    "ReEncrypt": ".DSSSSS.",
    "GenerateDataKey": ".DSSSSS.",
    "GenerateDataKeyWithoutPlaintext": ".DSSSSS.",
    "GenerateDataKeyPair": ".DSSSSS.",
    "GenerateDataKeyPairWithoutPlaintext": ".DSSSSS.",
    "Sign": ".DSSSSS.",
    "Verify": ".DSSSSS.",
    "GenerateMac": ".DSSSSS.",
    "VerifyMac": ".DSSSSS.",
    "GetPublicKey": ".DSSSSS.",
    "DeriveSharedSecret": ".DSSSSS.",
    "Encapsulate": ".DSSSSS.",
    "Decapsulate": ".DSSSSS.",
    # what describes a key
    "DescribeKey": "........",
    "GetKeyPolicy": "........",
    "GetKeyLastUsage": "........",
    "ListAliases": "........",
    "ListGrants": "........",
    "ListKeyPolicies": "........",
    "ListResourceTags": "........",
    "UpdateKeyDescription": "..SS....",
    "TagResource": "..SS....",
    "UntagResource": "..SS....",
    "PutKeyPolicy": "........",
    # its names; UpdateAlias checks its new key as CreateAlias does
    "CreateAlias": "..SS....",
    "UpdateAlias": "........",
    "DeleteAlias": "........",
    # its state
    "EnableKey": "..SSS.SS",
    "DisableKey": "..SSS.SS",
    "ScheduleKeyDeletion": "..SS...S",
    "CancelKeyDeletion": "NN..NNNN",
    "DeleteKey": "NN.SNNNN",  # this and the others below in brackets are the jobs', no operations of the API
    # grants
    "CreateGrant": ".DSSS.S.",
    "RetireGrant": "........",
    "RevokeGrant": "........",
    # rotation
    "EnableKeyRotation": ".DSSUUS.",
    "DisableKeyRotation": ".DSSUUS.",
    "GetKeyRotationStatus": "....UU..",
    "ListKeyRotations": ".....U..",
    "RotateKeyOnDemand": ".DSSSUS.",
    "RotateKey": ".DSSSSS.",  # (the automatic rotation)
    # imported material
    "GetParametersForImport": "..SS.USS",
    "ImportKeyMaterial": "..SS.US.",
    "DeleteImportedKeyMaterial": ".....SSS",
    "DeleteExpiredKeyMaterial": "........",  # (the expiry)
    # multi-Region
    "ReplicateKey": ".DSSSSSS",
    "UpdatePrimaryRegion": ".DSSSSS.",
}

_TABLE: Final = {state: {row: cells[i] for row, cells in _ROWS.items()} for i, state in enumerate(STATES)}

_DESCRIPTIONS: Final = {
    ENABLED: "enabled",
    DISABLED: "disabled",
    PENDING_DELETION: "pending deletion",
    PENDING_REPLICA_DELETION: "pending replica deletion",
    PENDING_IMPORT: "pending import",
    UNAVAILABLE: "unavailable",
    CREATING: "creating",
    UPDATING: "updating",
}

#: The state that an operation leaves a key in, where it changes it.
AFTER: Final = {
    "CreateKey": ENABLED,
    "EnableKey": ENABLED,
    "DisableKey": DISABLED,
    "ScheduleKeyDeletion": PENDING_DELETION,
    "CancelKeyDeletion": DISABLED,
    "ImportKeyMaterial": ENABLED,
}

#: The states that a key may be in after an operation of which it is known that nothing else changed the state since.
_FOLLOW: Final = {
    "EnableKey": (ENABLED,),
    "DisableKey": (DISABLED,),
    "CancelKeyDeletion": (DISABLED, PENDING_IMPORT),
    # A primary waits for its replicas, and then for its date.
    "ScheduleKeyDeletion": (PENDING_DELETION, PENDING_REPLICA_DELETION),
}

#: The states of a key material. In one of the last two it is not yet the key's own, and does not keep the key waiting
#: when it goes.
CURRENT: Final = "CURRENT"
NON_CURRENT: Final = "NON_CURRENT"
PENDING_ROTATION: Final = "PENDING_ROTATION"
PENDING_IMPORTS: Final = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"

#: The states in which a key is rotated when the date comes; in others it waits.
ROTATING: Final = (ENABLED,)

#: The states that a seed file may put a key in.
SEEDED: Final = (ENABLED, DISABLED, PENDING_DELETION)


def check(row: str, state: str, arn: str) -> None:
    """Return if a key in ``state`` allows the operation ``row``; else raise AWS's error for that cell."""
    cell = _TABLE[state][row]
    if cell != ".":
        raise _fault(cell, state, arn)


def _fault(cell: str, state: str, arn: str) -> KMSError:
    if cell == "D":
        return DisabledException(f"{arn} is disabled.")
    if cell == "U":
        # Only a key whose material is imported can wait for it, and AWS names that origin as the reason.
        problem = "origin is EXTERNAL" if state == PENDING_IMPORT else f"is {_DESCRIPTIONS[state]},"
        return UnsupportedOperationException(f"{arn} {problem} which is not valid for this operation.")
    if cell == "N":
        return KMSInvalidStateException(f"{arn} is not pending deletion.")
    return KMSInvalidStateException(f"{arn} is {_DESCRIPTIONS[state]}.")


def may_follow(operation: str, state: str) -> bool:
    """Whether a key may be in this state if the operation was the last that changed it."""
    return state in _FOLLOW[operation]


def is_enabled(state: str) -> bool:
    """KeyMetadata's ``Enabled``."""
    return state == ENABLED


def shows_deletion_date(state: str) -> bool:
    """KeyMetadata has a DeletionDate in this state only."""
    return state == PENDING_DELETION


def awaits_replicas(state: str) -> bool:
    """Whether the key is a primary that is deleted once its replicas are."""
    return state == PENDING_REPLICA_DELETION


def awaits_material(state: str) -> bool:
    """Whether the key needs key material to be imported before it can be used."""
    return state == PENDING_IMPORT


def after_loss_of_material(state: str) -> str:
    """The state of a key that has lost imported material: a scheduled deletion goes on, all else waits for it."""
    return state if state in (PENDING_DELETION, PENDING_REPLICA_DELETION) else PENDING_IMPORT


def at(state: str, ends: float | None, now: float) -> str:
    """The state of a key whose imported material ends at ``ends``, although the job has not seen to it yet."""
    return state if ends is None or now < ends else after_loss_of_material(state)


def shows_rotation(state: str) -> bool:
    """Whether GetKeyRotationStatus tells that rotation is enabled: not while a deletion is pending."""
    return state not in (PENDING_DELETION, PENDING_REPLICA_DELETION)


def may_be_seeded(state: str, *, has_material: bool) -> bool:
    """Whether a seed file may say that a key is in this state; one without material is PendingImport, whatever it says,
    and so may only leave the default."""
    return state in SEEDED if has_material else state == ENABLED


def is_current(material: str) -> bool:
    """Whether the material is what the key encrypts with."""
    return material == CURRENT


def is_own(material: str) -> bool:
    """Whether the material belongs to the key for good, and does not only wait for a rotation."""
    return material in (CURRENT, NON_CURRENT)


def pending_state(*, ready: bool) -> str:
    """The state of a material that waits for a rotation: ``ready`` if it is imported in all of the key's Regions."""
    return PENDING_ROTATION if ready else PENDING_IMPORTS


def awaits_rotation(material: str) -> bool:
    """Whether the material becomes current with the next rotation."""
    return material == PENDING_ROTATION
