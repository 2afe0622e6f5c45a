# SPDX-License-Identifier: Apache-2.0
"""AWS STS: AssumeRole, AssumeRoleWithWebIdentity, GetSessionToken, GetCallerIdentity. Nothing of it is stored.

A role is assumed only by whom its trust policy, and what else has a say, allows to; a role that is not there answers
like one that is forbidden. What would limit a session and is not understood is refused, never ignored.

Sources: STS API reference; IAM user guide, "IAM and AWS STS condition context keys", "Pass session tags in AWS STS" and
"Monitor and control actions taken with assumed roles".
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from keyquorum import sessions, sts_api
from keyquorum.authz.matching import fold
from keyquorum.authz.policy import parse_identity_policy
from keyquorum.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ValidationException,
)
from keyquorum.model import ASSUMED_ROLE, ROLE, ROOT, WEB_IDENTITY, Principal, Session
from keyquorum.ops.operation import Call, Keys, Operation, Values
from keyquorum.ops.rules import root_of

#: The operation that nobody signs.
BY_WEB_IDENTITY: Final = "AssumeRoleWithWebIdentity"

_HOUR: Final = 3600
_HALF_A_DAY: Final = 43_200
_LONGEST_POLICY: Final = 2048
_MOST_POLICIES: Final = 10
_MOST_TAGS: Final = 50

Tags = tuple[tuple[str, str], ...]


class _Passed(msgspec.Struct, frozen=True):
    """What a session of a role is given besides the role: its own tags, those that its caller's session passes on,
    and who is behind it."""

    tags: Tags = ()
    inherited: Tags = ()
    transitive: tuple[str, ...] = ()
    source_identity: str | None = None

    def context(self, role: Principal, name: str) -> list[tuple[str, Values]]:
        """The condition keys of assuming ``role`` with a session of this ``name``."""
        return [
            ("sts:rolesessionname", (name,)),
            ("sts:sourceidentity", None if self.source_identity is None else (self.source_identity,)),
            ("sts:transitivetagkeys", self.transitive or None),
            ("aws:tagkeys", tuple([key for key, _ in self.tags]) or None),
            *[(f"aws:requesttag/{fold(key)}", (value,)) for key, value in self.tags],
            *[(f"aws:resourcetag/{fold(key)}", (value,)) for key, value in role.tags],
            *[(f"iam:resourcetag/{fold(key)}", (value,)) for key, value in role.tags],
        ]


def _assume_role(call: Call, request: sts_api.AssumeRoleRequest, _keys: Keys) -> sts_api.AssumeRoleResponse:
    caller = call.caller
    if caller.kind == ROOT:
        raise AccessDeniedException("Roles may not be assumed by root accounts.")
    _refuse(request, "serial_number", "token_code", "provided_contexts", "minimum_session_token_size")
    earlier = caller.session if caller.kind == ASSUMED_ROLE else None
    passed = _passed(request, earlier)
    external = (("sts:externalid", None if request.external_id is None else (request.external_id,)),)
    role = _assumable(call, "sts:AssumeRole", request, passed, external)
    if caller.session is not None and (request.duration_seconds or 0) > _HOUR:
        raise ValidationException(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        )
    session = _session(call, role, request, passed, _NO_CLAIMS)
    return sts_api.AssumeRoleResponse(
        packed_policy_size=sessions.packed_size(session),
        credentials=_issued(call, role.account, role.principal_id, session),
        assumed_role_user=_user(role, session),
        source_identity=session.source_identity,
    )


def _assume_by_web_identity(
    call: Call, request: sts_api.AssumeRoleWithWebIdentityRequest, _keys: Keys
) -> sts_api.AssumeRoleWithWebIdentityResponse:
    token = call.caller.session
    if call.caller.kind != WEB_IDENTITY or token is None:
        raise AccessDeniedException(f"Not authorized to perform sts:{BY_WEB_IDENTITY}")
    _refuse(request, "provider_id", "minimum_session_token_size")
    _check_tags(token.tags, (), token.transitive)
    passed = _Passed(token.tags, (), token.transitive, token.source_identity)
    try:
        role = _assumable(call, f"sts:{BY_WEB_IDENTITY}", request, passed, token.claims)
    except AccessDeniedException as refusal:
        detail = refusal.message or ""
        raise AccessDeniedException(f"Not authorized to perform sts:{BY_WEB_IDENTITY}", detail=detail) from None
    session = _session(call, role, request, passed, token)
    return sts_api.AssumeRoleWithWebIdentityResponse(
        packed_policy_size=sessions.packed_size(session),
        credentials=_issued(call, role.account, role.principal_id, session),
        subject_from_web_identity_token=token.web_user,
        assumed_role_user=_user(role, session),
        provider=token.federated,
        audience=next((values[0] for key, values in token.claims if key.endswith(":aud")), None),
        source_identity=session.source_identity,
    )


def _session_token(call: Call, request: sts_api.GetSessionTokenRequest, _keys: Keys) -> sts_api.GetSessionTokenResponse:
    caller, seconds = call.caller, request.duration_seconds or _HALF_A_DAY
    if caller.session is not None:
        raise AccessDeniedException("Cannot call GetSessionToken with session credentials")
    _refuse(request, "serial_number", "token_code", "minimum_session_token_size")
    identity_id = caller.identity_id
    if caller.kind == ROOT:
        seconds = min(seconds, _HOUR)
        if not identity_id:
            with call.services.store.database.read() as connection:
                identity_id = root_of(call, connection)
    session = Session("", call.now, call.now + seconds)
    return sts_api.GetSessionTokenResponse(credentials=_issued(call, caller.account, identity_id, session))


def _identity(call: Call, _request: sts_api.GetCallerIdentityRequest, _keys: Keys) -> sts_api.GetCallerIdentityResponse:
    caller = call.caller
    return sts_api.GetCallerIdentityResponse(user_id=caller.principal_id, account=caller.account, arn=caller.arn)


# -- what requests ask for


def _refuse(request: Any, *members: str) -> None:
    """What this server does not have: second factors, contexts of other providers, tokens of a chosen size."""
    for member in members:
        if getattr(request, member) is not None:
            name = member.title().replace("_", "")
            raise ValidationException(f"{name} is not supported.")


def _passed(request: sts_api.AssumeRoleRequest, earlier: Session | None) -> _Passed:
    tags = tuple([(tag.key or "", tag.value or "") for tag in request.tags or ()])
    transitive = tuple(request.transitive_tag_keys or ())
    source_identity = request.source_identity
    if source_identity is not None and source_identity.startswith("aws:"):
        raise ValidationException("SourceIdentity must not begin with aws:")
    inherited: Tags = ()
    if earlier is not None:
        inherited = sessions.inherited(earlier)
        if earlier.source_identity is not None:
            if source_identity not in (None, earlier.source_identity):
                raise ValidationException("The source identity is already set for this assume role session")
            source_identity = earlier.source_identity
    _check_tags(tags, inherited, transitive)
    return _Passed(tags, inherited, transitive, source_identity)


def _check_tags(tags: Tags, inherited: Tags, transitive: Iterable[str]) -> None:
    keys = {fold(key) for key, _ in tags}
    if len(keys) < len(tags):
        raise InvalidParameterValueException(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    if len(tags) + len(inherited) > _MOST_TAGS:
        raise InvalidParameterValueException(f"A session has at most {_MOST_TAGS} tags.")
    if any(key.startswith("aws:") for key in keys):
        raise InvalidParameterValueException("Tag keys beginning with aws: are reserved.")
    if any(fold(key) in keys for key, _ in inherited):
        raise InvalidParameterValueException(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from"
            " the calling session."
        )
    if any(fold(key) not in keys for key in transitive):
        raise InvalidParameterValueException("The specified transitive tag key must be included in the requested tags.")


# -- the role, and the session of it


def _assumable(
    call: Call, permission: str, request: Any, passed: _Passed, own: Iterable[tuple[str, Values]]
) -> Principal:
    """The role that the request names, if its caller may assume it, and may give its session what it is to have."""
    store = call.services.store
    if not request.role_arn.startswith("arn:aws:iam::") or ":role/" not in request.role_arn:
        raise ValidationException("Request ARN is invalid")
    with store.database.read() as connection:
        role_id = store.identities.unique_id(connection, request.role_arn)
        role = None if role_id is None else store.identities.by_id(connection, role_id)
    if role is None or role.kind != ROLE:
        raise AccessDeniedException(
            f"User: {call.caller.arn} is not authorized to perform: {permission} on resource: {request.role_arn}"
        )
    context = [*passed.context(role, request.role_session_name), *own]
    call.access.role(permission, role, context)
    if passed.tags or passed.inherited:
        call.access.role("sts:TagSession", role, context)
    if passed.source_identity is not None:
        call.access.role("sts:SetSourceIdentity", role, context)
    if (request.duration_seconds or _HOUR) > role.max_session:
        raise ValidationException("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
    return role


def _session(call: Call, role: Principal, request: Any, passed: _Passed, token: Session) -> Session:
    """The session of the role. ``token``: what a web identity's token said."""
    return Session(
        request.role_session_name,
        call.now,
        call.now + (request.duration_seconds or _HOUR),
        policies=_inline(request.policy),
        policy_arns=_managed(call, role.account, request.policy_arns or ()),
        tags=(*passed.inherited, *passed.tags),
        transitive=(*[key for key, _ in passed.inherited], *passed.transitive),
        source_identity=passed.source_identity,
        federated=token.federated,
        web_user=token.web_user,
        claims=token.claims,
    )


def _inline(policy: str | None) -> tuple[str, ...]:
    if policy is None:
        return ()
    if len(policy) > _LONGEST_POLICY:
        raise ValidationException(
            "1 validation error detected: Value at 'policy' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_LONGEST_POLICY}"
        )
    parse_identity_policy(policy)
    return (policy,)


def _managed(call: Call, account: str, given: Iterable[sts_api.PolicyDescriptorType]) -> tuple[str, ...]:
    """The managed policies that are passed: they are of the role's account, or AWS's, and there."""
    arns = tuple([descriptor.arn or "" for descriptor in given])
    if len(arns) > _MOST_POLICIES:
        raise ValidationException(
            "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_MOST_POLICIES}"
        )
    policies = call.services.store.managed_policies
    with call.services.store.database.read() as connection:
        for arn in arns:
            is_near = arn.startswith((f"arn:aws:iam::{account}:policy/", "arn:aws:iam::aws:policy/"))
            if not is_near or policies.document(connection, arn) is None:
                raise ValidationException(f"Policy {arn} does not exist or is not attachable.")
    return arns


def _issued(call: Call, account: str, identity_id: str, session: Session) -> sts_api.Credentials:
    temporary, token = sessions.issue(call.services.keyring, account, identity_id, session)
    return sts_api.Credentials(
        access_key_id=temporary.access_key_id,
        secret_access_key=temporary.secret,
        session_token=token,
        expiration=session.expires_at,
    )


def _user(role: Principal, session: Session) -> sts_api.AssumedRoleUser:
    return sts_api.AssumedRoleUser(
        assumed_role_id=f"{role.principal_id}:{session.name}",
        arn=f"arn:aws:sts::{role.account}:assumed-role/{role.name}/{session.name}",
    )


_NO_CLAIMS: Final = Session("", 0.0, 0.0)

# Who calls is known by signature or token; what may be assumed is decided on the way: none has a permission of its own.
OPERATIONS = (
    Operation(name="AssumeRole", run=_assume_role, open=True, waits=True),
    Operation(name=BY_WEB_IDENTITY, run=_assume_by_web_identity, open=True, waits=True),
    Operation(name="GetSessionToken", run=_session_token, open=True, waits=True),
    Operation(name="GetCallerIdentity", run=_identity, open=True),
)
