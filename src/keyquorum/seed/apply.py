# SPDX-License-Identifier: Apache-2.0
"""Makes what a seed file names and is not there, in one transaction: all of it, or nothing. Identities are made by
IAM's own operations, as the root of their account, so that the seed can hold nothing that IAM would refuse."""

from typing import Final

from keyquorum import lifecycle
from keyquorum.access import Access
from keyquorum.authz.policy import default_key_policy, parse_key_policy
from keyquorum.bootstrap import ensure_account
from keyquorum.errors import (
    EntityAlreadyExistsException,
    IncorrectKeyMaterialException,
    KMSError,
    MalformedPolicyDocumentException,
    UnsupportedOperationException,
)
from keyquorum.model import ROOT, USER, Alias, Caller, Key, KeyMaterial, ResourcePolicy
from keyquorum.ops import registry
from keyquorum.ops.operation import Call, Services
from keyquorum.ops.rules import bound
from keyquorum.seed.document import Seed, SeedError, SeedKey, wrong
from keyquorum.seed.identities import Identity, SeedUser, Step
from keyquorum.specs import ENCRYPT_DECRYPT
from keyquorum.store.engine import Transaction
from keyquorum.store.store import LockedView

_REQUEST: Final = "seed"


def apply(services: Services, seed: Seed, account: str, region: str, now: float) -> None:
    """``account`` and ``region`` are the defaults. Raises SeedError.

    Keys come last: key policies are bound to those whom they name.
    """
    with services.store.database.write() as txn:
        for entry in seed.account:
            ensure_account(txn, services.store, services.keyring, entry.id, now)
        for table, number, identity in seed.identities():
            call = _call(txn, services, identity.account or account, region, now)
            _apply_identity(call, identity, table, number)
        for number, key in enumerate(seed.key, 1):
            call = _call(txn, services, key.account or account, key.region or region, now)
            try:
                _apply_key(call, key)
            except MalformedPolicyDocumentException as error:
                raise wrong("key", number, "policy", f"{error.message} {error.detail}") from error
            except (IncorrectKeyMaterialException, UnsupportedOperationException) as error:
                problem = error.message or f"is no key material for spec {key.spec}"
                raise wrong("key", number, "material", problem) from error


def _call(txn: Transaction, services: Services, account: str, region: str, now: float) -> Call:
    """A call of the root of an account, which is made if it is not there."""
    ensure_account(txn, services.store, services.keyring, account, now)
    root = services.store.identities.principal(txn.connection, account, ROOT, ROOT)
    if root is None:
        raise SeedError(f"account {account} has lost its root")
    caller = Caller(account, region, root.arn, account, ROOT, identity_id=root.principal_id)
    call = Call(services, caller, now, _REQUEST, may_wait=True)
    call.txn = txn
    return call


def _apply_identity(call: Call, identity: Identity, table: str, number: int) -> None:
    """One that is there is left as it is, but for the access key of a user."""
    make, *rest = identity.steps()
    try:
        _perform(call, make)
    except EntityAlreadyExistsException:
        rest = []
    except KMSError as error:
        raise wrong(table, number, make.field, str(error.message)) from error
    user = identity if isinstance(identity, SeedUser) else None
    if user is not None and user.public_key is not None and not _has_access_key(call, user, number):
        rest.append(user.key_without_secret())
    for step in rest:
        try:
            _perform(call, step)
        except KMSError as error:
            raise wrong(table, number, step.field, str(error.message)) from error
    if user is not None and user.secret_access_key is not None:
        _add_access_key(call, user, number)


def _perform(call: Call, step: Step) -> None:
    call.access = Access(call, LockedView(call.services.store, call.write()), step.request)
    registry.IAM[step.operation].run(call, step.request, ())


def _has_access_key(call: Call, user: SeedUser, number: int) -> bool:
    """Raises SeedError if it is somebody else who has it."""
    store, connection = call.services.store, call.write().connection
    found = store.access_keys.load(connection, str(user.access_key_id))
    if found is None:
        return False
    owner = store.identities.principal(connection, call.caller.account, USER, user.name)
    if owner is None or owner.principal_id != found.principal_id:
        raise wrong("user", number, "access_key_id", "belongs to another principal")
    return True


def _add_access_key(call: Call, user: SeedUser, number: int) -> None:
    """One with a secret that the file has: IAM would make one of its own."""
    store, txn = call.services.store, call.write()
    principal = store.identities.principal(txn.connection, call.caller.account, USER, user.name)
    if principal is None:
        raise wrong("user", number, "name", "there is a user whose name differs in capitals alone")
    if not _has_access_key(call, user, number):
        ids = str(user.access_key_id), principal.principal_id
        made = call.services.keyring.new_access_key(*ids, str(user.secret_access_key), call.now)
        store.access_keys.insert(txn, made, principal)


def _apply_key(call: Call, seed: SeedKey) -> None:
    store, txn, caller = call.services.store, call.write(), call.caller
    if not store.keys.is_taken(txn.connection, seed.id):
        material = _material(call, seed)
        key = Key(
            key_id=seed.id,
            account=caller.account,
            region=caller.region,
            spec=seed.spec,
            usage=seed.usage or ENCRYPT_DECRYPT,
            origin=seed.origin,
            state=seed.state if material is not None else lifecycle.PENDING_IMPORT,
            description=seed.description,
            created_at=call.now,
            material_id=material.material_id if material is not None else "",
            deletion_date=None if seed.deletion_date is None else seed.deletion_date.timestamp(),
            tags=tuple(sorted(seed.tags.items())),
        )
        store.keys.insert(txn, key, [material] if material else [], _policy(call, seed.policy))
    record = store.keys.load(txn.connection, seed.id, caller.region)
    if record is None:
        return  # deleted since: a key ID is never used again, and its aliases went with it
    place = (record.key.account, record.key.region)
    for name in seed.aliases:
        if store.aliases.load(txn.connection, *place, name) is None:
            store.aliases.insert(txn, Alias(*place, name, seed.id, call.now, call.now))


def _material(call: Call, seed: SeedKey) -> KeyMaterial | None:
    keyring, region = call.services.keyring, call.caller.region
    if seed.material is not None:
        secret = keyring.parse_material(seed.spec, bytes.fromhex(seed.material))
        return keyring.wrap_material(seed.id, region, secret, call.now)
    if seed.origin != "AWS_KMS":
        return None
    return keyring.wrap_material(seed.id, region, keyring.generate(seed.spec), call.now)


def _policy(call: Call, text: str | None) -> ResourcePolicy:
    if text is None:
        return ResourcePolicy(default_key_policy(call.caller.account), {})
    return ResourcePolicy(text, bound(call, parse_key_policy(text)))
