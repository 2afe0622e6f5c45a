# SPDX-License-Identifier: Apache-2.0
"""The key state machine, a table: which operation a key allows in which state, and the state it leaves behind.

No other module compares key states. Pure. Source: AWS KMS Developer Guide, "Key states of AWS KMS keys"
(table of 2022-12; newer operations from the service model).
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
    "DeleteKey": "NN.SNNNN",  # the deletion itself, by the job: no operation of the API
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
    # imported material
    "GetParametersForImport": "..SS.USS",
    "ImportKeyMaterial": "..SS.US.",
    "DeleteImportedKeyMaterial": ".....SSS",
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
}


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


def is_enabled(state: str) -> bool:
    """KeyMetadata's ``Enabled``."""
    return state == ENABLED


def shows_deletion_date(state: str) -> bool:
    """KeyMetadata has a DeletionDate in this state only."""
    return state == PENDING_DELETION


def awaits_material(state: str) -> bool:
    """Whether the key has no usable material yet, so that KeyMetadata names none."""
    return state == PENDING_IMPORT


def may_be_seeded(state: str) -> bool:
    return state in SEEDED
