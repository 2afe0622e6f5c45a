# SPDX-License-Identifier: Apache-2.0
"""What was asked, put to the evaluator."""

import json
from collections.abc import Iterable, Mapping

import msgspec
from asked import Asked, Document
from policies import ACCOUNT, KEY_ARN

from keyquorum import api
from keyquorum.authz import evaluate
from keyquorum.authz.compiled import Compiled, GrantTerms, Request, Subject
from keyquorum.authz.decision import Decision
from keyquorum.authz.grants import CompiledGrant
from keyquorum.authz.matching import Context, fold
from keyquorum.authz.policy import parse_identity_policy, parse_key_policy
from keyquorum.model import Grant


def identity(document: Document) -> Compiled:
    return Compiled(parse_identity_policy(json.dumps(document)))


def key_policy(document: Document) -> Compiled:
    return Compiled(parse_key_policy(json.dumps(document)))


def compiled_grant(given: Document, grant_id: str = "g") -> CompiledGrant:
    constraints = given.get("constraints")
    text = None
    if constraints is not None:
        text = msgspec.json.encode(msgspec.convert(constraints, api.GrantConstraints)).decode()
    stored = Grant(
        grant_id=grant_id,
        key_id=KEY_ARN.rpartition("/")[2],
        region="eu-west-1",
        name=None,
        grantee=given["grantee"],
        retiring=given.get("retiring"),
        issuing_account=given.get("issuer", ACCOUNT),
        operations=tuple(given["operations"]),
        constraints=text,
        created_at=0.0,
        grantee_is_service=given["grantee"].endswith(".amazonaws.com"),
    )
    return CompiledGrant(stored)


def context_of(values: Mapping[str, str | Iterable[str]]) -> Context:
    context = Context()
    for key, value in values.items():
        given = (value,) if isinstance(value, str) else tuple(value)
        context[fold(key)] = (*(context[fold(key)] or ()), *given)
    return context


def subject_of(asked: Asked) -> Subject:
    who = asked.who
    return Subject(
        who.kind,
        who.arn,
        who.account,
        who.unique_id,
        who.role_arn,
        who.role_id,
        who.services,
        who.federated,
        policies=tuple(map(identity, asked.identity)),
        boundary=None if asked.boundary is None else identity(asked.boundary),
        sessions=tuple(map(identity, asked.sessions)),
    )


def request_of(asked: Asked) -> Request:
    creates = None
    if asked.creates is not None:
        constraints = asked.creates.get("constraints", {})
        creates = GrantTerms(
            frozenset(asked.creates["operations"]),
            constraints.get("EncryptionContextEquals"),
            constraints.get("EncryptionContextSubset"),
            constraints.get("SourceArn"),
        )
    return Request(
        asked.action,
        (asked.resource or "*",),
        asked.owner,
        context_of(asked.context),
        encryption_context=lambda: asked.encryption_context,
        creates=creates,
    )


def decide(asked: Asked) -> Decision:
    request, subject = request_of(asked), subject_of(asked)
    if asked.key_policy is None:
        return evaluate.on_account(request, subject)
    policy = key_policy(asked.key_policy)
    if asked.retires is not None:
        return evaluate.on_grant(request, subject, policy, compiled_grant(asked.retires))
    grants = [compiled_grant(given, f"g{i}") for i, given in enumerate(asked.grants)]
    return evaluate.on_key(request, subject, policy, lambda: grants)
