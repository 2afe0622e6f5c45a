# SPDX-License-Identifier: Apache-2.0
"""Inline policies, of users, groups and roles alike: Put...Policy, Get...Policy, Delete...Policy, List...Policies."""

from functools import partial
from typing import Any

from keyquorum.authz.policy import parse_identity_policy, policy_size
from keyquorum.errors import LimitExceededException, NoSuchEntityException
from keyquorum.ops.iam.about import BOUNDARY, changing, on, reading
from keyquorum.ops.iam.rules import KINDS, Kind, answer, load, page
from keyquorum.ops.operation import Call, Keys


def _put(kind: Kind, call: Call, request: Any, _keys: Keys) -> None:
    # The holder is looked for before the document is read, as with AWS (ministackorg/ministack, pull request 1738).
    found = load(call, kind, request)
    parse_identity_policy(request.policy_document)
    inline = dict(found.inline) | {request.policy_name: request.policy_document}
    _check_size(kind, call, found.name, inline)
    call.services.store.identities.update(call.write(), found, inline=tuple(sorted(inline.items())))


def _check_size(kind: Kind, call: Call, name: str, inline: dict[str, str]) -> None:
    limit: int = getattr(call.services.quotas, f"{kind.word}_policy_size")
    if sum(map(policy_size, inline.values())) > limit:
        raise LimitExceededException(f"Maximum policy size of {limit} bytes exceeded for {kind.word} {name}")


def _no_such(kind: Kind, name: str) -> NoSuchEntityException:
    return NoSuchEntityException(f"The {kind.word} policy with name {name} cannot be found.")


def _get(kind: Kind, call: Call, request: Any, _keys: Keys) -> Any:
    found = load(call, kind, request)
    document = dict(found.inline).get(request.policy_name)
    if document is None:
        raise _no_such(kind, request.policy_name)
    return answer(
        f"Get{kind.title}Policy",
        **{kind.member: found.name},
        policy_name=request.policy_name,
        policy_document=document,
    )


def _delete(kind: Kind, call: Call, request: Any, _keys: Keys) -> None:
    found = load(call, kind, request)
    kept = tuple([policy for policy in found.inline if policy[0] != request.policy_name])
    if kept == found.inline:
        raise _no_such(kind, request.policy_name)
    call.services.store.identities.update(call.write(), found, inline=kept)


def _list(kind: Kind, call: Call, request: Any, _keys: Keys) -> Any:
    found, name = load(call, kind, request), f"List{kind.title}Policies"
    names = sorted([policy for policy, _ in found.inline])
    shown, rest = page(call, f"{name} {found.principal_id}", request, names, str)
    return answer(name, policy_names=shown, **rest)


OPERATIONS = tuple(
    operation
    for kind in KINDS
    for operation in (
        changing(f"Put{kind.title}Policy", partial(_put, kind), on(kind, BOUNDARY)),
        reading(f"Get{kind.title}Policy", partial(_get, kind), on(kind)),
        changing(f"Delete{kind.title}Policy", partial(_delete, kind), on(kind, BOUNDARY)),
        reading(f"List{kind.title}Policies", partial(_list, kind), on(kind)),
    )
)
