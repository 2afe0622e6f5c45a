# SPDX-License-Identifier: Apache-2.0
"""A policy made ready to decide: which of its statements apply to a request, prepared once and asked many times.

Whether that allows anything is ``evaluate``'s business. A compiled policy holds no request and may be shared.

Source: IAM user guide, "IAM JSON policy element reference"; "AWS JSON policy elements: NotPrincipal".
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from msgspec import Struct

from keyquorum.authz.conditions import compile_condition
from keyquorum.authz.matching import Context, Matcher, Token, Variable, fold, glob, is_fixed, resolve, tokens, weight
from keyquorum.authz.policy import Policy, Statement
from keyquorum.authz.principals import Principals
from keyquorum.authz.work import UNBOUNDED, TooMuchWork, Work
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


class Request:
    """What is to be decided.

    ``action`` is the permission ("kms:ReEncryptFrom"). ``resource_arn`` is None for what is about no key or alias;
    ``other_arns`` are further spellings of it, or of "all in this account and Region", that policies may use.
    ``context`` are the condition keys. ``encryption_context`` tells the request's, for grants. ``creates`` is what
    CreateGrant is asked for: without it, no grant allows that.
    """

    __slots__ = ("_encryption_context", "_pairs", "action", "context", "creates", "resource_account", "resources")

    def __init__(
        self,
        action: str,
        resource_arn: str | None,
        resource_account: str | None,
        context: Context,
        *,
        other_arns: tuple[str, ...] = (),
        encryption_context: Callable[[], Mapping[str, str]] = dict,
        creates: GrantTerms | None = None,
    ) -> None:
        self.action: Final = action
        self.resource_account: Final = resource_account
        self.resources: Final = (resource_arn or "*", *other_arns)
        self.context: Final = context
        self.creates: Final = creates
        self._encryption_context = encryption_context
        self._pairs: tuple[Pairs, Pairs | None, Pairs | None] | None = None

    def pairs(self) -> tuple[Pairs, Pairs | None, Pairs | None]:
        """Of the request's encryption context, and of the constraints of the grant that it creates: made once, however
        many grants are asked."""
        if self._pairs is None:
            terms = (self.creates.equals, self.creates.subset) if self.creates is not None else (None, None)
            equals, subset = (None if term is None else Pairs(term) for term in terms)
            self._pairs = Pairs(self._encryption_context()), equals, subset
        return self._pairs


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
    """One statement, and whether it applies. ``work`` is what it costs to ask, of a request whose values are short."""

    __slots__ = ("_actions", "_conditions", "_level", "_resources", "deny", "index", "sid", "work")

    def __init__(self, index: int, statement: Statement, variables: bool, bound: Mapping[str, str] | None) -> None:
        self.index = index
        self.sid = statement.sid
        self.deny = statement.effect == "Deny"
        self._actions = _actions(statement)
        self._resources, work = _resources(statement, variables)
        conditions = [
            compile_condition(condition, allows=not self.deny, variables=variables)
            for condition in statement.conditions
        ]
        self._conditions = [test for test, _ in conditions]
        self.work = _STATEMENT + work + sum([work for _, work in conditions])
        self._level = _principals(statement, bound)

    def about(self, action: str) -> bool:
        return self._actions(action)

    def level(self, subject: Subject) -> Level:
        return self._level(subject)

    def holds(self, request: Request) -> bool:
        """Whether resource and conditions apply; the action is ``about``'s, principals are ``level``'s. Raises
        TooMuchWork."""
        work = request.context.work
        work.left -= self.work  # the hot path: ``spend`` costs as much as a test
        if work.left < 0:
            raise TooMuchWork
        if self._resources is not None and not self._resources(request):
            return False
        for test in self._conditions:  # noqa: SIM110 - the hot path: a generator costs more than a test
            if not test(request.context):
                return False
        return True


#: For one action: the statements that deny it, and those that allow it.
Statements = tuple[tuple[Applicable, ...], tuple[Applicable, ...]]
#: For one action and subject: the statements that deny it, and those that allow it, each with how it names the subject.
Naming = tuple[tuple[Applicable, ...], tuple[tuple[Level, Applicable], ...]]

# What is remembered of one policy: so many actions; so many subjects, and about so many statements for all of them.
_ACTIONS: Final = 512
_SUBJECTS: Final = 512
_NAMED: Final = 8192

# Units of work.
_STATEMENT: Final = 256
_PATTERN: Final = 256


class Compiled:
    """A policy made ready. ``work`` is what it costs to find the statements for an action.

    ``bound`` maps the ARNs of users, roles and sessions in a resource-based policy to the unique IDs that they had when
    it was put: one that is not there any more names nobody, whoever got its name since. Without it ARNs are compared.
    """

    __slots__ = ("__weakref__", "_naming", "_statements", "_using", "work")

    def __init__(self, policy: Policy, bound: Mapping[str, str] | None = None) -> None:
        variables = policy.version == "2012-10-17"
        self._statements = [Applicable(i, s, variables, bound) for i, s in enumerate(policy.statements)]
        self.work = sum([_PATTERN * (1 + len(s.actions or s.not_actions or ())) for s in policy.statements])
        self._using: dict[str, Statements] = {}
        self._naming: dict[tuple[str, str, str | None, str | None, str | None, frozenset[str], bool], Naming] = {}

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

    def naming(self, action: str, subject: Subject, work: Work = UNBOUNDED) -> Naming:
        """Those of them that name ``subject``; what names it most directly allows first. Raises TooMuchWork."""
        # All that a level is made from.
        key = (
            action,
            subject.arn,
            subject.principal_id,
            subject.role_arn,
            subject.federated,
            subject.services,
            subject.boundary is None,
        )
        known = self._naming.get(key)
        if known is None:
            denies, allows = self.using(action, work)
            work.spend(_PATTERN * (len(denies) + len(allows)))
            levels = [(level, s) for s in allows if (level := s.level(subject))]
            levels.sort(key=lambda of: -of[0])
            known = tuple(s for s in denies if s.level(subject)), tuple(levels)
            if len(self._naming) >= min(_SUBJECTS, _NAMED // (1 + len(self._statements))):
                self._naming.clear()
            self._naming[key] = known
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


def _resources(statement: Statement, variables: bool) -> tuple[Callable[[Request], bool] | None, int]:
    """Whether the resource is meant, None where it always is, and the work of finding out.

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

    def test(request: Request) -> bool:
        resources = request.resources
        for matches in fixed:
            for resource in resources:
                if matches(resource):
                    return not inverted
        for parts in open_:
            resolved = resolve(parts, request.context) if parts else None
            if resolved is None:
                # "Will not match any resource"; to allow all of them for that would be the opposite of what is meant.
                if careful:
                    return False
                continue
            matches = glob(resolved)
            for resource in resources:
                if matches(resource):
                    return not inverted
        return inverted

    return test, sum([weight(parts) * (_FIXED if is_fixed(parts) else _OPEN) for parts in parsed])


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
