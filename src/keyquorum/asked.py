# SPDX-License-Identifier: Apache-2.0
"""From records to what the evaluator is asked: subjects, key policies and grants made ready, a request's part about a
key. For decisions, and for telling of them. It decides nothing."""

from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

from keyquorum.arns import LAYOUTS
from keyquorum.authz.compiled import Compiled, GrantTerms, Request, Subject
from keyquorum.authz.context import Facts, RequestContext, encryption_context
from keyquorum.authz.grants import CompiledGrant
from keyquorum.authz.policy import parse_key_policy
from keyquorum.authz.subjects import READING, subject_of
from keyquorum.authz.work import UNBOUNDED, Work
from keyquorum.errors import AccessDeniedException, IntegrityError
from keyquorum.model import ROOT, SERVICE, WEB_IDENTITY, Caller, Grant, KeyRecord
from keyquorum.specs import granted_operations
from keyquorum.store.store import View

#: Many keys have the same policy, the default one above all: it is made ready once, and goes with the last of them.
_READY: Final[WeakValueDictionary[tuple[str, frozenset[tuple[str, str]] | None], Compiled]] = WeakValueDictionary()


def about_key(record: KeyRecord, facts: Facts, context: RequestContext) -> Request:
    """The request that ``facts`` are about, for what it does to the key of ``record``."""
    key = record.key
    names = record.ready.get("names")
    if names is None:
        names = record.ready["names"] = tuple([layout.key(key.region, key.account, key.key_id) for layout in LAYOUTS])
    return Request(
        facts.action,
        names,
        key.account,
        context,
        partial(encryption_context, facts),
        _terms(facts.request) if facts.action == "kms:CreateGrant" else None,
    )


def grants_to(view: View, record: KeyRecord, subject: Subject, permission: str) -> list[CompiledGrant]:
    """The key's grants of ``permission`` that may concern the subject."""
    key, operation = record.key, permission.partition(":")[2]
    if operation not in granted_operations(key.spec, key.usage):
        return []
    root = f"arn:aws:iam::{subject.account}:root"
    known = (subject.arn, subject.principal_id, subject.role_arn, subject.role_id, root)
    return view.grants(key, [name for name in known if name], operation, compiled_grant)


def compiled_grant(grant: Grant) -> CompiledGrant:
    return CompiledGrant(grant, grant.grantee_id, grant.retiring_id)


def find_subject(caller: Caller, view: View, work: Work = UNBOUNDED) -> Subject:
    """The caller with its policies. Raises AccessDeniedException if its user or role is gone, and TooMuchWork."""
    if caller.kind in (SERVICE, WEB_IDENTITY) or (caller.kind == ROOT and caller.session is None):
        return subject_of(caller, None)
    record = view.identity(caller.account, caller.identity_id)
    if record is None:
        raise AccessDeniedException(f"User: {caller.arn} is not there any more")
    passed: tuple[str | None, ...] = ()
    if caller.session is not None:
        passed = tuple([view.managed_policy(caller.account, arn) for arn in caller.session.policy_arns])
    return subject_of(caller, record, passed, work)


def key_policy(record: KeyRecord, work: Work = UNBOUNDED) -> Compiled:
    """The key policy, made ready. Raises TooMuchWork."""
    compiled: Compiled | None = record.ready.get("policy")
    if compiled is None:
        if record.policy is None:
            raise IntegrityError(f"key {record.key.key_id} has no key policy")
        document, bound = record.policy.document, record.policy.bound
        work.spend(READING * len(document))
        same = document, None if bound is None else frozenset(bound.items())
        compiled = _READY.get(same)
        if compiled is None:
            compiled = _READY[same] = Compiled(parse_key_policy(document), bound)
        record.ready["policy"] = compiled
    return compiled


def _terms(request: Any) -> GrantTerms:
    constraints = request.constraints
    operations = frozenset(request.operations or ())
    if constraints is None:
        return GrantTerms(operations)
    return GrantTerms(
        operations,
        constraints.encryption_context_equals,
        constraints.encryption_context_subset,
        constraints.source_arn,
    )
