# SPDX-License-Identifier: Apache-2.0
"""What users, groups and roles have in common: they are made under a name that is free, renamed, listed, and deleted
once nothing hangs on them."""

from collections.abc import Callable
from typing import Any

from keyquorum.errors import DeleteConflictException, EntityAlreadyExistsException
from keyquorum.keyring import new_unique_id
from keyquorum.model import Principal
from keyquorum.ops.iam.rules import GROUPS, USERS, Kind, answer, boundary, check_quota, fetched_page, load, tagged
from keyquorum.ops.operation import Call, Keys

Run = Callable[[Call, Any, Keys], Any]


def create(call: Call, kind: Kind, request: Any, **more: Any) -> Principal:
    """Make the principal that the request describes, its boundary and tags among that. Raises
    EntityAlreadyExistsException, LimitExceededException, NoSuchEntityException or InvalidInputException."""
    identities, txn, account = call.services.store.identities, call.write(), call.caller.account
    name = kind.name_in(request)
    check_free(call, kind, name)
    check_quota(call, f"{kind.word}s_per_account", identities.count(txn.connection, account, kind.kind) + 1)
    principal = Principal(
        new_unique_id(kind.kind),
        account,
        kind.kind,
        name,
        request.path or "/",
        call.now,
        tags=tagged(call, f"tags_per_{kind.word}", (), request.tags) if hasattr(request, "tags") else (),
        boundary=boundary(call, getattr(request, "permissions_boundary", None)),
        **more,
    )
    identities.insert(txn, principal)
    return principal


def check_free(call: Call, kind: Kind, name: str) -> None:
    """Raises EntityAlreadyExistsException: names "are not distinguished by case" (IAM user guide, "IAM and AWS STS
    quotas")."""
    if call.services.store.identities.is_taken(call.write().connection, call.caller.account, kind.kind, name):
        raise EntityAlreadyExistsException(f"{kind.title} with name {name} already exists.")


def renaming(kind: Kind) -> Run:
    """Give a user or group another name or path. It stays the same principal: what is bound to its ID stays so."""

    def run(call: Call, request: Any, _keys: Keys) -> None:
        found = load(call, kind, request)
        name = getattr(request, f"new_{kind.member}") or found.name
        if name.lower() != found.name.lower():
            check_free(call, kind, name)
        path = request.new_path or found.path
        call.services.store.identities.update(call.write(), found, name=name, path=path)

    return run


def deleting(kind: Kind) -> Run:
    """Delete a principal; raises DeleteConflictException while anything hangs on it."""

    def run(call: Call, request: Any, _keys: Keys) -> None:
        store, txn = call.services.store, call.write()
        found = load(call, kind, request)
        members = store.identities.members(txn.connection, found.account, found.principal_id) if kind is GROUPS else ()
        access_keys = store.access_keys.of(txn.connection, found.principal_id) if kind is USERS else ()
        for hangs, words in (
            (found.member_of or members, "remove users from group"),
            (found.attached, "detach all policies"),
            (found.inline, "delete policies"),
            (access_keys, "delete access keys"),
        ):
            if hangs:
                raise DeleteConflictException(f"Cannot delete entity, must {words} first.")
        store.identities.delete(txn, found)

    return run


def listing(kind: Kind, shown: Callable[[Principal], Any]) -> Run:
    """The account's principals of a kind under PathPrefix, a page at a time."""
    name = f"List{kind.title}s"

    def run(call: Call, request: Any, _keys: Keys) -> Any:
        prefix = request.path_prefix or "/"

        def fetch(after: str, limit: int) -> list[Principal]:
            with call.services.store.database.read() as connection:
                return call.services.store.identities.page(
                    connection, call.caller.account, kind.kind, prefix, after, limit
                )

        found, rest = fetched_page(call, f"{name} {prefix}", request, fetch, lambda principal: principal.name)
        return answer(name, **{f"{kind.word}s": [shown(principal) for principal in found]}, **rest)

    return run
