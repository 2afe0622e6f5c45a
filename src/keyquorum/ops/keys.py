# SPDX-License-Identifier: Apache-2.0
"""CreateKey, DescribeKey, ListKeys, UpdateKeyDescription."""

import base64
import uuid
from typing import Final

from keyquorum import api, arns, lifecycle
from keyquorum.errors import (
    AlreadyExistsException,
    UnsupportedOperationException,
    ValidationException,
)
from keyquorum.model import Key, KeyRecord
from keyquorum.ops.metadata import metadata
from keyquorum.ops.operation import Call, Keys, Need, Operation, in_account, on_key
from keyquorum.ops.rules import acceptable_policy, check_room, merged_tags, paged, tagging
from keyquorum.specs import ENCRYPT_DECRYPT, SPECS, SYMMETRIC_DEFAULT, is_symmetric

_PAGE_SIZES: Final = (100, 1000)
_CUSTOM_MATERIAL_BYTES: Final = 32

# Tags that users of test emulators know; with --dev they choose, and are not kept.
_CUSTOM_ID: Final = "_custom_id_"
_CUSTOM_MATERIAL: Final = "_custom_key_material_"


def _prepare(call: Call, request: api.CreateKeyRequest, _keys: Keys) -> bytes | None:
    """The key material, generated before the database is locked: RSA takes its time."""
    spec, _ = _spec_and_usage(request)
    _check_origin(request, spec)
    merged_tags(call, {}, request.tags or [])
    return None if request.origin == "EXTERNAL" else call.services.keyring.generate(spec)


def _create_needs(call: Call, request: api.CreateKeyRequest) -> tuple[Need, ...]:
    needs = (Need("kms:CreateKey"),)
    return (*needs, tagging(call, call.caller.region)) if request.tags else needs


def _computes(request: api.CreateKeyRequest) -> bool:
    return (request.key_spec or request.customer_master_key_spec or "").startswith("RSA_")


def _create_key(call: Call, request: api.CreateKeyRequest, _keys: Keys) -> api.CreateKeyResponse:
    spec, usage = _spec_and_usage(request)
    services, caller = call.services, call.caller
    tags = merged_tags(call, {}, request.tags or [])
    chosen_id, chosen_material = _chosen(tags, spec) if services.development else (None, None)
    policy = acceptable_policy(call, request.policy, caller.account, bypass=request.bypass_policy_lockout_safety_check)
    txn, store = call.write(), services.store
    key_id = chosen_id or (f"mrk-{uuid.uuid4().hex}" if request.multi_region else str(uuid.uuid4()))
    if store.keys.is_taken(txn.connection, key_id):
        raise AlreadyExistsException(f"A key with the ID {key_id} exists already, or has been deleted")
    check_room(call, caller.region)
    material = None
    if call.prepared is not None:
        material = services.keyring.wrap_material(key_id, caller.region, chosen_material or call.prepared, call.now)
    key = Key(
        key_id=key_id,
        account=caller.account,
        region=caller.region,
        spec=spec,
        usage=usage,
        origin=request.origin or "AWS_KMS",
        state=lifecycle.AFTER["CreateKey"] if material is not None else lifecycle.PENDING_IMPORT,
        description=request.description or "",
        created_at=call.now,
        material_id=material.material_id if material is not None else "",
        primary_region=caller.region if request.multi_region else None,
        tags=tuple(sorted(tags.items())),
    )
    materials = [] if material is None else [material]
    store.keys.insert(txn, key, materials, policy)
    call.made.append(key)
    return api.CreateKeyResponse(key_metadata=metadata(call, KeyRecord(key, {m.material_id: m for m in materials})))


def _spec_and_usage(request: api.CreateKeyRequest) -> tuple[str, str]:
    if request.key_spec is not None and request.customer_master_key_spec is not None:
        raise ValidationException(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
            "CustomerMasterKeySpec is deprecated."
        )
    name = request.key_spec or request.customer_master_key_spec or SYMMETRIC_DEFAULT
    spec = SPECS.get(name)
    if spec is None:
        raise UnsupportedOperationException(f"KeySpec {name} is not supported in this Region.")
    usage = request.key_usage
    if usage is None:
        if not is_symmetric(name):
            raise ValidationException(
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
            )
        usage = ENCRYPT_DECRYPT
    if usage not in spec.usages:
        raise ValidationException(f"KeyUsage {usage} is not compatible with KeySpec {name}")
    return name, usage


def _check_origin(request: api.CreateKeyRequest, spec: str) -> None:
    if request.custom_key_store_id is not None or request.xks_key_id is not None:
        raise UnsupportedOperationException("Custom key stores are not supported yet.")
    if request.origin not in (None, "AWS_KMS", "EXTERNAL"):
        raise UnsupportedOperationException(f"Origin {request.origin} is not supported yet.")
    if request.origin == "EXTERNAL" and not SPECS[spec].imported:
        raise UnsupportedOperationException(f"Importing key material is not supported for key spec {spec}.")


def _chosen(tags: dict[str, str], spec: str) -> tuple[str | None, bytes | None]:
    """Take the emulators' tags out of ``tags``: the key ID and the key material that they choose."""
    key_id = tags.pop(_CUSTOM_ID, None)
    if key_id is not None and not arns.is_usable_key_id(key_id):
        raise ValidationException(f"The value of tag {_CUSTOM_ID} cannot be a key ID")
    encoded = tags.pop(_CUSTOM_MATERIAL, None)
    if encoded is None:
        return key_id, None
    try:
        material = base64.b64decode(encoded, validate=True)
    except ValueError:  # no base64, or no ASCII
        material = b""
    if not is_symmetric(spec) or len(material) != _CUSTOM_MATERIAL_BYTES:
        raise ValidationException(
            f"The value of tag {_CUSTOM_MATERIAL} must be {_CUSTOM_MATERIAL_BYTES} bytes in base64, for a symmetric key"
        )
    return key_id, material


def _describe_key(call: Call, _request: api.DescribeKeyRequest, keys: Keys) -> api.DescribeKeyResponse:
    key = keys[0].key
    family = None
    if key.primary_region is not None:
        call.wait()
        with call.services.store.database.read() as connection:
            family = call.services.store.keys.regions(connection, key.key_id)
    return api.DescribeKeyResponse(key_metadata=metadata(call, KeyRecord(key, keys[0].materials), family))


def _list_keys(call: Call, request: api.ListKeysRequest, _keys: Keys) -> api.ListKeysResponse:
    caller, services = call.caller, call.services
    scope = f"ListKeys {caller.account} {caller.region}"

    def fetch(after: str, limit: int) -> list[str]:
        with services.store.database.read() as connection:
            return services.store.keys.page(connection, caller.account, caller.region, after, limit)

    shown, marker, truncated = paged(call, scope, request, _PAGE_SIZES, fetch, str)
    return api.ListKeysResponse(
        keys=[api.KeyListEntry(key_id=k, key_arn=services.layout.key(caller.region, caller.account, k)) for k in shown],
        next_marker=marker,
        truncated=truncated,
    )


def _update_description(call: Call, request: api.UpdateKeyDescriptionRequest, keys: Keys) -> None:
    call.services.store.keys.update(call.write(), keys[0].key, description=request.description)


OPERATIONS = (
    Operation(
        name="CreateKey",
        run=_create_key,
        needs=_create_needs,
        prepare=_prepare,
        changes=True,
        computes=_computes,
    ),
    Operation(name="DescribeKey", run=_describe_key, keys=on_key("kms:DescribeKey", alias="allowed")),
    Operation(name="ListKeys", run=_list_keys, needs=in_account("kms:ListKeys"), waits=True),
    Operation(
        name="UpdateKeyDescription",
        run=_update_description,
        keys=on_key("kms:UpdateKeyDescription"),
        changes=True,
    ),
)
