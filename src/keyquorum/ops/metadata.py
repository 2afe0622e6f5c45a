# SPDX-License-Identifier: Apache-2.0
"""KeyMetadata: every member that AWS returns for a key of this kind, in this state."""

from typing import Any, Final

from keyquorum import api, lifecycle
from keyquorum.model import Key, KeyRecord
from keyquorum.ops.operation import Call
from keyquorum.ops.rules import is_complete, own
from keyquorum.specs import (
    ENCAPSULATE_DECAPSULATE,
    ENCRYPT_DECRYPT,
    GENERATE_VERIFY_MAC,
    KEY_AGREEMENT,
    SIGN_VERIFY,
    SPECS,
    is_symmetric,
)

#: KeyUsage -> the member that lists its algorithms, of KeyMetadata and of GetPublicKey's answer.
ALGORITHMS_MEMBER: Final = {
    ENCRYPT_DECRYPT: "encryption_algorithms",
    SIGN_VERIFY: "signing_algorithms",
    GENERATE_VERIFY_MAC: "mac_algorithms",
    KEY_AGREEMENT: "key_agreement_algorithms",
    ENCAPSULATE_DECAPSULATE: "encapsulation_algorithms",
}

EXPIRES: Final = "KEY_MATERIAL_EXPIRES"
DOES_NOT_EXPIRE: Final = "KEY_MATERIAL_DOES_NOT_EXPIRE"


def metadata(call: Call, record: KeyRecord, family: list[Key] | None = None) -> api.KeyMetadata:
    """``family``: the key in every Region, for a multi-Region key."""
    key = record.key
    members: dict[str, Any] = {
        ALGORITHMS_MEMBER[key.usage]: list(SPECS[key.spec].usages[key.usage]),
    }
    if lifecycle.shows_deletion_date(key.state):
        members["deletion_date"] = key.deletion_date
    if lifecycle.awaits_replicas(key.state):
        members["pending_deletion_window_in_days"] = key.pending_window
    if is_symmetric(key.spec) and key.material_id:
        members["current_key_material_id"] = key.material_id
    if key.origin == "EXTERNAL" and is_complete(record.materials):
        dates = [m.valid_to for m in own(record.materials) if m.valid_to is not None]
        members["expiration_model"] = EXPIRES if dates else DOES_NOT_EXPIRE
        if dates:
            members["valid_to"] = min(dates)
    if key.primary_region is not None:
        members["multi_region_configuration"] = _configuration(call, key, family or [key])
    return api.KeyMetadata(
        aws_account_id=key.account,
        key_id=key.key_id,
        arn=call.arn(key),
        creation_date=key.created_at,
        enabled=lifecycle.is_enabled(key.state),
        description=key.description,
        key_usage=key.usage,
        key_state=key.state,
        origin=key.origin,
        key_manager="CUSTOMER",
        customer_master_key_spec=key.spec,
        key_spec=key.spec,
        multi_region=key.primary_region is not None,
        **members,
    )


def _configuration(call: Call, key: Key, family: list[Key]) -> api.MultiRegionConfiguration:
    def entry(member: Key) -> api.MultiRegionKey:
        return api.MultiRegionKey(arn=call.arn(member), region=member.region)

    primary = next((member for member in family if member.is_primary), key)
    return api.MultiRegionConfiguration(
        multi_region_key_type="PRIMARY" if key.is_primary else "REPLICA",
        primary_key=entry(primary),
        replica_keys=[entry(member) for member in family if member.is_replica],
    )
