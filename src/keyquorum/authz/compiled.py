# SPDX-License-Identifier: Apache-2.0
"""A policy made ready to decide: which of its statements apply to a request, prepared once and asked many times.

Whether that allows anything is ``evaluate``'s business. A compiled policy holds no request and may be shared.

Source: IAM user guide, "IAM JSON policy element reference"; "AWS JSON policy elements: NotPrincipal".
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from msgspec import Struct

from keyquorum.authz.conditions import Test, compile_condition
from keyquorum.authz.matching import Context, Matcher, Token, Variable, fold, glob, is_fixed, resolve, tokens, weight
from keyquorum.authz.policy import Policy, Statement
from keyquorum.authz.principals import Principals
from keyquorum.authz.work import UNBOUNDED, Work
from keyquorum.model import ROOT, SERVICE

ROLE: Final = "AssumedRole"
WEB_IDENTITY: Final = "WebIdentityUser"
WITHOUT_ACCOUNT: Final = frozenset({SERVICE, WEB_IDENTITY})
"""Those whom a resource-based policy alone can allow anything: no account stands behind them."""


class Pairs:
    """The pairs of an encryption context, or of a constraint on one: keys without case, values with it. ``listed`` is
    in order, and no dict: keys that differ in case alone are two pairs."""

    __slots__ = ("listed", "unique")

    def __init__(self, context: Mapping[str, str]) -> None:
        self.listed: Final = sorted([(fold(key), value) for key, value in context.items()])
        self.unique: Final = frozenset(self.listed)


class GrantTerms(Struct, frozen=True):
    """What CreateGrant is asked for. ``source_arn`` and the contexts are the constraints; None is none."""

    operations: frozenset[str]
    equals: Mapping[str, str] | None = None
    subset: Mapping[str, str] | None = None
    source_arn: str | None = None


class Request(Struct):
    """What is to be decided.

    ``action`` is the permission ("kms:ReEncryptFrom"). ``resources`` is the ARN of what it is about, or "*", and then
    further spellings of it, or of "all in this account and Region", that policies may use; ``resource_account`` is None
    for what is no account's. ``context`` are the condition keys. ``encryption_context`` tells the request's, for
    grants. ``creates`` is what CreateGrant is asked for: without it, no grant allows that.
    """

    action: str
    resources: tuple[str, ...]
    resource_account: str | None
    context: Context
    encryption_context: Callable[[], Mapping[str, str]] = dict
    creates: GrantTerms | None = None
    compared: tuple[Pairs, Pairs | None, Pairs | None] | None = None

    def pairs(self) -> tuple[Pairs, Pairs | None, Pairs | None]:
        """Of the request's encryption context, and of the constraints of the grant that it creates: made once, however
        many grants are asked."""
        if self.compared is None:
            terms = (self.creates.equals, self.creates.subset) if self.creates is not None else (None, None)
            equals, subset = (None if term is None else Pairs(term) for term in terms)
            self.compared = Pairs(self.encryption_context()), equals, subset
        return self.compared


class Subject(Struct, frozen=True):
    """Who asks, and the policies that govern them.

    ``kind`` is CloudTrail's userIdentity type; for an AssumedRole, ``arn`` and ``principal_id`` are the session's. A
    user's temporary credentials are the user. ``services`` are the names of an AWSService,
    ``federated`` is the provider that a token for AssumeRoleWithWebIdentity came from. ``sessions`` are the session
    policies that were passed, none if none were. ``tags`` are the principal's, ``issued_at`` is when temporary
    credentials were, and ``mfa_at`` when they saw a second factor; seconds since the epoch. ``source_identity`` and
    ``claims``, condition keys that came with a web identity's token, are of who opened the session.
    """

    kind: str
    arn: str
    account: str
    principal_id: str
    role_arn: str | None = None
    role_id: str | None = None
    services: frozenset[str] = frozenset()
    federated: str | None = None
    policies: tuple["Compiled", ...] = ()
    boundary: "Compiled | None" = None
    sessions: tuple["Compiled", ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    issued_at: float | None = None
    mfa_at: float | None = None
    source_identity: str | None = None
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Level(IntEnum):
    """How a resource-based policy, or a grant, names who asks.

    DIRECT: the user, the role session, the service, everyone, or the root of a named account. ROLE: the role whose
    session asks. ACCOUNT: the account alone, which leaves it to that account's identity-based policies.
    """

    NONE = 0
    ACCOUNT = 1
    ROLE = 2
    DIRECT = 3


def named(principals: Principals, names: frozenset[str], subject: Subject) -> Level:
    """How ``principals``, whose users, roles and sessions are ``names``, name ``subject``."""
    if principals.anyone:
        return Level.DIRECT
    if subject.kind == SERVICE:
        return Level.NONE if subject.services.isdisjoint(principals.services) else Level.DIRECT
    if subject.arn in names or subject.principal_id in names or subject.federated in principals.federated:
        return Level.DIRECT
    if subject.role_arn in names or subject.role_id in names:
        return Level.ROLE
    if subject.account in principals.accounts:
        return Level.DIRECT if subject.kind == ROOT else Level.ACCOUNT
    return Level.NONE


def _spared(principals: Principals, names: frozenset[str], subject: Subject) -> bool:
    """Whether a Deny for all but ``principals`` leaves ``subject`` alone: only if each of account, role and session is
    listed, and never under a permissions boundary."""
    if subject.kind == SERVICE:
        return principals.anyone or not subject.services.isdisjoint(principals.services)
    if subject.boundary is not None:
        return False
    if principals.anyone:
        return True
    if subject.account not in principals.accounts:
        return False
    itself = subject.arn in names or subject.principal_id in names
    role = subject.role_arn in names or subject.role_id in names
    return subject.kind == ROOT or (itself and (role or subject.kind != ROLE))


class Applicable:
    """One statement, and whether it applies. ``work`` is what it costs to find the resource."""

    __slots__ = ("_actions", "_conditions", "_costs", "_level", "_resources", "deny", "index", "sid", "work")

    def __init__(self, index: int, statement: Statement, variables: bool, bound: Mapping[str, str] | None) -> None:
        self.index = index
        self.sid = statement.sid
        self.deny = statement.effect == "Deny"
        self._actions = _actions(statement)
        self._resources, self.work = _resources(statement, variables)
        conditions = [
            compile_condition(condition, allows=not self.deny, variables=variables)
            for condition in statement.conditions
        ]
        self._conditions = tuple([test for test, _ in conditions])
        self._costs = _STATEMENT + sum([work for _, work in conditions])
        self._level = _principals(statement, bound)

    def about(self, action: str) -> bool:
        return self._actions(action)

    def level(self, subject: Subject) -> Level:
        return self._level(subject)

    def left(self, resources: tuple[str, ...], work: Work = UNBOUNDED) -> tuple[tuple[Test, ...], int] | None:
        """The tests that are left for a request that is about ``resources``, and what they cost if its values are
        short; None if the statement does not mean these. Raises TooMuchWork."""
        if self._resources is None:
            return self._conditions, self._costs
        work.spend(self.work)
        meant = self._resources(resources)
        if isinstance(meant, bool):
            return (self._conditions, self._costs) if meant else None
        return (meant, *self._conditions), self._costs + self.work

    def holds(self, request: Request) -> bool:
        """Whether resource and conditions apply; the action is ``about``'s, principals are ``level``'s."""
        left = self.left(request.resources)
        return left is not None and all(test(request.context) for test in left[0])


#: For one action: the statements that deny it, and those that allow it.
Statements = tuple[tuple[Applicable, ...], tuple[Applicable, ...]]
#: What is remembered of one policy.
_ACTIONS: Final = 512

# Units of work.
_STATEMENT: Final = 256
PATTERN: Final = 256


class Compiled:
    """A policy made ready. ``work`` is what it costs to find the statements for an action.

    ``bound`` maps the ARNs of users, roles and sessions in a resource-based policy to the unique IDs that they had when
    it was put: one that is not there any more names nobody, whoever got its name since. Without it ARNs are compared.
    """

    __slots__ = ("__weakref__", "_statements", "_using", "work")

    def __init__(self, policy: Policy, bound: Mapping[str, str] | None = None) -> None:
        variables = policy.version == "2012-10-17"
        self._statements = [Applicable(i, s, variables, bound) for i, s in enumerate(policy.statements)]
        self.work = sum([PATTERN * (1 + len(s.actions or s.not_actions or ())) for s in policy.statements])
        self._using: dict[str, Statements] = {}

    def using(self, action: str, work: Work = UNBOUNDED) -> Statements:
        """The statements that deny and those that allow ``action``, given in lower case. Raises TooMuchWork."""
        known = self._using.get(action)
        if known is None:
            work.spend(self.work)
            about = [s for s in self._statements if s.about(action)]
            known = tuple(s for s in about if s.deny), tuple(s for s in about if not s.deny)
            if len(self._using) >= _ACTIONS:
                self._using.clear()
            self._using[action] = known
        return known


def _actions(statement: Statement) -> Matcher:
    patterns = statement.actions if statement.actions is not None else statement.not_actions or ()
    matchers = [glob(tokens(pattern, variables=False, wildcards=True)) for pattern in patterns]
    wanted = statement.actions is not None
    return lambda action: any(matches(action) for matches in matchers) is wanted


_BEFORE_RESOURCE: Final = 5
"""Colons of an ARN before its last part, where alone a variable may stand; one fewer in the layout without a Region."""


def _misplaced(parts: tuple[Token, ...]) -> bool:
    before = ""
    for part in parts:
        if isinstance(part, Variable):
            colons = _BEFORE_RESOURCE - before.startswith("arn:aws:verenc:")
            return before.count(":") < colons
        before += part if isinstance(part, str) else part.value
    return False


def _resources(statement: Statement, variables: bool) -> tuple[Callable[[tuple[str, ...]], bool | Test] | None, int]:
    """Whether a resource is meant, by any of its names, or, where that depends on variables, the test of it; None where
    every resource is. And the work of finding out.

    A KMS ARN has no colon but those between its parts, and a policy must write as many: ``*`` cannot reach across one.
    """
    if statement.resources is None and statement.not_resources is None:
        return None, 0  # a trust policy speaks of its own role alone
    inverted = statement.resources is None
    patterns = statement.not_resources if inverted else statement.resources
    parsed = [tokens(pattern, variables=variables, wildcards=True) for pattern in patterns or ()]
    if not inverted and "*" in (patterns or ()):
        return None, 0
    fixed = [glob(parts) for parts in parsed if is_fixed(parts)]
    open_ = [() if _misplaced(parts) else parts for parts in parsed if not is_fixed(parts)]
    careful = inverted and statement.effect == "Allow"

    def meant(resources: tuple[str, ...]) -> bool | Test:
        if any(matches(resource) for matches in fixed for resource in resources):
            return not inverted
        if not open_:
            return inverted

        def test(context: Context) -> bool:
            for parts in open_:
                resolved = resolve(parts, context) if parts else None
                if resolved is None:
                    # "Will not match any resource"; to allow all of them for that would be the opposite of what is
                    # meant.
                    if careful:
                        return False
                    continue
                matches = glob(resolved)
                for resource in resources:
                    if matches(resource):
                        return not inverted
            return inverted

        return test

    return meant, sum([weight(parts) * (_FIXED if is_fixed(parts) else _OPEN) for parts in parsed])


# For each of a pattern's weight, in units of work: to look for it in the names of a resource; to make it ready before.
_FIXED: Final = 32
_OPEN: Final = 128


def _principals(statement: Statement, bound: Mapping[str, str] | None) -> Callable[[Subject], Level]:
    inverted = statement.not_principals is not None
    principals = statement.not_principals if inverted else statement.principals
    if principals is None:
        return lambda _subject: Level.DIRECT
    names = principals.arns
    if bound is not None:
        names = frozenset([bound[arn] for arn in principals.arns if arn in bound])
    if inverted:
        return lambda subject: Level.NONE if _spared(principals, names, subject) else Level.DIRECT
    if statement.effect == "Deny":
        return lambda subject: named(principals, names, subject)
    return lambda subject: _let_in(principals, names, subject)


def _let_in(principals: Principals, names: frozenset[str], subject: Subject) -> Level:
    """As ``named``, but whoever comes with a web identity's token has to be named by its provider: a role for "*" is
    not meant for all the workloads of every provider that its account has for other roles."""
    if subject.kind == WEB_IDENTITY and subject.federated not in principals.federated:
        return Level.NONE
    return named(principals, names, subject)
