# SPDX-License-Identifier: Apache-2.0
"""CreateAlias, UpdateAlias, DeleteAlias, ListAliases."""

import re
from collections.abc import Callable
from typing import Any, Final

from keyquorum import api
from keyquorum.arns import LAYOUTS
from keyquorum.errors import (
    AlreadyExistsException,
    LimitExceededException,
    NotAuthorizedException,
    NotFoundException,
    ValidationException,
)
from keyquorum.model import Alias, Key
from keyquorum.ops.operation import Call, Keys, KeyUse, Need, Operation
from keyquorum.ops.rules import paged
from keyquorum.specs import SPECS

_PREFIX: Final = "alias/"
_RESERVED: Final = "alias/aws"
_NAME: Final = re.compile(r"alias/[a-zA-Z0-9/_-]+", re.ASCII)
_PAGE_SIZES: Final = (50, 100)


def _check_name(name: str) -> None:
    if not name.startswith(_PREFIX):
        raise ValidationException(
            'Alias must start with the prefix "alias/". Please see '
            "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
        )
    if name == _RESERVED or name.startswith(_RESERVED + "/"):
        raise NotAuthorizedException
    if _NAME.fullmatch(name) is None:
        raise ValidationException(f"{name} contains invalid characters for an alias")


def _check_target(ref: str) -> None:
    if ref.startswith(_PREFIX) or (ref.startswith("arn:") and f":{_PREFIX}" in ref):
        raise ValidationException("Aliases must refer to keys. Not aliases")


def _create_keys(_call: Call, request: api.CreateAliasRequest) -> tuple[KeyUse, ...]:
    _check_name(str(request.alias_name))
    _check_target(str(request.target_key_id))
    return (KeyUse("kms:CreateAlias", str(request.target_key_id)),)


def _update_keys(_call: Call, request: api.UpdateAliasRequest) -> tuple[KeyUse, ...]:
    _check_name(str(request.alias_name))
    _check_target(str(request.target_key_id))
    return (
        KeyUse("kms:UpdateAlias", str(request.alias_name), "allowed"),
        KeyUse("kms:UpdateAlias", str(request.target_key_id), row="CreateAlias"),
    )


def _delete_keys(_call: Call, request: api.DeleteAliasRequest) -> tuple[KeyUse, ...]:
    _check_name(str(request.alias_name))
    return (KeyUse("kms:DeleteAlias", str(request.alias_name), "allowed"),)


def _on_alias(permission: str) -> Callable[[Call, Any], tuple[Need, ...]]:
    """The permission on the alias itself, beside that on its key: an alias has no policy."""

    def needs(call: Call, request: Any) -> tuple[Need, ...]:
        place, name = (call.caller.region, call.caller.account), str(request.alias_name)
        arn, *others = [layout.alias(*place, name) for layout in LAYOUTS]
        return (Need(permission, arn, tuple(others)),)

    return needs


def _create(call: Call, request: api.CreateAliasRequest, keys: Keys) -> None:
    key, store, txn = keys[0].key, call.services.store, call.write()
    name = str(request.alias_name)
    if store.aliases.load(txn.connection, key.account, key.region, name) is not None:
        arn = call.services.layout.alias(key.region, key.account, name)
        raise AlreadyExistsException(f"An alias with the name {arn} already exists")
    _check_room(call, key)
    store.aliases.insert(txn, Alias(key.account, key.region, name, key.key_id, call.now, call.now))


def _update(call: Call, request: api.UpdateAliasRequest, keys: Keys) -> None:
    current, target = keys[0].key, keys[1].key
    kinds = (SPECS[current.spec].kind, SPECS[target.spec].kind)
    for what, old, new in (("key usage", current.usage, target.usage), ("key type", *kinds)):
        if old != new:
            raise ValidationException(
                f"Alias {request.alias_name} cannot be changed from a CMK with {what} {old} to a CMK with {what} "
                f"{new}. The {what} of the current CMK and the new CMK must be the same."
            )
    if current.key_id != target.key_id:
        _check_room(call, target)
    call.services.store.aliases.point(call.write(), _stored(call, request.alias_name), target.key_id, call.now)


def _delete(call: Call, request: api.DeleteAliasRequest, _keys: Keys) -> None:
    call.services.store.aliases.delete(call.write(), _stored(call, request.alias_name))


def _stored(call: Call, name: str | None) -> Alias:
    account, region = call.caller.account, call.caller.region
    alias = call.services.store.aliases.load(call.write().connection, account, region, str(name))
    if alias is None:
        raise NotFoundException(f"Alias {call.services.layout.alias(region, account, str(name))} is not found.")
    return alias


def _check_room(call: Call, key: Key) -> None:
    limit = call.services.quotas.aliases_per_key
    if len(call.services.store.aliases.of_key(call.write().connection, key.key_id, key.region)) >= limit:
        raise LimitExceededException(f"A KMS key can have at most {limit} aliases.")


def _list_keys(_call: Call, request: api.ListAliasesRequest) -> tuple[KeyUse, ...]:
    return () if request.key_id is None else (KeyUse("kms:ListAliases", request.key_id, by="account"),)


def _list_needs(_call: Call, request: api.ListAliasesRequest) -> tuple[Need, ...]:
    return () if request.key_id is not None else (Need("kms:ListAliases"),)


def _list(call: Call, request: api.ListAliasesRequest, keys: Keys) -> api.ListAliasesResponse:
    caller, services = call.caller, call.services
    key_id = keys[0].key.key_id if keys else None
    scope = f"ListAliases {caller.account} {caller.region} {key_id}"

    def fetch(after: str, limit: int) -> list[Alias]:
        with services.store.database.read() as connection:
            return services.store.aliases.page(connection, caller.account, caller.region, key_id, after, limit)

    shown, marker, truncated = paged(call, scope, request, _PAGE_SIZES, fetch, lambda alias: alias.name)
    return api.ListAliasesResponse(
        aliases=[
            api.AliasListEntry(
                alias_name=alias.name,
                alias_arn=services.layout.alias(alias.region, alias.account, alias.name),
                target_key_id=alias.key_id,
                creation_date=alias.created_at,
                last_updated_date=alias.updated_at,
            )
            for alias in shown
        ],
        next_marker=marker,
        truncated=truncated,
    )


OPERATIONS = (
    Operation(name="CreateAlias", run=_create, keys=_create_keys, needs=_on_alias("kms:CreateAlias"), changes=True),
    Operation(name="UpdateAlias", run=_update, keys=_update_keys, needs=_on_alias("kms:UpdateAlias"), changes=True),
    Operation(name="DeleteAlias", run=_delete, keys=_delete_keys, needs=_on_alias("kms:DeleteAlias"), changes=True),
    Operation(name="ListAliases", run=_list, keys=_list_keys, needs=_list_needs, waits=True),
)
