# SPDX-License-Identifier: Apache-2.0
"""The decision: AWS's evaluation of policies and grants, for keys and for what is about no key.

Values in, a ``Decision`` out: no store, no clock, no exception for a refusal. TooMuchWork is none: it says that nothing
was decided within the work that the request's context allows. Nobody, root and creator included, has a
right that no statement and no grant gives. What is not decided here: whether the key is in a state for it.

Sources: IAM user guide, "Policy evaluation logic" and "Cross-account policy evaluation logic"; KMS developer guide,
"Troubleshooting key access", "Default key policy" and "Retiring and revoking grants".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from keyquorum.authz.compiled import WITHOUT_ACCOUNT, Applicable, Compiled, Level, Request, Subject
from keyquorum.authz.cross_account import CROSS_ACCOUNT
from keyquorum.authz.grants import CompiledGrant
from keyquorum.model import ROOT


class Source(StrEnum):
    """Where a statement stands, as AWS's messages call it."""

    IDENTITY = "identity-based policy"
    RESOURCE = "resource-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"
    GRANT = "grant"
    ROOT = "account root user"


class Reason(StrEnum):
    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicit deny"
    IMPLICIT_DENY = "implicit deny"
    NOT_ACROSS_ACCOUNTS = "the operation does not work across accounts"


class Decision(Struct, frozen=True):
    """What was decided, and by what.

    ``source`` is the kind of policy that decided: that allowed or denied, or that was the first to allow nothing.
    ``policy`` is its place among the subject's policies of that kind, ``statement`` and ``sid`` are the statement's;
    ``grant_id`` is the grant's. ``foreign``: the key is another account's.
    """

    allowed: bool
    reason: Reason
    source: Source
    policy: int | None = None
    statement: int | None = None
    sid: str | None = None
    grant_id: str | None = None
    foreign: bool = False

    def message(self, caller_arn: str, action: str, resource: str | None, unnamed: str = "this resource") -> str:
        """AWS's text of a refusal. Where another account's key did not allow it, it tells no more than of a key that
        does not exist, and calls it ``unnamed``."""
        start = f"User: {caller_arn} is not authorized to perform: {action} on "
        if self.foreign and self.source is Source.RESOURCE:
            return (
                f"{start}{unnamed} because the resource does not exist in this Region, no resource-based policies "
                "allow access, or a resource-based policy explicitly denies access"
            )
        start += f"resource: {resource or '*'}"
        if self.reason is Reason.EXPLICIT_DENY:
            article = "an" if self.source is Source.IDENTITY else "a"
            return f"{start} with an explicit deny in {article} {self.source}"
        return f"{start} because no {self.source} allows the {action} action"


_Grants = Callable[[], Sequence[CompiledGrant]]
_Levels = Callable[[], Iterable[tuple[CompiledGrant, Level]]]


def _no_grants() -> Sequence[CompiledGrant]:
    return ()


def on_key(request: Request, subject: Subject, resource_policy: Compiled, grants: _Grants = _no_grants) -> Decision:
    """Whether ``subject`` may do it to the key, or to the role that is assumed, whose policy and grants these are.

    ``grants`` is called at most once, and only where no policy allows it: grants have nothing to say to anything else.
    """
    action = request.action.lower()

    def levels() -> Iterator[tuple[CompiledGrant, Level]]:
        found = grants()
        request.context.work.spend(_GRANT * len(found))
        return ((grant, grant.level(action, request, subject)) for grant in found)

    return _on_resource(action, request, subject, resource_policy, levels)


_GRANT: Final = 1024
"""Units of work."""


def on_grant(request: Request, subject: Subject, resource_policy: Compiled, grant: CompiledGrant) -> Decision:
    """Whether ``subject`` may retire ``grant``. That is the grant's to say: ``resource_policy``, the key's, can deny it
    and not allow it, and identity-based policies can allow it only to those of an account that itself may."""
    level = max(grant.may_retire(subject), _of_account(request, subject))
    return _on_resource(
        request.action.lower(), request, subject, resource_policy, lambda: [(grant, level)], granted_alone=True
    )


def on_account(request: Request, subject: Subject) -> Decision:
    """Whether ``subject`` may do in its own account what is about no key, or what it needs on an alias."""
    action = request.action.lower()
    if request.resource_account not in (None, subject.account):
        return Decision(False, Reason.NOT_ACROSS_ACCOUNTS, Source.RESOURCE, foreign=True)
    return _denied(action, request, subject) or _by_identity(action, request, subject)


def _of_account(request: Request, subject: Subject) -> Level:
    if subject.kind in WITHOUT_ACCOUNT or request.resource_account != subject.account:
        return Level.NONE
    return Level.ACCOUNT


def _on_resource(
    action: str,
    request: Request,
    subject: Subject,
    resource_policy: Compiled,
    levels: _Levels,
    *,
    granted_alone: bool = False,
) -> Decision:
    denies, allows = resource_policy.naming(action, subject, request.context.work)
    foreign = request.resource_account != subject.account and subject.kind not in WITHOUT_ACCOUNT
    denied = None if foreign else _denied(action, request, subject)
    if denied is not None:
        return denied
    for statement in denies:
        if statement.holds(request):
            return _by(Reason.EXPLICIT_DENY, Source.RESOURCE, statement, foreign=foreign)
    if foreign and request.action not in CROSS_ACCOUNT:
        return Decision(False, Reason.NOT_ACROSS_ACCOUNTS, Source.RESOURCE, foreign=True)

    by_policy = None
    for level, statement in () if granted_alone else allows:
        if statement.holds(request):
            allowed = _by(Reason.ALLOWED, Source.RESOURCE, statement, foreign=foreign)
            # A policy of another account needs the caller's own account to agree, whomever it names.
            by_policy = _within(Level.ACCOUNT if foreign else level, allowed, action, request, subject)
            if by_policy.allowed or by_policy.reason is Reason.EXPLICIT_DENY:
                return by_policy
            break

    grant, granted = _most_direct(levels())
    if grant is None:
        return by_policy or Decision(False, Reason.IMPLICIT_DENY, Source.RESOURCE, foreign=foreign)
    allowed = Decision(True, Reason.ALLOWED, Source.GRANT, grant_id=grant.grant_id, foreign=foreign)
    by_grant = _within(granted, allowed, action, request, subject)
    return by_grant if by_grant.allowed or by_policy is None else by_policy


def _most_direct(levels: Iterable[tuple[CompiledGrant, Level]]) -> tuple[CompiledGrant | None, Level]:
    """The first grant that names the subject most directly, if one does at all."""
    best: tuple[CompiledGrant | None, Level] = None, Level.NONE
    for grant, level in levels:
        if level > best[1]:
            best = grant, level
            if level is Level.DIRECT:
                break
    return best


def _within(level: Level, allowed: Decision, action: str, request: Request, subject: Subject) -> Decision:
    """``allowed``, if what a resource-based policy or a grant that names the subject like this leaves open allows it.

    Of a foreign key it comes after the key's side, so that an answer of the caller's policies tells nothing about it.
    """
    if allowed.foreign:
        denied = _denied(action, request, subject)
        if denied is not None:
            return denied
    if level is Level.ACCOUNT:
        return _by_identity(action, request, subject)
    # Identity-based policies are limited by the same as the role: they need not be asked.
    limit = _limited(action, request, subject) if level is Level.ROLE else None
    return limit or allowed


def _denied(action: str, request: Request, subject: Subject) -> Decision | None:
    """The explicit deny in the subject's own policies, if there is one."""
    work = request.context.work
    for i, policy in enumerate(subject.policies):
        for statement in policy.using(action, work)[0]:
            if statement.holds(request):
                return _by(Reason.EXPLICIT_DENY, Source.IDENTITY, statement, i)
    if subject.boundary is None and not subject.sessions:
        return None
    for source, policies in _limits(subject):
        for i, policy in enumerate(policies):
            for statement in policy.using(action, work)[0]:
                if statement.holds(request):
                    return _by(Reason.EXPLICIT_DENY, source, statement, i)
    return None


def _limits(subject: Subject) -> Sequence[tuple[Source, tuple[Compiled, ...]]]:
    """The policies that say the most that the others can give."""
    bounds = () if subject.boundary is None else (subject.boundary,)
    return [(source, of) for source, of in ((Source.BOUNDARY, bounds), (Source.SESSION, subject.sessions)) if of]


def _allowing(action: str, request: Request, policies: Iterable[Compiled]) -> tuple[int, Applicable] | None:
    """The first statement that allows it, and the place of its policy."""
    for i, policy in enumerate(policies):
        for statement in policy.using(action, request.context.work)[1]:
            if statement.holds(request):
                return i, statement
    return None


def _limited(action: str, request: Request, subject: Subject) -> Decision | None:
    """The refusal by a boundary or session policies that allow nothing of it, if they do not."""
    if subject.boundary is None and not subject.sessions:
        return None
    for source, policies in _limits(subject):
        if _allowing(action, request, policies) is None:
            return Decision(False, Reason.IMPLICIT_DENY, source)
    return None


def _by_identity(action: str, request: Request, subject: Subject) -> Decision:
    """What the subject's own account says, explicit denies apart. Root may do there what an account may."""
    if subject.kind == ROOT:
        return Decision(True, Reason.ALLOWED, Source.ROOT)
    allowing = _allowing(action, request, subject.policies)
    if allowing is None:
        return Decision(False, Reason.IMPLICIT_DENY, Source.IDENTITY)
    policy, statement = allowing
    return _limited(action, request, subject) or _by(Reason.ALLOWED, Source.IDENTITY, statement, policy)


def _by(
    reason: Reason, source: Source, statement: Applicable, policy: int | None = None, *, foreign: bool = False
) -> Decision:
    return Decision(reason is Reason.ALLOWED, reason, source, policy, statement.index, statement.sid, foreign=foreign)
