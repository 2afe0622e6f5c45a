# SPDX-License-Identifier: Apache-2.0
"""Why a principal may do something, or why not: which statement of which policy, or which grant, decided, and for a
refusal what was missing. It asks the evaluator that the request path asks, and reads; it changes and records nothing.

What only a real request has (address, TLS, user agent) is absent, unless the question's ``context`` has it. Whether
the key is in a state for it is another matter.
"""

from typing import Final

import msgspec

from keyquorum import api, arns
from keyquorum.arns import LAYOUTS
from keyquorum.asked import about_key, find_subject, grants_to, key_policy
from keyquorum.authz import evaluate
from keyquorum.authz.compiled import Compiled, Request, Subject
from keyquorum.authz.context import Facts, RequestContext
from keyquorum.authz.decision import Source
from keyquorum.authz.matching import fold
from keyquorum.authz.policy import parse_identity_policy, parse_trust_policy
from keyquorum.authz.subjects import documents
from keyquorum.authz.work import UNBOUNDED, Work
from keyquorum.errors import (
    InvalidArnException,
    NoSuchEntityException,
    NotFoundException,
    UnsupportedOperationException,
)
from keyquorum.explain.explanation import Explanation, Policies, told
from keyquorum.model import (
    ASSUMED_ROLE,
    ROLE,
    ROOT,
    USER,
    Caller,
    IdentityRecord,
    KeyRecord,
    Principal,
    ResourcePolicy,
    Session,
)
from keyquorum.store.store import CachedView, Store

_HOUR: Final = 3600.0
_SESSION: Final = "explain"
ON_ALIASES: Final = frozenset({"kms:CreateAlias", "kms:UpdateAlias", "kms:DeleteAlias"})
#: As the service writes them: policies compare without case, tables of permissions do not.
_ACTIONS: Final = {f"kms:{name}".lower(): f"kms:{name}" for name in (*api.OPERATIONS, "ReEncryptFrom", "ReEncryptTo")}
_UNKNOWN: Final = ("aws:securetransport", "aws:sourceip", "aws:useragent")


class Question(msgspec.Struct, frozen=True):
    """``principal`` is the ARN of a root, a user, a role or a role's session; a role asks as a session of its own.
    ``resource`` is a key ID, key ARN, alias name, alias ARN, the ARN of an identity, or None. Names without an account
    are in the principal's. An alias operation needs a permission on the alias and one on the key: each is asked for by
    itself. ``context``: condition keys -> values, in place of what would be known of them."""

    principal: str
    action: str
    resource: str | None = None
    region: str = "us-east-1"
    encryption_context: dict[str, str] | None = None
    context: dict[str, tuple[str, ...]] = {}
    session_policies: tuple[str, ...] = ()


def explain(store: Store, question: Question, now: float, work: Work = UNBOUNDED) -> Explanation:
    """``now`` is in seconds since the epoch. ``work``: what all comparisons together may cost. Raises KMSError for a
    name of nobody or nothing, and for a session policy that is none; TooMuchWork."""
    question = msgspec.structs.replace(question, action=_ACTIONS.get(question.action.lower(), question.action))
    view = CachedView(store, may_block=True)
    caller = _caller(store, question, now)
    for text in question.session_policies:
        parse_identity_policy(text)
    subject = find_subject(caller, view, work)
    identity = None if caller.kind == ROOT else view.identity(caller.account, caller.identity_id)
    policies = _policies(caller, identity, subject)
    target = _target(store, view, question, caller)
    facts = _facts(question, caller, subject, now, target)
    context = RequestContext(facts, work)
    if not isinstance(target, KeyRecord):
        context["aws:resourceaccount"] = (target.account if isinstance(target, Principal) else caller.account,)
    context.update(dict.fromkeys(_UNKNOWN))
    context.update({fold(name): values for name, values in question.context.items()})

    own = ""
    policy: ResourcePolicy | None = None
    compiled: Compiled | None = None
    if isinstance(target, KeyRecord):
        asked = about_key(target, facts, context)
        compiled = key_policy(target, work)
        decision = evaluate.on_key(asked, subject, compiled, lambda: grants_to(view, target, subject, question.action))
        own, policy = "key policy", target.policy
    elif isinstance(target, Principal) and target.trust is not None:
        asked = Request(question.action, (target.arn,), target.account, context)
        compiled = Compiled(parse_trust_policy(target.trust.document), target.trust.bound)
        decision = evaluate.on_key(asked, subject, compiled)
        own, policy = "trust policy", target.trust
    else:
        resource = str(target or "*")
        asked = Request(question.action, (resource, *_other_layout(resource)), caller.account, context)
        decision = evaluate.on_account(asked, subject)
    if compiled is not None and policy is not None:
        policies[Source.RESOURCE] = [(f"the {own} of {asked.resources[0]}", policy.document, compiled)]
    return told(decision, asked, subject, own, policies)


# -- who asks, and what about


def identity_of(store: Store, arn: str) -> Principal | None:
    """The root, the user or the role of an ARN, or the role whose session it is; None if there is none."""
    with store.database.read() as connection:
        account = arn.split(":")[4] if arn.count(":") >= 5 else ""
        if arn == f"arn:aws:iam::{account}:root":
            return store.identities.principal(connection, account, ROOT, ROOT)
        unique_id = store.identities.unique_id(connection, arn)
        return None if unique_id is None else store.identities.by_id(connection, unique_id.partition(":")[0])


def _caller(store: Store, question: Question, now: float) -> Caller:
    arn, region = question.principal, question.region
    with store.database.read() as connection:
        account = arn.split(":")[4] if arn.count(":") >= 5 else ""
        if arn == f"arn:aws:iam::{account}:root":
            root = store.identities.principal(connection, account, ROOT, ROOT)
            if root is not None:
                return Caller(account, region, arn, account, ROOT, identity_id=root.principal_id)
        unique_id = store.identities.unique_id(connection, arn)
        found = None if unique_id is None else store.identities.by_id(connection, unique_id.partition(":")[0])
    if unique_id is None or found is None:
        raise NoSuchEntityException(f"There is no principal {arn}.")
    if found.kind == USER:
        if question.session_policies:
            raise UnsupportedOperationException("Session policies are a role's: no session of a user has any.")
        return Caller(account, region, arn, unique_id, USER, identity_id=unique_id)
    name = unique_id.partition(":")[2] or _SESSION
    return Caller(
        account,
        region,
        f"arn:aws:sts::{account}:assumed-role/{found.name}/{name}",
        f"{found.principal_id}:{name}",
        ASSUMED_ROLE,
        f"{now} {question.session_policies}",
        found.principal_id,
        found.arn,
        Session(name, now, now + _HOUR, question.session_policies),
    )


def _target(store: Store, view: CachedView, question: Question, caller: Caller) -> KeyRecord | Principal | str | None:
    """The key or the role that the question is about, or the ARN of what has no policy of its own."""
    name = question.resource
    if name is None or name == "*":
        return None
    if name.startswith("arn:aws:iam:"):
        if not question.action.startswith("sts:"):
            return name
        with store.database.read() as connection:
            unique_id = store.identities.unique_id(connection, name)
            role = None if unique_id is None else store.identities.by_id(connection, unique_id)
        if role is None or role.kind != ROLE:
            raise NoSuchEntityException(f"There is no role {name}.")
        return role
    ref = arns.parse(name, declares_invalid_arn=True)
    if ref.region not in (None, question.region):
        raise InvalidArnException(f"{name} is not in Region {question.region}")
    account, key_id = ref.account or caller.account, ref.key_id
    if ref.alias is not None:
        if question.action in ON_ALIASES:
            return LAYOUTS[0].alias(question.region, account, ref.alias)
        alias = view.alias(account, question.region, ref.alias)
        key_id = None if alias is None else alias.key_id
    record = None if key_id is None else view.key(key_id, question.region)
    if record is None or record.key.account != account:
        raise NotFoundException(f"There is no key {name} of account {account} in {question.region}.")
    return record


def _other_layout(resource: str) -> tuple[str, ...]:
    if ":alias/" not in resource:
        return ()
    ref = arns.parse(resource, declares_invalid_arn=True)
    return tuple([layout.alias(str(ref.region), str(ref.account), str(ref.alias)) for layout in LAYOUTS[1:]])


def _facts(question: Question, caller: Caller, subject: Subject, now: float, target: object) -> Facts:
    operation = question.action.partition(":")[2]
    shape = api.OPERATIONS.get("ReEncrypt" if operation.startswith("ReEncrypt") else operation)
    request = api.Shape() if shape is None else shape.request()
    contexts = [name for name in request.__struct_fields__ if name.endswith("encryption_context")]
    record = target if isinstance(target, KeyRecord) else None
    return Facts(
        action=question.action,
        request=msgspec.structs.replace(request, **dict.fromkeys(contexts, question.encryption_context)),
        subject=subject,
        region=caller.region,
        now=now,
        key=None if record is None else record.key,
        aliases=() if record is None else record.aliases,
        alias=_alias(question.resource),
    )


def _alias(name: str | None) -> str | None:
    _, found, rest = (name or "").rpartition("alias/")
    return f"alias/{rest}" if found else None


def _policies(caller: Caller, identity: IdentityRecord | None, subject: Subject) -> Policies:
    found: Policies = {Source.RESOURCE: [], Source.IDENTITY: [], Source.BOUNDARY: [], Source.SESSION: []}
    if identity is not None:
        named = zip(documents(identity), subject.policies, strict=True)
        found[Source.IDENTITY] = [(name, text, compiled) for (name, text), compiled in named]
        boundary = identity.principal.boundary
        if boundary is not None and subject.boundary is not None:
            text = identity.managed.get(boundary)
            found[Source.BOUNDARY] = [(f"the permissions boundary {boundary}", text, subject.boundary)]
    texts = () if caller.session is None else caller.session.policies
    given = zip(texts, subject.sessions, strict=True)
    found[Source.SESSION] = [(f"session policy {n}", text, made) for n, (text, made) in enumerate(given, 1)]
    return found
