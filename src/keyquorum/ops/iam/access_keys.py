# SPDX-License-Identifier: Apache-2.0
"""CreateAccessKey, UpdateAccessKey, DeleteAccessKey, ListAccessKeys, GetAccessKeyLastUsed.

The secret of an access key is told once, when it is made, and kept wrapped. A caller who names AccessKeyId and
PublicKey, which AWS does not have, keeps the secret: such a key signs with SigV4A alone, and the answer has an empty
SecretAccessKey, since clients expect one.

The ID of an access key is one for all accounts, so that a taken one is refused whoever has it. Who asks learns by that
no more than that an ID exists which it named in full: of the 80 random bits of another account's it can guess none, and
an ID is no secret and opens nothing.
"""

import base64
import binascii
import re
from typing import Final

import msgspec

from keyquorum import iam_api
from keyquorum.errors import EntityAlreadyExistsException, NoSuchEntityException, ValidationException
from keyquorum.keyring import access_key_without_secret, new_access_key_id, new_secret
from keyquorum.model import ROOT, AccessKey, Principal
from keyquorum.ops.iam.about import Subject, arn_of, changing, on_caller, reading
from keyquorum.ops.iam.rules import USERS, check_quota, connected, named_or_caller, page
from keyquorum.ops.operation import Call, Keys

_NEVER: Final = "N/A"
_ABOUT: Final = on_caller(sessions=False)
#: As the server makes them. A seed file, which is the operator's, may have others.
_ID: Final = re.compile(r"AKIA[A-Z2-7]{16}", re.ASCII)


def _owner(call: Call, user_name: str | None) -> Principal:
    found = named_or_caller(call, user_name, sessions=False)
    if found is None:
        raise USERS.no_such(user_name or call.caller.arn.rpartition("/")[2])
    return found


def _name(owner: Principal) -> str | None:
    return None if owner.kind == ROOT else owner.name


def _no_such(access_key_id: str | None) -> NoSuchEntityException:
    return NoSuchEntityException(f"The Access Key with id {access_key_id} cannot be found.")


def _check_id(_call: Call, request: iam_api.CreateAccessKeyRequest, _keys: Keys) -> None:
    """One of another form could be taken for a session's, or for somebody's name."""
    if request.access_key_id is not None and _ID.fullmatch(request.access_key_id) is None:
        raise ValidationException("AccessKeyId must be AKIA and 16 characters of A-Z and 2-7.")


def _create(call: Call, request: iam_api.CreateAccessKeyRequest, _keys: Keys) -> iam_api.CreateAccessKeyResponse:
    access_keys, txn = call.services.store.access_keys, call.write()
    owner = _owner(call, request.user_name)
    check_quota(call, "access_keys_per_user", len(access_keys.of(txn.connection, owner.principal_id)) + 1)
    if (request.access_key_id is None) != (request.public_key is None):
        raise ValidationException("Specify both AccessKeyId and PublicKey, or neither.")
    made, secret = _with_secret(call, owner) if request.public_key is None else (_public(call, owner, request), "")
    access_keys.insert(txn, made, owner)
    return iam_api.CreateAccessKeyResponse(
        access_key=iam_api.AccessKey(
            user_name=_name(owner),
            access_key_id=made.access_key_id,
            status=made.status,
            secret_access_key=secret,
            create_date=made.created_at,
        )
    )


def _with_secret(call: Call, owner: Principal) -> tuple[AccessKey, str]:
    secret = new_secret()
    made = call.services.keyring.new_access_key(new_access_key_id(), owner.principal_id, secret, call.now)
    return made, secret


def _public(call: Call, owner: Principal, request: iam_api.CreateAccessKeyRequest) -> AccessKey:
    try:
        der = base64.b64decode(str(request.public_key), validate=True)
    except binascii.Error:
        der = b""
    made = access_key_without_secret(str(request.access_key_id), owner.principal_id, der, call.now)
    if made is None:
        raise ValidationException("PublicKey must be a P-256 SubjectPublicKeyInfo in DER, base64-encoded.")
    if call.services.store.access_keys.load(call.write().connection, made.access_key_id) is not None:
        raise EntityAlreadyExistsException(f"Access Key with id {made.access_key_id} already exists.")
    return made


def _of_owner(call: Call, owner: Principal, access_key_id: str | None) -> AccessKey:
    found = call.services.store.access_keys.load(call.write().connection, str(access_key_id))
    if found is None or found.principal_id != owner.principal_id:
        raise _no_such(access_key_id)
    return found


def _update(call: Call, request: iam_api.UpdateAccessKeyRequest, _keys: Keys) -> None:
    owner = _owner(call, request.user_name)
    found = _of_owner(call, owner, request.access_key_id)
    call.services.store.access_keys.set_status(call.write(), found, owner, str(request.status))


def _delete(call: Call, request: iam_api.DeleteAccessKeyRequest, _keys: Keys) -> None:
    owner = _owner(call, request.user_name)
    found = _of_owner(call, owner, request.access_key_id)
    call.services.store.access_keys.delete(call.write(), found, owner)


def _list(call: Call, request: iam_api.ListAccessKeysRequest, _keys: Keys) -> iam_api.ListAccessKeysResponse:
    owner = _owner(call, request.user_name)
    with connected(call) as connection:
        found = call.services.store.access_keys.of(connection, owner.principal_id)
    found.sort(key=lambda key: key.access_key_id)
    shown, rest = page(call, f"ListAccessKeys {owner.principal_id}", request, found, lambda key: key.access_key_id)
    listed = [
        iam_api.AccessKeyMetadata(
            user_name=_name(owner), access_key_id=key.access_key_id, status=key.status, create_date=key.created_at
        )
        for key in shown
    ]
    return iam_api.ListAccessKeysResponse(access_key_metadata=listed, **rest)


# -- GetAccessKeyLastUsed


def _owner_of(call: Call, access_key_id: str | None) -> Principal | None:
    """Whose access key it is, if it is one of the account."""
    store = call.services.store
    with connected(call) as connection:
        found = store.access_keys.load(connection, str(access_key_id))
        owner = None if found is None else store.identities.by_id(connection, found.principal_id)
    return owner if owner is not None and owner.account == call.caller.account else None


def _on_access_key(call: Call, request: iam_api.GetAccessKeyLastUsedRequest) -> tuple[Subject, ...]:
    """About the user whose it is; where it is nobody's, about one without a name."""
    owner = _owner_of(call, request.access_key_id)
    arn, tags = (arn_of(call, USERS, ""), ()) if owner is None else (owner.arn, owner.tags)
    return (Subject(arn, f"access key {request.access_key_id}", tags),)


def _last_used(
    call: Call, request: iam_api.GetAccessKeyLastUsedRequest, _keys: Keys
) -> iam_api.GetAccessKeyLastUsedResponse:
    owner = _owner_of(call, request.access_key_id)
    if owner is None:
        raise _no_such(request.access_key_id)
    with connected(call) as connection:
        use = call.services.store.access_keys.last_use(connection, str(request.access_key_id))
    return iam_api.GetAccessKeyLastUsedResponse(
        user_name=_name(owner),
        access_key_last_used=iam_api.AccessKeyLastUsed(
            last_used_date=None if use is None else use.used_at,
            service_name=_NEVER if use is None else use.service,
            region=_NEVER if use is None else use.region,
        ),
    )


OPERATIONS = (
    msgspec.structs.replace(changing("CreateAccessKey", _create, _ABOUT), check=_check_id),
    changing("UpdateAccessKey", _update, _ABOUT),
    changing("DeleteAccessKey", _delete, _ABOUT),
    reading("ListAccessKeys", _list, _ABOUT),
    reading("GetAccessKeyLastUsed", _last_used, _on_access_key),
)
