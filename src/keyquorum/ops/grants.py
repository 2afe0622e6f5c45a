# SPDX-License-Identifier: Apache-2.0
"""CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant.

What a grant allows is decided elsewhere, as soon as it is stored: a grant token names a grant and proves nothing about
who holds it.
"""

import re
import secrets
from collections.abc import Callable
from typing import Any, Final

import msgspec

from keyquorum import api, arns
from keyquorum.errors import (
    AccessDeniedException,
    InvalidArnException,
    LimitExceededException,
    NotFoundException,
    ValidationException,
)
from keyquorum.model import Grant, Key
from keyquorum.ops.operation import Call, Keys, KeyUse, Operation, in_account, on_key
from keyquorum.ops.rules import GrantToken, paged
from keyquorum.specs import granted_operations, is_symmetric

_PAGE_SIZES: Final = (50, 100)
_LONGEST_CONTEXT: Final = 8

#: What can be a grantee or a retiring principal (API reference, CreateGrant).
_PRINCIPAL: Final = re.compile(
    r"arn:aws:(iam::[0-9]{12}:(root|(user|role|federated-user)/[\w+=,.@/-]{1,512})"
    r"|sts::[0-9]{12}:(assumed-role/[\w+=,.@-]+/[\w+=,.@-]+|federated-user/[\w+=,.@-]+))",
    re.ASCII,
)


def _principal(arn: str | None, service: str | None, role: str) -> tuple[str | None, bool]:
    """The principal's ARN or service name, and whether it is a service."""
    if arn is not None and service is not None:
        raise ValidationException(f"Specify either {role}Principal or {role}ServicePrincipal, but not both.")
    if arn is not None:
        arn = arns.principal(arn)
        if _PRINCIPAL.fullmatch(arn) is None:
            raise InvalidArnException(f"ARN does not refer to a valid principal: {arn}")
    return arn or service, service is not None


def _create_keys(call: Call, request: api.CreateGrantRequest) -> tuple[KeyUse, ...]:
    if request.grantee_principal is None and request.grantee_service_principal is None:
        raise ValidationException("Specify either GranteePrincipal or GranteeServicePrincipal.")
    _principal(request.grantee_principal, request.grantee_service_principal, "Grantee")
    _principal(request.retiring_principal, request.retiring_service_principal, "Retiring")
    operations = request.operations or []
    if not operations:
        raise ValidationException("A grant must allow at least one operation.")
    if set(operations) == {"CreateGrant"}:
        raise ValidationException("Grants must not contain only the CreateGrant operation.")
    source = request.constraints.source_arn if request.constraints is not None else None
    if request.grantee_service_principal is not None and (
        source is None or (request.retiring_principal is None and request.retiring_service_principal is None)
    ):
        raise ValidationException(
            "A grant to a service principal needs the grant constraint SourceArn and a retiring principal."
        )
    return on_key("kms:CreateGrant")(call, request)


def _check_for_key(key: Key, request: api.CreateGrantRequest) -> None:
    allowed = granted_operations(key.spec, key.usage)
    foreign = [operation for operation in request.operations or [] if operation not in allowed]
    if foreign:
        raise ValidationException(
            f"The operations {', '.join(foreign)} are not valid in a grant on a key with key spec {key.spec} and key "
            f"usage {key.usage}."
        )
    if request.constraints is None:
        return
    for context in (request.constraints.encryption_context_equals, request.constraints.encryption_context_subset):
        if context is None:
            continue
        if not is_symmetric(key.spec):
            raise ValidationException("Encryption context grant constraints are for symmetric encryption keys only.")
        if len(context) > _LONGEST_CONTEXT:
            raise ValidationException(f"A grant constraint can have at most {_LONGEST_CONTEXT} pairs.")


def _create(call: Call, request: api.CreateGrantRequest, keys: Keys) -> api.CreateGrantResponse:
    key, store, txn = keys[0].key, call.services.store, call.write()
    _check_for_key(key, request)
    grantee, grantee_is_service = _principal(request.grantee_principal, request.grantee_service_principal, "Grantee")
    retiring, retiring_is_service = _principal(
        request.retiring_principal, request.retiring_service_principal, "Retiring"
    )
    grant = Grant(
        grant_id=secrets.token_hex(32),
        key_id=key.key_id,
        region=key.region,
        name=request.name,
        grantee=str(grantee),
        retiring=retiring,
        issuing_account=call.caller.account,
        operations=tuple(sorted(set(request.operations or []))),
        constraints=_canonical(request.constraints),
        created_at=call.now,
        grantee_is_service=grantee_is_service,
        retiring_is_service=retiring_is_service,
        grantee_id=_unique_id(call, grantee, grantee_is_service),
        retiring_id=_unique_id(call, retiring, retiring_is_service),
    )
    same = None
    if request.name is not None:
        same = next(
            (g for g in store.grants.named(txn.connection, key, request.name, grant.grantee) if _equal(g, grant)), None
        )
    if same is None:
        limit = call.services.quotas.grants_per_key
        if store.grants.count(txn.connection, key) >= limit:
            raise LimitExceededException(f"A KMS key can have at most {limit} grants.")
        store.grants.insert(txn, grant)
    grant = same or grant
    token = GrantToken(grant.grant_id, key.key_id, key.region, key.account)
    return api.CreateGrantResponse(grant_token=token.seal(call), grant_id=grant.grant_id)


def _unique_id(call: Call, principal: str | None, is_service: bool) -> str | None:
    """What a grant is bound to: whoever gets the name later has no part in it. None for what has no unique ID, and for
    everybody on a development server; raises InvalidArnException for a principal that is not there."""
    if principal is None or is_service or call.services.development:
        return None
    identities, connection = call.services.store.identities, call.write().connection
    is_root = principal.endswith(":root")
    found = None if is_root else identities.unique_id(connection, principal)
    if found is None and not (is_root and identities.has_account(connection, principal.split(":")[4])):
        raise InvalidArnException(f"ARN does not refer to a valid principal: {principal}")
    return found


def _canonical(constraints: api.GrantConstraints | None) -> str | None:
    """The constraints as JSON that is equal for equal constraints."""
    return None if constraints is None else msgspec.json.encode(constraints, order="deterministic").decode()


def _equal(one: Grant, other: Grant) -> bool:
    """Whether the two were asked for with the same parameters."""
    blank: dict[str, Any] = {"grant_id": "", "created_at": 0.0, "version": 1}
    return msgspec.structs.replace(one, **blank) == msgspec.structs.replace(other, **blank)


def _list(call: Call, request: api.ListGrantsRequest, keys: Keys) -> api.ListGrantsResponse:
    key, services = keys[0].key, call.services
    grantee, _ = _principal(request.grantee_principal, request.grantee_service_principal, "Grantee")
    scope = f"ListGrants {key.name} {request.grant_id} {grantee}"

    def fetch(after: str, limit: int) -> list[Grant]:
        with services.store.database.read() as connection:
            return services.store.grants.on_key(
                connection, key, after, limit, grant_id=request.grant_id, grantee=grantee
            )

    return _page(call, scope, request, fetch, lambda _grant: key.account)


def _list_retirable(call: Call, request: api.ListRetirableGrantsRequest, _keys: Keys) -> api.ListGrantsResponse:
    services, region = call.services, call.caller.region
    principal, _ = _principal(request.retiring_principal, request.retiring_service_principal, "Retiring")
    if principal is None:
        raise ValidationException("Specify either RetiringPrincipal or RetiringServicePrincipal.")
    if principal.startswith("arn:") and principal.split(":")[4] != call.caller.account:
        raise AccessDeniedException(
            f"User: {call.caller.arn} is not authorized to perform: kms:ListRetirableGrants for principals of another "
            "account"
        )
    with services.store.database.read() as connection:
        bound_to = services.store.identities.unique_id(connection, principal)
    scope = f"ListRetirableGrants {call.caller.account} {region} {principal}"
    # A service acts for everybody; what it may retire on other accounts' keys is not this caller's business.
    issuer = None if principal.startswith("arn:") else call.caller.account

    def fetch(after: str, limit: int) -> list[Grant]:
        found: list[Grant] = []
        with services.store.database.read() as connection:
            while batch := services.store.grants.retirable(connection, region, principal, issuer, after, limit):
                # Whoever has a name now has no part in what is bound to who had it before.
                found += [grant for grant in batch if bound_to is None or grant.retiring_id in (None, bound_to)]
                if len(found) >= limit:
                    break
                after = batch[-1].grant_id
        return found[:limit]

    def account_of(grant: Grant) -> str | None:
        with services.store.database.read() as connection:
            return services.store.keys.account_of(connection, grant.key_id, grant.region)

    return _page(call, scope, request, fetch, account_of)


def _page(
    call: Call,
    scope: str,
    request: Any,
    fetch: Callable[[str, int], list[Grant]],
    account_of: Callable[[Grant], str | None],
) -> api.ListGrantsResponse:
    """``account_of`` tells whose key a grant is on, if that is there still."""
    shown, marker, truncated = paged(call, scope, request, _PAGE_SIZES, fetch, lambda grant: grant.grant_id)
    entries = [_entry(call, grant, account) for grant in shown if (account := account_of(grant)) is not None]
    return api.ListGrantsResponse(grants=entries, next_marker=marker, truncated=truncated)


def _entry(call: Call, grant: Grant, account: str) -> api.GrantListEntry:
    constraints = None
    if grant.constraints is not None:
        constraints = msgspec.json.decode(grant.constraints, type=api.GrantConstraints)
    return api.GrantListEntry(
        key_id=call.services.layout.key(grant.region, account, grant.key_id),
        grant_id=grant.grant_id,
        name=grant.name,
        creation_date=grant.created_at,
        grantee_principal=None if grant.grantee_is_service else grant.grantee,
        grantee_service_principal=grant.grantee if grant.grantee_is_service else None,
        retiring_principal=None if grant.retiring_is_service else grant.retiring,
        retiring_service_principal=grant.retiring if grant.retiring_is_service else None,
        issuing_account=f"arn:aws:iam::{grant.issuing_account}:root",
        operations=list(grant.operations),
        constraints=constraints,
    )


def _retire_keys(call: Call, request: api.RetireGrantRequest) -> tuple[KeyUse, ...]:
    if request.grant_token is not None:
        if request.key_id is not None or request.grant_id is not None:
            raise ValidationException("Specify either GrantToken, or KeyId and GrantId, but not both.")
        named = GrantToken.open(call, request.grant_token)
        arn = call.services.layout.key(named.region, named.account, named.key_id)
        return (KeyUse("kms:RetireGrant", arn, grant_id=named.grant_id),)
    if request.key_id is None or request.grant_id is None:
        raise ValidationException("Specify either GrantToken, or KeyId and GrantId.")
    return (KeyUse("kms:RetireGrant", request.key_id, grant_id=request.grant_id),)


def _retire(call: Call, request: api.RetireGrantRequest, keys: Keys) -> None:
    grant_id = request.grant_id
    if request.grant_token is not None:
        grant_id = GrantToken.open(call, request.grant_token).grant_id
    _remove(call, keys[0].key, str(grant_id))


def _revoke(call: Call, request: api.RevokeGrantRequest, keys: Keys) -> None:
    _remove(call, keys[0].key, str(request.grant_id))


def _remove(call: Call, key: Key, grant_id: str) -> None:
    grant = call.services.store.grants.load(call.write().connection, grant_id)
    if grant is None or (grant.key_id, grant.region) != (key.key_id, key.region):
        raise NotFoundException(f"Grant ID {grant_id} not found")
    call.services.store.grants.delete(call.write(), grant)


OPERATIONS = (
    Operation(name="CreateGrant", run=_create, keys=_create_keys, changes=True),
    Operation(name="ListGrants", run=_list, keys=on_key("kms:ListGrants"), waits=True),
    Operation(name="ListRetirableGrants", run=_list_retirable, needs=in_account("kms:ListRetirableGrants"), waits=True),
    Operation(name="RetireGrant", run=_retire, keys=_retire_keys, changes=True),
    Operation(name="RevokeGrant", run=_revoke, keys=on_key("kms:RevokeGrant"), changes=True),
)
