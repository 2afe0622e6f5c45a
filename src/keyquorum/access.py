# SPDX-License-Identifier: Apache-2.0
"""What a request asks of the evaluator: whose it is, which keys, aliases, roles or identities it is about, and all that
conditions can ask of it. The decision itself is ``authz``'s."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from keyquorum import api
from keyquorum.asked import about_key, compiled_grant, find_subject, grants_to, key_policy
from keyquorum.authz import evaluate
from keyquorum.authz.authorize import AuthorizedKey, absent_or_forbidden, authorize
from keyquorum.authz.compiled import Compiled, Request, Subject
from keyquorum.authz.context import Facts, RequestContext
from keyquorum.authz.decision import Decision, Reason, Source
from keyquorum.authz.policy import parse_trust_policy
from keyquorum.authz.standing import Standing, standing
from keyquorum.authz.work import UNBOUNDED, TooMuchWork, Work
from keyquorum.errors import (
    AccessDeniedException,
    IntegrityError,
    KMSError,
    LimitExceededException,
    NotFoundException,
)
from keyquorum.model import SERVICE, KeyRecord, Principal
from keyquorum.ops.operation import Call, Keys, KeyUse, Need, Operation, Values
from keyquorum.ops.rules import GrantToken
from keyquorum.store.store import View

_UNNAMED: Final = {"request": "this resource", "ciphertext": "the resource associated with this ciphertext"}
#: Units of work for a decision: on the event loop, and in a thread of its own.
_AT_ONCE: Final = 1_000_000
_AT_MOST: Final = 250_000_000
#: What is remembered of one key: so many subjects and actions, and about so many statements for all of them.
_SUBJECTS: Final = 512
_CLAUSES: Final = 8192
_BY_ITSELF: Final = Decision(True, Reason.ALLOWED, Source.ROOT)


class Access:
    """Decisions about one request, on what ``view`` shows."""

    def __init__(self, call: Call, view: View, request: Any) -> None:
        self._call = call
        self._view = view
        self._request = request
        # For each decision as much: with one amount for all, what is left would tell something of the one before.
        self._most = _AT_MOST if call.may_wait else _AT_ONCE
        try:
            # Quotas bound how much there is to be read; it is read once.
            self.subject: Final = find_subject(call.caller, view, UNBOUNDED if call.may_wait else Work(_AT_ONCE))
        except TooMuchWork:
            raise self._undecided() from None

    def decide(
        self, operation: Operation, found: list[tuple[KeyUse, KeyRecord]], missing: KMSError | None = None
    ) -> Keys:
        """The proofs for all keys that the request is about, once whatever else it needs is decided too. ``missing`` is
        raised once those that were found are decided: it says that one after them was not."""
        for token in getattr(self._request, "grant_tokens", None) or ():
            GrantToken.open(self._call, token)
        needs = operation.needs(self._call, self._request)
        if not found and not needs and not operation.open:
            raise AccessDeniedException(f"{operation.name} names nothing that could be allowed")
        same_key = len(found) > 1 and found[0][1].key.key_id == found[1][1].key.key_id
        keys = tuple([self.key(use, record, same_key=same_key) for use, record in found])
        if missing is not None:
            raise missing
        for need in needs:
            self.account(need)
        return keys

    def key(
        self, use: KeyUse, record: KeyRecord, *, same_key: bool = False, one_of_many: bool = False
    ) -> AuthorizedKey:
        """The proof that the request may do to the key what it wants to; raises AccessDeniedException.

        ``same_key``: whether both keys of a request that has two are one. ``one_of_many``: whether it asks about so
        many that no decision may cost more than on the event loop; reading the key policy, which is kept, not counted.
        """
        call, key = self._call, record.key
        if call.http is None and call.caller.kind == SERVICE:
            return authorize(record, _BY_ITSELF)
        facts = self._facts(use.permission, record, _alias_of(use), same_key)
        work = Work(_AT_ONCE if one_of_many else self._most)
        try:
            if one_of_many:
                key_policy(record)
            if use.by == "account":
                asked = Request(use.permission, ("*",), key.account, RequestContext(facts, work))
                decision = evaluate.on_account(asked, self.subject)
            elif use.grant_id is not None:
                decision = self._on_grant(use, record, facts, work)
            else:
                decision = self._on_key(record, facts, work)
        except TooMuchWork:
            undecided = self._undecided()
            if key.account != call.caller.account:
                raise absent_or_forbidden(call.caller, use.permission, _UNNAMED[use.found_in]) from None
            raise undecided from None
        if not decision.allowed:
            resource, unnamed = None if use.by == "account" else call.arn(key), _UNNAMED[use.found_in]
            raise AccessDeniedException(decision.message(call.caller.arn, use.permission, resource, unnamed))
        return authorize(record, decision)

    def account(self, need: Need) -> None:
        """Raises AccessDeniedException unless identity-based policies give what ``need`` says."""
        call = self._call
        facts = self._facts(need.permission, None, None, False)
        context = _with(RequestContext(facts, Work(self._most)), (_owned_by(call.caller.account), *need.context))
        request = Request(need.permission, (need.resource or "*", *need.other_arns), call.caller.account, context)
        try:
            decision = evaluate.on_account(request, self.subject)
        except TooMuchWork:
            raise self._undecided() from None
        if not decision.allowed:
            named = need.shown or need.resource
            raise AccessDeniedException(decision.message(call.caller.arn, need.permission, named))

    def role(self, permission: str, role: Principal, context: Iterable[tuple[str, Values]] = ()) -> None:
        """Raises AccessDeniedException unless the role's trust policy, and what else has a say, let the role be
        assumed. ``context`` are condition keys of this operation, in lower case."""
        call = self._call
        facts = self._facts(permission, None, None, False)
        known = _with(RequestContext(facts, Work(self._most)), (_owned_by(role.account), *context))
        request = Request(permission, (role.arn,), role.account, known)
        trust = role.trust
        if trust is None:
            raise IntegrityError(f"role {role.principal_id} has no trust policy")
        try:
            decision = evaluate.on_key(request, self.subject, Compiled(parse_trust_policy(trust.document), trust.bound))
        except TooMuchWork:
            decision = Decision(False, Reason.IMPLICIT_DENY, Source.RESOURCE)
            self._undecided()
        if not decision.allowed:
            # That a role is there is for those to know who may assume it.
            raise AccessDeniedException(
                f"User: {call.caller.arn} is not authorized to perform: {permission} on resource: {role.arn}"
            )

    # -- how much it may cost

    def _undecided(self) -> KMSError:
        """What to raise for TooMuchWork. Raises WouldBlock where it is only too much to be done at once."""
        self._call.wait(computing=True)
        return LimitExceededException("The policies that apply are too large to be compared with this request.")

    # -- what the evaluator is asked

    def _facts(self, permission: str, record: KeyRecord | None, alias: str | None, same_key: bool) -> Facts:
        call, http = self._call, self._call.http
        return Facts(
            action=permission,
            request=self._request,
            subject=self.subject,
            region=call.caller.region if record is None else record.key.region,
            now=call.now,
            key=None if record is None else record.key,
            aliases=() if record is None else record.aliases,
            alias=alias,
            same_key=same_key,
            source_ip=None if http is None else http.peer,
            secure=http is not None and http.secure,
            user_agent=None if http is None else http.by_name.get(b"user-agent", b"").decode("latin-1"),
        )

    def _on_key(self, record: KeyRecord, facts: Facts, work: Work) -> Decision:
        subject, policy = self.subject, key_policy(record, work)
        asked = about_key(record, facts, RequestContext(facts, work))
        return evaluate.on_key(
            asked,
            subject,
            policy,
            lambda: grants_to(self._view, record, subject, facts.action),
            _known(record, policy, asked, subject),
        )

    def _on_grant(self, use: KeyUse, record: KeyRecord, facts: Facts, work: Work) -> Decision:
        grant = self._view.grant(str(use.grant_id))
        if grant is None or (grant.key_id, grant.region) != (record.key.key_id, record.key.region):
            if record.key.account != self._call.caller.account:
                return Decision(False, Reason.IMPLICIT_DENY, Source.RESOURCE, foreign=True)
            raise NotFoundException(f"Grant ID {use.grant_id} not found")
        if grant.constraints is not None:
            retired = msgspec.json.decode(grant.constraints, type=api.GrantConstraints)
            facts = msgspec.structs.replace(facts, retired=retired)
        asked = about_key(record, facts, RequestContext(facts, work))
        return evaluate.on_grant(asked, self.subject, key_policy(record, work), compiled_grant(grant))


def _known(record: KeyRecord, policy: Compiled, asked: Request, subject: Subject) -> Standing:
    """What the policies say of the subject and the key, kept with the key as long as both are. Raises TooMuchWork."""
    kept: dict[tuple[str, str, str], Standing] = record.ready.setdefault("standings", {})
    name = asked.action, subject.principal_id, subject.arn
    known = kept.get(name)
    if known is None or known.subject is not subject:
        known = standing(asked, subject, policy)
        if len(kept) >= min(_SUBJECTS, _CLAUSES // (1 + known.size)):
            kept.clear()
        kept[name] = known
    return known


def _owned_by(account: str) -> tuple[str, Values]:
    """The condition key of what is about no key."""
    return "aws:resourceaccount", (account,)


def _with(context: RequestContext, own: Iterable[tuple[str, Values]]) -> RequestContext:
    for name, values in own:
        context[name] = values
    return context


def _alias_of(use: KeyUse) -> str | None:
    """The alias that the request names the key by."""
    if use.found_in == "ciphertext":
        return None
    if use.ref.startswith("alias/"):
        return use.ref
    if ":alias/" not in use.ref:
        return None
    return f"alias/{use.ref.partition(':alias/')[2]}"
