# SPDX-License-Identifier: Apache-2.0
"""What all policies together say of one subject, action and resource once these are known: which statements apply, in
the order in which they are asked, so that a request has nothing left to ask but their conditions.

It holds no request, and may be kept as long as the policies that it was made from.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from keyquorum.authz.compiled import PATTERN, WITHOUT_ACCOUNT, Applicable, Compiled, Level, Request, Subject
from keyquorum.authz.conditions import Test
from keyquorum.authz.decision import Decision, Reason, Source
from keyquorum.authz.matching import Context
from keyquorum.authz.work import TooMuchWork


class Clause(Struct, frozen=True):
    """A statement that applies if its ``tests`` hold, and what is decided then. ``level``: how a resource-based policy
    names the subject. ``work`` is what the tests cost."""

    tests: tuple[Test, ...]
    work: int
    decision: Decision
    level: Level = Level.NONE


Clauses = tuple[Clause, ...]


def first(clauses: Clauses, context: Context) -> Clause | None:
    """The first that applies to a request. Raises TooMuchWork."""
    work = context.work
    for clause in clauses:
        work.left -= clause.work  # the hot path: ``spend`` costs as much as a test
        if work.left < 0:
            raise TooMuchWork
        for test in clause.tests:
            if not test(context):
                break
        else:
            return clause
    return None


class Standing(Struct, frozen=True):
    """``denies`` are those of the subject's own policies, all kinds; ``allows`` those of its identity-based policies.
    ``limits``: what a boundary and session policies allow, each of which has to. ``resource_denies`` and
    ``resource_allows`` are the resource-based policy's, what names the subject most directly first. ``foreign``: the
    resource is another account's."""

    subject: Subject
    foreign: bool
    denies: Clauses
    allows: Clauses
    limits: tuple[tuple[Source, Clauses], ...]
    resource_denies: Clauses = ()
    resource_allows: Clauses = ()

    @property
    def size(self) -> int:
        limits = sum([len(clauses) for _, clauses in self.limits])
        return len(self.denies) + len(self.allows) + limits + len(self.resource_denies) + len(self.resource_allows)


def standing(request: Request, subject: Subject, resource_policy: Compiled | None = None) -> Standing:
    """Raises TooMuchWork."""
    bounds = () if subject.boundary is None else (subject.boundary,)
    foreign = (
        resource_policy is not None
        and request.resource_account != subject.account
        and subject.kind not in WITHOUT_ACCOUNT
    )
    denies, allows = _own(request, Source.IDENTITY, subject.policies)
    limits = []
    for source, policies in ((Source.BOUNDARY, bounds), (Source.SESSION, subject.sessions)):
        if policies:
            denied, allowed = _own(request, source, policies)
            denies += denied
            limits.append((source, tuple(allowed)))
    return Standing(
        subject,
        foreign,
        tuple(denies),
        tuple(allows),
        tuple(limits),
        *_of_resource(request, subject, resource_policy, foreign=foreign),
    )


def _own(request: Request, source: Source, policies: Iterable[Compiled]) -> tuple[list[Clause], list[Clause]]:
    """The statements of policies of the subject's that deny it, and those that allow it."""
    denies: list[Clause] = []
    allows: list[Clause] = []
    action, work = request.action.lower(), request.context.work
    for i, policy in enumerate(policies):
        for clauses, statements in zip((denies, allows), policy.using(action, work), strict=True):
            for statement in statements:
                clause = _clause(request, source, statement, i)
                if clause is not None:
                    clauses.append(clause)
    return denies, allows


def _of_resource(
    request: Request, subject: Subject, policy: Compiled | None, *, foreign: bool
) -> tuple[Clauses, Clauses]:
    if policy is None:
        return (), ()
    work = request.context.work
    found: list[list[Clause]] = []
    for statements in policy.using(request.action.lower(), work):
        work.spend(PATTERN * len(statements))
        clauses = [
            clause
            for statement in statements
            if (level := statement.level(subject))
            and (clause := _clause(request, Source.RESOURCE, statement, None, level, foreign=foreign))
        ]
        found.append(clauses)
    denies, allows = found
    return tuple(denies), tuple(sorted(allows, key=lambda clause: -clause.level))


def _clause(
    request: Request,
    source: Source,
    statement: Applicable,
    policy: int | None,
    level: Level = Level.NONE,
    *,
    foreign: bool = False,
) -> Clause | None:
    left = statement.left(request.resources, request.context.work)
    if left is None:
        return None
    reason: Final = Reason.EXPLICIT_DENY if statement.deny else Reason.ALLOWED
    decision = Decision(not statement.deny, reason, source, policy, statement.index, statement.sid, foreign=foreign)
    return Clause(*left, decision, level)
