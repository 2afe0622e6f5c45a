# SPDX-License-Identifier: Apache-2.0
"""SimulatePrincipalPolicy: what the identity-based policies of a user, group or role would say, boundary included.

As with AWS, "the simulation does not automatically retrieve policies for the specified resources": key policies and
grants have no say here; ``keyquorum iam explain`` asks those too. What is not simulated is refused, never left out.
Known of the request is what the principal brings and ``ContextEntries`` say, no more. Where statements stand in their
documents is not told.

Source: IAM API reference, SimulatePrincipalPolicy and EvaluationResult: one result for each action, with the most
restrictive of the decisions on its resources, which follow in ResourceSpecificResults.
"""

import re
from typing import Final

import msgspec
from msgspec.structs import replace

from keyquorum import iam_api
from keyquorum.api import Shape
from keyquorum.authz import evaluate
from keyquorum.authz.compiled import Compiled, Request, Subject
from keyquorum.authz.context import Facts, RequestContext
from keyquorum.authz.decision import Decision, Reason, Source
from keyquorum.authz.matching import fold
from keyquorum.authz.policy import parse_identity_policy
from keyquorum.authz.subjects import documents, subject_of
from keyquorum.authz.work import TooMuchWork, Work
from keyquorum.errors import InvalidInputException, KMSError, NoSuchEntityException
from keyquorum.model import ROLE, Caller, IdentityRecord, Principal
from keyquorum.ops.iam import about, rules
from keyquorum.ops.iam.about import reading
from keyquorum.ops.iam.rules import connected, page
from keyquorum.ops.operation import Call, Keys, always

_EVERYTHING: Final = "*"
_ARN: Final = re.compile(r"arn:aws:iam::[0-9]{12}:(user|group|role)/[!-~]+", re.ASCII)

# What one request may ask for; AWS does not say how much that is there.
_MOST: Final = {
    "action_names": 100,
    "resource_arns": 100,
    "policy_input_list": 10,
    "permissions_boundary_policy_input_list": 1,
    "context_entries": 100,
}
_MOST_DECISIONS: Final = 1000
_MOST_VALUES: Final = 100
_LONGEST_VALUE: Final = 2048
#: In units of work: about a second.
_WORK: Final = 1_000_000_000

_REFUSED: Final = (
    "caller_arn",
    "policy_exclusion_list",
    "resource_handling_option",
    "resource_owner",
    "resource_policy",
)
_DECISIONS: Final = {
    Reason.ALLOWED: "allowed",
    Reason.EXPLICIT_DENY: "explicitDeny",
    Reason.IMPLICIT_DENY: "implicitDeny",
}
_SEVERITY: Final = ("explicitDeny", "implicitDeny", "allowed")
_INSIDE: Final = iam_api.PermissionsBoundaryDecisionDetail(allowed_by_permissions_boundary=True)
_OUTSIDE: Final = iam_api.PermissionsBoundaryDecisionDetail(allowed_by_permissions_boundary=False)
#: What is known before there is a request: who would send it, and when.
_KNOWN: Final = ("aws:principal", "aws:userid", "aws:username", "aws:currenttime", "aws:epochtime")


class _Context(RequestContext):
    """Remembers what it was asked for and does not have."""

    __slots__ = ("missing",)

    def __init__(self, facts: Facts, work: Work) -> None:
        super().__init__(facts, work)
        self.missing: set[str] = set()

    def __missing__(self, key: str) -> tuple[str, ...] | None:
        values = super().__missing__(key) if key.startswith(_KNOWN) else None
        if values is None:
            self.missing.add(key)
        return values


class _Simulated(msgspec.Struct, frozen=True):
    """Whose policies they are, and what each is called: its ID and its type. ``bounded`` is who may do all that the
    boundary lets through, if there is one. ``work`` is what all decisions together may cost."""

    subject: Subject
    called: list[tuple[str, str]]
    bounded: Subject | None
    work: Work


def _check(request: iam_api.SimulatePrincipalPolicyRequest) -> None:
    """Raises InvalidInputException for what is not simulated, and for too much at once."""
    given = [_member(name) for name in _REFUSED if getattr(request, name) is not None]
    if given:
        raise InvalidInputException(f"{', '.join(given)}: not supported, identity-based policies alone are simulated.")
    for name, most in _MOST.items():
        if len(getattr(request, name) or ()) > most:
            raise InvalidInputException(f"{_member(name)}: at most {most} at a time.")
    if len(request.action_names or ()) * len(request.resource_arns or _EVERYTHING) > _MOST_DECISIONS:
        raise InvalidInputException(f"At most {_MOST_DECISIONS} pairs of an action and a resource at a time.")
    values = [value for entry in request.context_entries or () for value in entry.context_key_values or ()]
    if len(values) > _MOST_VALUES or any(len(value) > _LONGEST_VALUE for value in values):
        raise InvalidInputException(
            f"ContextEntries: at most {_MOST_VALUES} values of at most {_LONGEST_VALUE} characters at a time."
        )


def _member(name: str) -> str:
    return name.title().replace("_", "")


def _find(call: Call, arn: str) -> Principal | None:
    """The user, group or role of the caller's account; None if it is not there, or somebody else's."""
    for kind in rules.KINDS:
        if arn.startswith(f"arn:aws:iam::{call.caller.account}:{kind.word}/"):
            found = rules.find(call, kind, arn.rpartition("/")[2])
            return found if found is not None and found.arn == arn else None
    return None


def _about(call: Call, request: iam_api.SimulatePrincipalPolicyRequest) -> tuple[about.Subject, ...]:
    arn = str(request.policy_source_arn)
    if _ARN.fullmatch(arn) is None:
        # AWS's words: aws-containers/amazon-ecs-exec-checker, pull request 10.
        raise InvalidInputException(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    found = _find(call, arn)
    return (about.Subject(arn, arn, () if found is None else found.tags),)


def _simulate(
    call: Call, request: iam_api.SimulatePrincipalPolicyRequest, _keys: Keys
) -> iam_api.SimulatePolicyResponse:
    _check(request)
    found = _find(call, str(request.policy_source_arn))
    if found is None:
        raise NoSuchEntityException(f"The principal with ARN {request.policy_source_arn} cannot be found.")
    with connected(call) as connection:
        record = call.services.store.identities.load(connection, found.principal_id)
    assert record is not None, "it was just found"
    simulated = _simulated(call, record, request)
    entries = {fold(str(e.context_key_name)): tuple(e.context_key_values or ()) for e in request.context_entries or ()}
    resources = request.resource_arns or [_EVERYTHING]
    # A place in the list is its number, so that an action that is named twice has two.
    numbered = [(f"{n:05}", action) for n, action in enumerate(request.action_names or ())]
    shown, rest = page(call, f"SimulatePrincipalPolicy {found.principal_id}", request, numbered, lambda item: item[0])
    try:
        results = [_result(call, simulated, action, resources, entries) for _, action in shown]
    except TooMuchWork:
        raise InvalidInputException("The policies are too large for so many decisions at a time.") from None
    return iam_api.SimulatePolicyResponse(evaluation_results=results, **rest)


def _simulated(call: Call, record: IdentityRecord, request: iam_api.SimulatePrincipalPolicyRequest) -> _Simulated:
    principal = record.principal
    role = principal.arn if principal.kind == ROLE else None
    caller = Caller(
        principal.account,
        call.caller.region,
        principal.arn,
        principal.principal_id,
        principal.kind,
        identity_id=principal.principal_id,
        role_arn=role,
    )
    subject = subject_of(caller, record)
    inputs = [_parsed(text) for text in request.policy_input_list or ()]
    boundaries = [_parsed(text) for text in request.permissions_boundary_policy_input_list or ()]
    called = [_called(name) for name, _ in documents(record)]
    called += [(f"PolicyInputList.{n}", "none") for n in range(1, len(inputs) + 1)]
    boundary = boundaries[0] if boundaries else subject.boundary
    bounded = None if boundary is None else replace(subject, policies=(boundary,), boundary=None)
    subject = replace(subject, policies=(*subject.policies, *inputs), boundary=boundary)
    return _Simulated(subject, called, bounded, Work(_WORK))


def _parsed(text: str) -> Compiled:
    try:
        return Compiled(parse_identity_policy(text))
    except KMSError as error:
        raise InvalidInputException(error.message) from error


def _called(name: str) -> tuple[str, str]:
    """ID and type of a policy, from what ``subjects.documents`` calls it."""
    holder, inline, policy = name.partition(" inline policy ")
    if inline:
        return policy, holder.split(":")[5].partition("/")[0]
    return name.rpartition("/")[2], "aws-managed" if name.startswith("arn:aws:iam::aws:") else "user-managed"


def _result(
    call: Call, simulated: _Simulated, action: str, resources: list[str], entries: dict[str, tuple[str, ...]]
) -> iam_api.EvaluationResult:
    each = [_on_resource(call, simulated, action, resource, entries) for resource in resources]
    worst = min((str(result.eval_resource_decision) for result in each), key=_SEVERITY.index)
    matched = [s for r in each if r.eval_resource_decision == worst for s in r.matched_statements or ()]
    limits = [result.permissions_boundary_decision_detail for result in each]
    return iam_api.EvaluationResult(
        eval_action_name=action,
        eval_resource_name=_EVERYTHING,
        eval_decision=worst,
        matched_statements=[s for place, s in enumerate(matched) if s not in matched[:place]],
        missing_context_values=sorted({key for result in each for key in result.missing_context_values or ()}),
        permissions_boundary_decision_detail=next((limit for limit in limits if limit == _OUTSIDE), limits[0]),
        resource_specific_results=[] if resources == [_EVERYTHING] else each,
    )


def _on_resource(
    call: Call, simulated: _Simulated, action: str, resource: str, entries: dict[str, tuple[str, ...]]
) -> iam_api.ResourceSpecificResult:
    subject = simulated.subject
    context = _Context(Facts(action, Shape(), subject, call.caller.region, call.now), simulated.work)
    context.update(entries)
    request = Request(action, (resource,), subject.account, context)
    decision = evaluate.on_account(request, subject)
    return iam_api.ResourceSpecificResult(
        eval_resource_name=resource,
        eval_resource_decision=_DECISIONS[decision.reason],
        matched_statements=_matched(simulated, decision),
        missing_context_values=sorted(context.missing),
        permissions_boundary_decision_detail=_limited(simulated.bounded, request),
    )


def _limited(bounded: Subject | None, request: Request) -> iam_api.PermissionsBoundaryDecisionDetail | None:
    """What the boundary says by itself, if there is one."""
    if bounded is None:
        return None
    return _INSIDE if evaluate.on_account(request, bounded).allowed else _OUTSIDE


def _matched(simulated: _Simulated, decision: Decision) -> list[iam_api.Statement]:
    if decision.statement is None:
        return []
    name, kind = "PermissionsBoundary", "none"
    if decision.source is Source.IDENTITY:
        name, kind = simulated.called[decision.policy or 0]
    return [iam_api.Statement(source_policy_id=name, source_policy_type=kind)]


OPERATIONS = (replace(reading("SimulatePrincipalPolicy", _simulate, _about), computes=always),)
