# SPDX-License-Identifier: Apache-2.0
"""A decision in words: the statement behind it, why it was enough or was not, and what nearly was. Pure, and no part of
any decision."""

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from keyquorum.authz.compiled import Applicable, Compiled, Request, Subject
from keyquorum.authz.decision import Decision, Reason, Source
from keyquorum.authz.matching import fold


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """A statement: ``policy`` is what its policy is called, ``index`` its place there from 0, ``statement`` its text as
    JSON values. ``has``: the condition keys that it asks for, and what the request has of them. ``kind`` and
    ``document``, which are not for output: the policy's kind and its text, None if it is gone."""

    policy: str
    index: int
    sid: str | None
    statement: Any
    has: dict[str, tuple[str, ...] | None] = {}
    kind: Source | None = None
    document: str | None = None

    def shown(self) -> "Part":
        """Without what is not for output."""
        return msgspec.structs.replace(self, kind=None, document=None)


class Explanation(msgspec.Struct, frozen=True):
    """``source`` is the kind of policy that decided, or that was the first to allow nothing. ``part`` is the statement
    that did, ``grant_id`` the grant. ``let_in``: the key policy's statement that leaves it to the principal's account.
    ``nearly``: statements for this action and principal whose resource or conditions do not fit. ``message``: what AWS
    answers, if it is refused."""

    allowed: bool
    principal: str
    action: str
    resource: str
    reason: str
    source: str
    why: str
    part: Part | None = None
    grant_id: str | None = None
    let_in: Part | None = None
    nearly: tuple[Part, ...] = ()
    message: str | None = None

    def shown(self) -> "Explanation":
        """Without what is not for output."""
        part, let_in = (None if part is None else part.shown() for part in (self.part, self.let_in))
        return msgspec.structs.replace(self, part=part, let_in=let_in, nearly=tuple(p.shown() for p in self.nearly))


Policies = dict[Source, list[tuple[str, str | None, Compiled]]]
"""By kind, in the order of the decision's ``policy``: what each is called, its text, or None if it is gone, itself."""


def told(decision: Decision, request: Request, subject: Subject, own: str, policies: Policies) -> Explanation:
    """``own`` is what the resource's own policy is called by kind, "" if it has none."""
    action = request.action.lower()
    of_source = policies.get(decision.source, [])
    part = None
    if decision.statement is not None:
        name, text, _ = of_source[decision.policy or 0]
        part = _part(decision.source, name, text, decision.statement, decision.sid)

    def applying(source: Source, test: Callable[[Applicable], bool]) -> list[Part]:
        return [
            _part(source, name, text, statement.index, statement.sid, request)
            for name, text, compiled in policies[source]
            for statement in compiled.using(action)[1]
            if statement.level(subject) and test(statement)
        ]

    through = applying(Source.RESOURCE, lambda s: s.holds(request))
    missed = decision.reason is Reason.IMPLICIT_DENY and decision.source in policies
    return Explanation(
        allowed=decision.allowed,
        principal=subject.arn,
        action=request.action,
        resource=request.resources[0],
        reason=decision.reason,
        source=(own if decision.source is Source.RESOURCE else "") or decision.source,
        why=_why(decision, own),
        part=part,
        grant_id=decision.grant_id,
        let_in=next(iter(through), None) if decision.source in _AFTER_LETTING_IN else None,
        nearly=tuple(applying(decision.source, lambda s: not s.holds(request))) if missed else (),
        message=None if decision.allowed else _message(decision, request, subject),
    )


def _part(
    kind: Source, name: str, text: str | None, index: int, sid: str | None, request: Request | None = None
) -> Part:
    if text is None:
        return Part(f"{name}, which is gone", index, sid, None, kind=kind)
    body = json.loads(text)["Statement"]
    statement = body[index] if isinstance(body, list) else body
    asked = _keys(statement.get("Condition", {}).values()) if request is not None else ()
    has = {} if request is None else {key: request.context[fold(key)] for key in asked}
    return Part(name, index, sid, statement, has, kind, text)


def _keys(conditions: Iterable[dict[str, Any]]) -> list[str]:
    return sorted({key for condition in conditions for key in condition})


def _message(decision: Decision, request: Request, subject: Subject) -> str:
    action, resource = request.action, request.resources[0]
    if action.startswith("sts:"):
        return f"User: {subject.arn} is not authorized to perform: {action} on resource: {resource}"
    return decision.message(subject.arn, action, resource)


_AFTER_LETTING_IN: Final = frozenset({Source.IDENTITY, Source.BOUNDARY, Source.SESSION, Source.ROOT})

_ALLOWED: Final = {
    Source.RESOURCE: "{resource_policy} names the principal, or the role whose session it is, which is enough within "
    "an account.",
    Source.IDENTITY: "{resource_policy} leaves it to the principal's account, whose identity-based policy allows it.",
    Source.ROOT: "{resource_policy} leaves it to the account, and its root may do there what the account may.",
    Source.GRANT: "No policy allows it, and a grant does.",
}
_NOT_ALLOWED: Final = {
    Source.RESOURCE: "{resource_policy} neither names the principal nor lets its account in for this, and no grant "
    "does: identity-based policies do not count.",
    Source.IDENTITY: "{resource_policy} leaves it to the principal's account, and no identity-based policy there "
    "allows it.",
    Source.BOUNDARY: "What allows it is limited by the permissions boundary, which does not allow it.",
    Source.SESSION: "What allows it is limited by the session policies, none of which allows it.",
}
_WITHOUT_POLICY: Final = "What it is about has no policy of its own, which"
_ACROSS: Final = "It is another account's, and this action does not work across accounts, whatever the policies say."


def _why(decision: Decision, own: str) -> str:
    if decision.reason is Reason.NOT_ACROSS_ACCOUNTS:
        return _ACROSS
    if decision.reason is Reason.EXPLICIT_DENY:
        kind = own if decision.source is Source.RESOURCE else decision.source
        return f"An explicit deny in a {kind} wins over whatever allows it."
    sentence = (_ALLOWED if decision.allowed else _NOT_ALLOWED)[decision.source]
    return sentence.format(resource_policy=f"The {own}" if own else _WITHOUT_POLICY)
