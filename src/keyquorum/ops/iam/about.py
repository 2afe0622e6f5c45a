# SPDX-License-Identifier: Apache-2.0
"""What requests of IAM are about, and which condition keys they have for it: the permissions that they need.

Authorization comes before the answer that something does not exist. So what a request names and is not there is asked
for under the ARN that it would have at the root of all paths, and a refusal calls it by what the caller sent, as AWS's
does: it tells nothing about the store.

Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS Identity and Access
Management".
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from keyquorum.authz.matching import fold
from keyquorum.model import ROOT, Principal
from keyquorum.ops.iam.rules import USERS, Kind, Tags, find, find_policy, named_or_caller, policy_arn
from keyquorum.ops.operation import Call, Keys, Need, Operation, Values


class Subject(msgspec.Struct, frozen=True):
    """What a request is about: its ARN, what a refusal calls it, its tags, and condition keys of its own."""

    arn: str
    shown: str
    tags: Tags = ()
    keys: tuple[tuple[str, Values], ...] = ()


About = Callable[[Call, Any], tuple[Subject, ...]]

#: A condition key and its value, of a request about a principal, which may not be there.
ConditionKey = tuple[str, Callable[[Any, Principal | None], str | None]]

#: The boundary that the principal has.
BOUNDARY: Final[ConditionKey] = ("iam:permissionsboundary", lambda _, found: None if found is None else found.boundary)
#: The boundary that it is to have.
NEW_BOUNDARY: Final[ConditionKey] = ("iam:permissionsboundary", lambda request, _: request.permissions_boundary)
POLICY_ARN: Final[ConditionKey] = ("iam:policyarn", lambda request, _: request.policy_arn)


def arn_of(call: Call, kind: Kind, name: str, path: str | None = None) -> str:
    return f"arn:aws:iam::{call.caller.account}:{kind.word}{path or '/'}{name}"


def on(kind: Kind, *keys: ConditionKey) -> About:
    """About the principal of a kind that the request names."""

    def about(call: Call, request: Any) -> tuple[Subject, ...]:
        name = kind.name_in(request)
        return (_on_principal(call, kind, name, find(call, kind, name), request, keys),)

    return about


def on_new(kind: Kind, *keys: ConditionKey) -> About:
    """About a principal that is to be made."""

    def about(call: Call, request: Any) -> tuple[Subject, ...]:
        arn = arn_of(call, kind, kind.name_in(request), request.path)
        return (Subject(arn, arn, (), _values(keys, request, None)),)

    return about


def on_renamed(kind: Kind) -> About:
    """About a principal as it is, and as it is to be: who asks "must have appropriate permissions on both" (IAM API
    reference, UpdateUser)."""

    def about(call: Call, request: Any) -> tuple[Subject, ...]:
        name = kind.name_in(request)
        found = find(call, kind, name)
        now = _on_principal(call, kind, name, found, request, ())
        name = getattr(request, f"new_{kind.member}") or name
        then = arn_of(call, kind, name, request.new_path or (None if found is None else found.path))
        return (now,) if then == now.arn else (now, Subject(then, f"{kind.word} {name}", now.tags))

    return about


def on_caller(*, sessions: bool) -> About:
    """About the user that the request names, or the caller; see ``named_or_caller``."""

    def about(call: Call, request: Any) -> tuple[Subject, ...]:
        found = named_or_caller(call, request.user_name, sessions=sessions)
        if found is not None and found.kind == ROOT:
            return (Subject(found.arn, found.arn),)
        name = request.user_name or call.caller.arn.rpartition("/")[2]
        return (_on_principal(call, USERS, name, found, request, ()),)

    return about


def on_all(word: str, shown: str | None = None) -> About:
    """About everything of a sort under a path. AWS's reference has no resource for that, and its examples have both "*"
    and ARNs such as "arn:aws:iam::*:user/*", which match this."""

    def about(call: Call, request: Any) -> tuple[Subject, ...]:
        prefix = getattr(request, "path_prefix", None) or "/"
        arn = f"arn:aws:iam::{call.caller.account}:{word}{prefix}"
        return (Subject(arn, f"{shown} {prefix}" if shown else arn),)

    return about


def on_policy(call: Call, request: Any) -> tuple[Subject, ...]:
    """About the managed policy that the request names."""
    arn = policy_arn(request.policy_arn)
    found = find_policy(call, arn)
    return (Subject(arn, f"policy {arn}", found.tags if found is not None else ()),)


def _on_principal(
    call: Call, kind: Kind, name: str, found: Principal | None, request: Any, keys: Iterable[ConditionKey]
) -> Subject:
    arn, tags = (arn_of(call, kind, name), ()) if found is None else (found.arn, found.tags)
    return Subject(arn, f"{kind.word} {name}", tags, _values(keys, request, found))


def _values(keys: Iterable[ConditionKey], request: Any, found: Principal | None) -> tuple[tuple[str, Values], ...]:
    return tuple([(key, (value,)) for key, read in keys if (value := read(request, found))])


def _needs(name: str, about: About) -> Callable[[Call, Any], tuple[Need, ...]]:
    def needs(call: Call, request: Any) -> tuple[Need, ...]:
        return tuple([need(f"iam:{name}", subject) for subject in about(call, request)])

    return needs


def _making_needs(name: str, about: About) -> Callable[[Call, Any], tuple[Need, ...]]:
    tagging = f"iam:{name.replace('Create', 'Tag', 1)}"

    def needs(call: Call, request: Any) -> tuple[Need, ...]:
        subjects = about(call, request)
        asked = [need(f"iam:{name}", subject) for subject in subjects]
        if request.tags:
            # The condition keys of making it are not tagging's.
            asked += [need(tagging, msgspec.structs.replace(subject, keys=())) for subject in subjects]
        return tuple(asked)

    return needs


def need(permission: str, subject: Subject) -> Need:
    # That of a policy of AWS is not the caller's (IAM user guide, "AWS: Deny access to resources outside your account
    # except AWS managed IAM policies").
    account = ("aws:resourceaccount", (subject.arn.split(":")[4],))
    context = (account, *_resource_tags(subject.tags), *subject.keys)
    return Need(permission, subject.arn, context=context, shown=subject.shown)


def _resource_tags(tags: Tags) -> Iterator[tuple[str, Values]]:
    values: dict[str, tuple[str, ...]] = {}
    for key, value in tags:
        values[fold(key)] = (*values.get(fold(key), ()), value)
    for key, found in values.items():
        yield f"aws:resourcetag/{key}", found
        yield f"iam:resourcetag/{key}", found


def making(name: str, run: Callable[[Call, Any, Keys], Any], about: About) -> Operation:
    """Who gives tags to what it makes needs the permission to tag it, too (IAM user guide, "IAM: Create new users only
    with specific tags")."""
    return Operation(name=name, run=run, needs=_making_needs(name, about), changes=True)


def changing(name: str, run: Callable[[Call, Any, Keys], Any], about: About) -> Operation:
    return Operation(name=name, run=run, needs=_needs(name, about), changes=True)


def reading(name: str, run: Callable[[Call, Any, Keys], Any], about: About) -> Operation:
    return Operation(name=name, run=run, needs=_needs(name, about), waits=True)
