# SPDX-License-Identifier: Apache-2.0
"""CreateKey, DescribeKey, ListKeys, UpdateKeyDescription."""

import base64
import uuid
from typing import Final

from keyquorum import api, arns, lifecycle
from keyquorum.authz.policy import default_key_policy
from keyquorum.errors import AlreadyExistsException, UnsupportedOperationException, ValidationException
from keyquorum.model import Key
from keyquorum.ops.operation import Call, Keys, Operation, on_key
from keyquorum.ops.policies import acceptable_policy
from keyquorum.ops.tags import merged_tags
from keyquorum.specs import SPECS, SYMMETRIC_DEFAULT

_DEFAULT_PAGE: Final = 100

# Tags that users of test emulators know; with --dev they choose, and are not kept.
_CUSTOM_ID: Final = "_custom_id_"
_CUSTOM_MATERIAL: Final = "_custom_key_material_"


def metadata(call: Call, key: Key) -> api.KeyMetadata:
    """Every member that AWS returns for this kind of key and state."""
    spec = SPECS[key.spec]
    return api.KeyMetadata(
        aws_account_id=key.account,
        key_id=key.key_id,
        arn=call.arn(key),
        creation_date=key.created_at,
        enabled=lifecycle.is_enabled(key.state),
        description=key.description,
        key_usage=key.usage,
        key_state=key.state,
        deletion_date=key.deletion_date if lifecycle.shows_deletion_date(key.state) else None,
        origin=key.origin,
        key_manager="CUSTOMER",
        customer_master_key_spec=key.spec,
        key_spec=key.spec,
        encryption_algorithms=list(spec.algorithms),
        multi_region=False,
        current_key_material_id=None if lifecycle.awaits_material(key.state) else key.material_id,
    )


def _create_key(call: Call, request: api.CreateKeyRequest, _keys: Keys) -> api.CreateKeyResponse:
    spec, usage = _spec_and_usage(request)
    _refuse_what_is_not_there_yet(request)
    tags = merged_tags({}, request.tags or [])
    chosen_id, material = _chosen(tags) if call.services.development else (None, None)
    policy = request.policy
    if policy is None:
        policy = default_key_policy(call.caller.account)
    else:
        policy = acceptable_policy(call, policy, bypass=request.bypass_policy_lockout_safety_check)
    txn, store = call.write(), call.services.store
    key_id = chosen_id or str(uuid.uuid4())
    if store.keys.is_taken(txn.connection, key_id):
        raise AlreadyExistsException(f"A key with the ID {key_id} exists already, or has been deleted")
    wrapped = call.services.keyring.new_material(key_id, spec, call.now, material)
    key = Key(
        key_id=key_id,
        account=call.caller.account,
        region=call.caller.region,
        spec=spec,
        usage=usage,
        origin="AWS_KMS",
        state=lifecycle.AFTER["CreateKey"],
        description=request.description or "",
        created_at=call.now,
        material_id=wrapped.material_id,
        tags=tuple(sorted(tags.items())),
    )
    store.keys.insert(txn, key, wrapped, policy)
    call.made.append(key)
    return api.CreateKeyResponse(key_metadata=metadata(call, key))


def _spec_and_usage(request: api.CreateKeyRequest) -> tuple[str, str]:
    if request.key_spec is not None and request.customer_master_key_spec is not None:
        raise ValidationException(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
            "CustomerMasterKeySpec is deprecated."
        )
    name = request.key_spec or request.customer_master_key_spec or SYMMETRIC_DEFAULT
    spec = SPECS.get(name)
    if spec is None:
        raise UnsupportedOperationException(f"KeySpec {name} is not supported yet.")
    usage = request.key_usage or spec.default_usage
    if usage is None:
        raise ValidationException(
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
        )
    if usage not in spec.usages:
        raise ValidationException(f"KeyUsage {usage} is not compatible with KeySpec {name}")
    return name, usage


def _refuse_what_is_not_there_yet(request: api.CreateKeyRequest) -> None:
    if request.custom_key_store_id is not None or request.xks_key_id is not None:
        raise UnsupportedOperationException("Custom key stores are not supported yet.")
    if request.origin not in (None, "AWS_KMS"):
        raise UnsupportedOperationException(f"Origin {request.origin} is not supported yet.")
    if request.multi_region:
        raise UnsupportedOperationException("Multi-Region keys are not supported yet.")


def _chosen(tags: dict[str, str]) -> tuple[str | None, bytes | None]:
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
    expected = SPECS[SYMMETRIC_DEFAULT].material_bytes
    if len(material) != expected:
        raise ValidationException(f"The value of tag {_CUSTOM_MATERIAL} must be {expected} bytes in base64")
    return key_id, material


def _describe_key(call: Call, _request: api.DescribeKeyRequest, keys: Keys) -> api.DescribeKeyResponse:
    return api.DescribeKeyResponse(key_metadata=metadata(call, keys[0].key))


def _list_keys(call: Call, request: api.ListKeysRequest, _keys: Keys) -> api.ListKeysResponse:
    caller, services = call.caller, call.services
    scope = f"ListKeys {caller.account} {caller.region}"
    after = services.pages.read(scope, request.marker) if request.marker is not None else ""
    limit = request.limit or _DEFAULT_PAGE
    with services.store.database.read() as connection:
        found = services.store.keys.page(connection, caller.account, caller.region, after, limit + 1)
    shown, truncated = found[:limit], len(found) > limit
    return api.ListKeysResponse(
        keys=[api.KeyListEntry(key_id=k, key_arn=services.layout.key(caller.region, caller.account, k)) for k in shown],
        next_marker=services.pages.issue(scope, shown[-1]) if truncated else None,
        truncated=truncated,
    )


def _update_description(call: Call, request: api.UpdateKeyDescriptionRequest, keys: Keys) -> None:
    call.services.store.keys.update(call.write(), keys[0].key, description=request.description)


OPERATIONS = (
    Operation(name="CreateKey", run=_create_key, changes=True),
    Operation(name="DescribeKey", run=_describe_key, keys=on_key("kms:DescribeKey", alias="allowed")),
    Operation(name="ListKeys", run=_list_keys, waits=True),
    Operation(
        name="UpdateKeyDescription",
        run=_update_description,
        keys=on_key("kms:UpdateKeyDescription"),
        changes=True,
    ),
)
