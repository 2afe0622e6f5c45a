# SPDX-License-Identifier: Apache-2.0
"""The decision: AWS's evaluation of policies and grants, for keys and for what is about no key.

Values in, a ``Decision`` out: no store, no clock, no exception for a refusal. TooMuchWork is none: it says that nothing
was decided within the work that the request's context allows. Nobody, root and creator included, has a
right that no statement and no grant gives. What is not decided here: whether the key is in a state for it.

Sources: IAM user guide, "Policy evaluation logic" and "Cross-account policy evaluation logic"; KMS developer guide,
"Troubleshooting key access", "Default key policy" and "Retiring and revoking grants".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from keyquorum.authz.compiled import WITHOUT_ACCOUNT, Compiled, Level, Request, Subject
from keyquorum.authz.cross_account import CROSS_ACCOUNT
from keyquorum.authz.decision import Decision, Reason, Source
from keyquorum.authz.grants import CompiledGrant
from keyquorum.authz.standing import Standing, first, standing
from keyquorum.model import ROOT

_Grants = Callable[[], Sequence[CompiledGrant]]
_Levels = Callable[[], Iterable[tuple[CompiledGrant, Level]]]


def _no_grants() -> Sequence[CompiledGrant]:
    return ()


def on_key(
    request: Request,
    subject: Subject,
    resource_policy: Compiled,
    grants: _Grants = _no_grants,
    known: Standing | None = None,
) -> Decision:
    """Whether ``subject`` may do it to the key, or to the role that is assumed, whose policy and grants these are.

    ``grants`` is called at most once, and only where no policy allows it: grants have nothing to say to anything else.
    ``known``: what was found of just these before.
    """

    def levels() -> Iterator[tuple[CompiledGrant, Level]]:
        found, action = grants(), request.action.lower()
        request.context.work.spend(_GRANT * len(found))
        return ((grant, grant.level(action, request, subject)) for grant in found)

    return _on_resource(request, known or standing(request, subject, resource_policy), levels)


_GRANT: Final = 1024
"""Units of work."""


def on_grant(request: Request, subject: Subject, resource_policy: Compiled, grant: CompiledGrant) -> Decision:
    """Whether ``subject`` may retire ``grant``. That is the grant's to say: ``resource_policy``, the key's, can deny it
    and not allow it, and identity-based policies can allow it only to those of an account that itself may."""
    level = max(grant.may_retire(subject), _of_account(request, subject))
    known = standing(request, subject, resource_policy)
    return _on_resource(request, known, lambda: [(grant, level)], granted_alone=True)


def on_account(request: Request, subject: Subject) -> Decision:
    """Whether ``subject`` may do in its own account what is about no key, or what it needs on an alias."""
    if request.resource_account not in (None, subject.account):
        return Decision(False, Reason.NOT_ACROSS_ACCOUNTS, Source.RESOURCE, foreign=True)
    known = standing(request, subject)
    denied = first(known.denies, request.context)
    return denied.decision if denied is not None else _by_identity(request, known)


def _of_account(request: Request, subject: Subject) -> Level:
    if subject.kind in WITHOUT_ACCOUNT or request.resource_account != subject.account:
        return Level.NONE
    return Level.ACCOUNT


def _on_resource(request: Request, known: Standing, levels: _Levels, *, granted_alone: bool = False) -> Decision:
    foreign, context = known.foreign, request.context
    if known.denies and not foreign:
        denied = first(known.denies, context)
        if denied is not None:
            return denied.decision
    if known.resource_denies:
        denied = first(known.resource_denies, context)
        if denied is not None:
            return denied.decision
    if foreign and request.action not in CROSS_ACCOUNT:
        return Decision(False, Reason.NOT_ACROSS_ACCOUNTS, Source.RESOURCE, foreign=True)

    by_policy = None
    allowed = None if granted_alone else first(known.resource_allows, context)
    if allowed is not None:
        # A policy of another account needs the caller's own account to agree, whomever it names.
        by_policy = _within(Level.ACCOUNT if foreign else allowed.level, allowed.decision, request, known)
        if by_policy.allowed or by_policy.reason is Reason.EXPLICIT_DENY:
            return by_policy

    grant, granted = _most_direct(levels())
    if grant is None:
        return by_policy or Decision(False, Reason.IMPLICIT_DENY, Source.RESOURCE, foreign=foreign)
    by_itself = Decision(True, Reason.ALLOWED, Source.GRANT, grant_id=grant.grant_id, foreign=foreign)
    by_grant = _within(granted, by_itself, request, known)
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


def _within(level: Level, allowed: Decision, request: Request, known: Standing) -> Decision:
    """``allowed``, if what a resource-based policy or a grant that names the subject like this leaves open allows it.

    Of a foreign key it comes after the key's side, so that an answer of the caller's policies tells nothing about it.
    """
    if allowed.foreign:
        denied = first(known.denies, request.context)
        if denied is not None:
            return denied.decision
    if level is Level.ACCOUNT:
        return _by_identity(request, known)
    # Identity-based policies are limited by the same as the role: they need not be asked.
    limit = _limited(request, known) if level is Level.ROLE else None
    return limit or allowed


def _limited(request: Request, known: Standing) -> Decision | None:
    """The refusal by a boundary or session policies that allow nothing of it, if they do not."""
    for source, clauses in known.limits:
        if first(clauses, request.context) is None:
            return Decision(False, Reason.IMPLICIT_DENY, source)
    return None


def _by_identity(request: Request, known: Standing) -> Decision:
    """What the subject's own account says, explicit denies apart. Root may do there what an account may."""
    if known.subject.kind == ROOT:
        return _OF_ROOT
    allowing = first(known.allows, request.context)
    if allowing is None:
        return Decision(False, Reason.IMPLICIT_DENY, Source.IDENTITY)
    return _limited(request, known) or allowing.decision


_OF_ROOT: Final = Decision(True, Reason.ALLOWED, Source.ROOT)
