# SPDX-License-Identifier: Apache-2.0
"""Every cell of the key state table, written down a second time, and held to AWS's where that is at hand."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from keyquorum import api, lifecycle
from keyquorum.errors import DisabledException, KMSError, KMSInvalidStateException, UnsupportedOperationException

ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
FACTS = Path(os.environ.get("KEYQUORUM_FACTS", Path(__file__).parents[3] / "shared" / "facts")) / "key_states.json"

# In the order of the states Enabled, Disabled, PendingDeletion, PendingReplicaDeletion, PendingImport, Unavailable,
# Creating, Updating; "ok", Disabled, invalid State, Unsupported. What AWS calls not applicable is an invalid state.
STATES = [
    "Enabled",
    "Disabled",
    "PendingDeletion",
    "PendingReplicaDeletion",
    "PendingImport",
    "Unavailable",
    "Creating",
    "Updating",
]
EXPECTED = {
    "ok D S S S S S ok": """Encrypt Decrypt ReEncrypt GenerateDataKey GenerateDataKeyWithoutPlaintext
        GenerateDataKeyPair GenerateDataKeyPairWithoutPlaintext Sign Verify GenerateMac VerifyMac GetPublicKey
        DeriveSharedSecret Encapsulate Decapsulate UpdatePrimaryRegion""",
    "ok ok ok ok ok ok ok ok": """DescribeKey GetKeyPolicy PutKeyPolicy ListKeyPolicies ListAliases ListGrants
        ListResourceTags GetKeyLastUsage UpdateAlias DeleteAlias RetireGrant RevokeGrant""",
    "ok ok S S ok ok ok ok": "CreateAlias TagResource UntagResource UpdateKeyDescription",
    "ok ok S S S ok S S": "EnableKey DisableKey",
    "ok ok S S ok ok ok S": "ScheduleKeyDeletion",
    "S S ok ok S S S S": "CancelKeyDeletion",
    "ok D S S S ok S ok": "CreateGrant",
    "ok D S S U U S ok": "EnableKeyRotation DisableKeyRotation",
    "ok ok ok ok U U ok ok": "GetKeyRotationStatus",
    "ok ok ok ok ok U ok ok": "ListKeyRotations",
    "ok D S S S U S ok": "RotateKeyOnDemand",
    "ok ok S S ok U S S": "GetParametersForImport",
    "ok ok S S ok U S ok": "ImportKeyMaterial",
    "ok ok ok ok ok S S S": "DeleteImportedKeyMaterial",
    "ok D S S S S S S": "ReplicateKey",
}
CELLS = {
    (operation, state): cell
    for row, operations in EXPECTED.items()
    for operation in operations.split()
    for state, cell in zip(STATES, row.split(), strict=True)
}
SAID = {
    "Enabled": "is enabled.",
    "Disabled": "is disabled.",
    "PendingDeletion": "is pending deletion.",
    "PendingReplicaDeletion": "is pending replica deletion.",
    "PendingImport": "is pending import.",
    "Unavailable": "is unavailable.",
    "Creating": "is creating.",
    "Updating": "is updating.",
}
UNSUPPORTED = {
    "PendingImport": "origin is EXTERNAL which is not valid for this operation.",
    "Unavailable": "is unavailable, which is not valid for this operation.",
}


def outcome(operation: str, state: str) -> tuple[type[KMSError], str] | None:
    try:
        lifecycle.check(operation, state, ARN)
    except KMSError as error:
        return type(error), error.message or ""
    return None


@pytest.mark.parametrize(("operation", "state"), CELLS, ids=map("-".join, CELLS))
def test_a_cell(operation: str, state: str) -> None:
    cell = CELLS[operation, state]
    if operation == "CancelKeyDeletion" and cell == "S":
        said = "is not pending deletion."
    else:
        said = UNSUPPORTED[state] if cell == "U" else SAID[state]
    fault = {"D": DisabledException, "S": KMSInvalidStateException, "U": UnsupportedOperationException}.get(cell)
    assert outcome(operation, state) == (fault and (fault, f"{ARN} {said}"))


@pytest.mark.parametrize("state", STATES)
def test_a_key_is_deleted_by_the_job_in_the_state_that_waits_for_it_only(state: str) -> None:
    """A primary key whose replicas are still there stays, whatever its date."""
    assert (outcome("DeleteKey", state) is None) == (state == "PendingDeletion")


def facts() -> dict[str, dict[str, Any]]:
    if FACTS.is_file():
        operations: dict[str, dict[str, Any]] = json.loads(FACTS.read_text())["operations"]
        return operations
    if os.environ.get("CI"):
        pytest.fail(f"no facts about key states at {FACTS}: set KEYQUORUM_FACTS")
    pytest.skip(f"no facts about key states at {FACTS}: set KEYQUORUM_FACTS")


def test_the_cells_are_those_of_the_documentation() -> None:
    """Where it allows several answers, the first; where it says that a cell is not applicable, a refusal."""
    letters = {
        "ok": "ok",
        "DisabledException": "D",
        "KMSInvalidStateException": "S",
        "UnsupportedOperationException": "U",
        "N/A": "S",
    }
    documented = {
        (operation, state): letters[(cell if isinstance(cell, str) else cell[0]).removeprefix("~")]
        for operation, row in facts().items()
        for state, cell in row.items()
        if state != "notes"
    }
    assert documented == CELLS


# The operations of the API that name no KMS key that exists.
WITHOUT_KEY = {
    "CreateKey",
    "ListKeys",
    "GenerateRandom",
    "ListRetirableGrants",
    "CreateCustomKeyStore",
    "DeleteCustomKeyStore",
    "DescribeCustomKeyStores",
    "ConnectCustomKeyStore",
    "DisconnectCustomKeyStore",
    "UpdateCustomKeyStore",
}


def test_every_operation_on_a_key_has_a_row() -> None:
    assert set(api.OPERATIONS) - WITHOUT_KEY == {operation for operation, _ in CELLS}
    for name in WITHOUT_KEY:
        assert not {"key_id", "target_key_id"} & set(api.OPERATIONS[name].request.__struct_fields__), name


def test_only_an_enabled_key_is_shown_as_enabled_and_only_one_pending_deletion_with_a_date() -> None:
    assert [s for s in STATES if lifecycle.is_enabled(s)] == ["Enabled"]
    assert [s for s in STATES if lifecycle.shows_deletion_date(s)] == ["PendingDeletion"]
