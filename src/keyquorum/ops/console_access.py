# SPDX-License-Identifier: Apache-2.0
"""ExplainAccess: what ``keyquorum iam explain`` tells, for those who may know it.

It asks for iam:SimulatePrincipalPolicy on the principal, who is of the caller's account. A key's policy, or a role's
trust policy, decides along with the principal's, so that who may not read it (kms:GetKeyPolicy, iam:GetRole) is told
nothing: by changing the question, whoever gets answers finds out what a policy says. The text of identity-based
policies, tags, aliases and grants are told to those who may read them elsewhere.
"""

from collections.abc import Callable
from typing import Any, Final

from keyquorum import own_api
from keyquorum.arns import is_region
from keyquorum.authz.decision import Source
from keyquorum.authz.matching import fold
from keyquorum.authz.work import TooMuchWork, Work
from keyquorum.errors import AccessDeniedException, LimitExceededException, ValidationException
from keyquorum.explain.explaining import ON_ALIASES, Question, explain, identity_of
from keyquorum.explain.explanation import Explanation, Part
from keyquorum.explain.placing import place_of
from keyquorum.model import GROUP, ROLE, USER
from keyquorum.ops.iam import rules
from keyquorum.ops.iam.about import Subject, need
from keyquorum.ops.operation import Call, Keys, KeyUse, Need, Operation, always
from keyquorum.store.store import CachedView

#: Units of work for all that is compared (``authz.work``).
_WORK: Final = 250_000_000
_IDENTITY: Final = "arn:aws:iam:"
_INLINE: Final = " inline policy "
_BOUNDARY: Final = "the permissions boundary "
_READING: Final = {USER: "iam:GetUserPolicy", GROUP: "iam:GetGroupPolicy", ROLE: "iam:GetRolePolicy"}
_TAGS: Final = {USER: "iam:ListUserTags", ROLE: "iam:ListRoleTags"}


def _is_key(request: own_api.ExplainAccessRequest) -> bool:
    name, action = request.resource or "*", _action(request)
    if name == "*" or name.startswith(_IDENTITY):
        return False
    return not (action in ON_ALIASES and "alias/" in name)


def _action(request: own_api.ExplainAccessRequest) -> str:
    wanted = str(request.action).lower()
    return next((name for name in ON_ALIASES if name.lower() == wanted), str(request.action))


def _keys(_call: Call, request: own_api.ExplainAccessRequest) -> tuple[KeyUse, ...]:
    if not _is_key(request):
        return ()
    return (KeyUse("kms:GetKeyPolicy", str(request.resource), "allowed", row="GetKeyPolicy"),)


def _needs(call: Call, request: own_api.ExplainAccessRequest) -> tuple[Need, ...]:
    if not call.caller.is_for_iam:
        raise AccessDeniedException("These are credentials that IAM does not take, and this tells what IAM would.")
    arn = _own(call, str(request.principal), "principal")
    found = [need("iam:SimulatePrincipalPolicy", _subject(call, arn))]
    resource = request.resource or "*"
    if resource.startswith(_IDENTITY) and fold(str(request.action)).startswith("sts:"):
        found.append(need("iam:GetRole", _subject(call, _own(call, resource, "role"))))
    return tuple(found)


def _own(call: Call, arn: str, what: str) -> str:
    """An ARN of the caller's account. Raises ValidationException, of which the caller learns nothing but that."""
    parts = arn.split(":")
    if len(parts) < 6 or parts[:2] != ["arn", "aws"]:
        raise ValidationException(f"{what}: an ARN is expected.")
    if parts[4] != call.caller.account:
        raise ValidationException(f"{what}: it is another account's, and must be explained there.")
    return arn


def _subject(call: Call, arn: str) -> Subject:
    found = identity_of(call.services.store, arn)
    return Subject(arn, arn) if found is None else Subject(found.arn, found.arn, found.tags)


def _explain(call: Call, request: own_api.ExplainAccessRequest, keys: Keys) -> own_api.ExplainAccessResponse:
    entries = request.context_entries or ()
    question = Question(
        principal=str(request.principal),
        action=_action(request),
        resource=request.resource,
        region=call.caller.region,
        encryption_context=request.encryption_context,
        context={fold(str(e.context_key_name)): tuple(e.context_key_values or ()) for e in entries},
    )
    if not is_region(question.region):
        raise ValidationException("The Region is none.")
    try:
        told = explain(call.services.store, question, call.now, Work(_WORK))
    except TooMuchWork:
        raise LimitExceededException(
            "The policies that apply are too large to be compared with this request."
        ) from None
    return _told(told, _Shown(call, str(request.principal), keys))


class _Shown:
    """What the caller may see of the answer."""

    def __init__(self, call: Call, principal: str, keys: Keys) -> None:
        self._call = call
        self._principal = principal
        self._key = keys[0].key if keys else None
        self._known: dict[Any, str | None] = {}

    def text(self, part: Part) -> str | None:
        """The permission that is missing to read the statement; None if nothing is."""
        match part.kind:
            case Source.IDENTITY if _INLINE in part.policy:
                holder = part.policy.partition(_INLINE)[0]
                kind = next(kind for kind in rules.KINDS if f":{kind.word}/" in holder)
                found = rules.find(self._call, kind, holder.rpartition("/")[2])
                about = Subject(holder, part.policy, () if found is None else found.tags)
                return self._account(_READING[kind.kind], lambda: need(_READING[kind.kind], about))
            case Source.IDENTITY | Source.BOUNDARY:
                arn = part.policy.removeprefix(_BOUNDARY)
                policy = rules.find_policy(self._call, arn)
                about = Subject(arn, f"policy {arn}", () if policy is None else policy.tags)
                return self._account("iam:GetPolicyVersion", lambda: need("iam:GetPolicyVersion", about))
            case _:
                return None  # the resource's own was asked for before; session policies are the question's

    def value(self, name: str) -> str | None:
        """The same, to know what the request has of a condition key."""
        name = fold(name)
        if name.startswith("aws:principaltag/"):
            found = identity_of(self._call.services.store, self._principal)
            permission = "" if found is None else _TAGS.get(found.kind, "")
            if found is None or not permission:
                return None
            return self._account(permission, lambda: need(permission, Subject(found.arn, found.arn, found.tags)))
        if name.startswith("aws:resourcetag/"):
            return self.of_key("kms:ListResourceTags")
        if name == "kms:resourcealiases":
            return self._account("kms:ListAliases", lambda: Need("kms:ListAliases"))
        return None

    def of_key(self, permission: str) -> str | None:
        key = self._key
        if key is None:
            return None

        def ask() -> None:
            record = CachedView(self._call.services.store, may_block=True).key(key.key_id, key.region)
            if record is None:
                raise AccessDeniedException
            self._call.access.key(KeyUse(permission, key.key_id), record)

        return self._missing((permission, key.key_id), permission, ask)

    def _account(self, permission: str, make: Callable[[], Need]) -> str | None:
        made = make()
        return self._missing(made, permission, lambda: self._call.access.account(made))

    def _missing(self, name: Any, permission: str, ask: Callable[[], object]) -> str | None:
        if name not in self._known:
            try:
                ask()
                self._known[name] = None
            except AccessDeniedException:
                self._known[name] = permission
        return self._known[name]


def _told(told: Explanation, shown: _Shown) -> own_api.ExplainAccessResponse:
    grants = shown.of_key("kms:ListGrants") is None
    return own_api.ExplainAccessResponse(
        allowed=told.allowed,
        principal=told.principal,
        action=told.action,
        resource=told.resource,
        reason=told.reason,
        source=told.source,
        why=told.why,
        part=None if told.part is None else _part(told.part, shown),
        grant_id=told.grant_id if grants else None,
        let_in=None if told.let_in is None else _part(told.let_in, shown),
        nearly=[_part(part, shown) for part in told.nearly],
        message=told.message,
    )


def _part(part: Part, shown: _Shown) -> own_api.StatementPart:
    withheld = shown.text(part)
    if withheld is not None:
        return own_api.StatementPart(policy=part.policy, index=part.index, withheld=withheld)
    document = part.document
    start, end = (None, None) if document is None else place_of(document, part.index) or (None, None)
    return own_api.StatementPart(
        policy=part.policy,
        index=part.index,
        sid=part.sid,
        document=document,
        start=start,
        end=end,
        has=[_value(name, values, shown) for name, values in part.has.items()] or None,
    )


def _value(name: str, values: tuple[str, ...] | None, shown: _Shown) -> own_api.RequestKey:
    withheld = shown.value(name)
    told = None if withheld is not None or values is None else list(values)
    return own_api.RequestKey(context_key_name=name, context_key_values=told, withheld=withheld)


OPERATIONS: Final = (
    Operation(name="ExplainAccess", run=_explain, keys=_keys, needs=_needs, waits=True, computes=always),
)
