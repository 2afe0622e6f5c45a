# SPDX-License-Identifier: Apache-2.0
"""From a record of the audit log back to the question that was decided: who, what, on what, and with which conditions.
What the record does not tell stays unknown, and is said to be."""

import re
from typing import Any, Final

from msgspec import Struct

from keyquorum.console.events import Shown

_SAYS: Final = re.compile(r"is not authorized to perform: (\S+?)(?: on (?:resource: )?(\S+))?(?: |$)")
_OWN: Final = {
    "LookupEvents": "cloudtrail:LookupEvents",
    "CountEvents": "cloudtrail:LookupEvents",
    "GetStatus": "keyquorum:GetStatus",
    "ExplainAccess": "iam:SimulatePrincipalPolicy",
    "SearchKeys": "kms:ListKeys",
    "CountKeys": "kms:ListKeys",
    "CheckKeyPolicy": "kms:PutKeyPolicy",
}
#: Without keys of their own: identity-based policies decide.
_IN_ACCOUNT: Final = frozenset({"CreateKey", "ListKeys", "ListAliases", "ListRetirableGrants", "GenerateRandom"})
_ON_ALIASES: Final = frozenset({"CreateAlias", "UpdateAlias", "DeleteAlias"})
#: Members of requests that are about an identity, and what its ARN has.
_IDENTITIES: Final = {"userName": "user", "groupName": "group", "roleName": "role"}
_ARNS: Final = ("policyArn", "policySourceArn", "roleArn", "openIDConnectProviderArn", "resource")
_CONTEXTS: Final = {
    "ReEncryptFrom": "sourceEncryptionContext",
    "ReEncryptTo": "destinationEncryptionContext",
}
#: Members of requests, and the condition keys that they are.
_CONDITIONS: Final = {
    "encryptionAlgorithm": "kms:EncryptionAlgorithm",
    "signingAlgorithm": "kms:SigningAlgorithm",
    "macAlgorithm": "kms:MacAlgorithm",
    "messageType": "kms:MessageType",
    "keyAgreementAlgorithm": "kms:KeyAgreementAlgorithm",
    "keyPairSpec": "kms:DataKeyPairSpec",
    "granteePrincipal": "kms:GranteePrincipal",
    "retiringPrincipal": "kms:RetiringPrincipal",
    "operations": "kms:GrantOperations",
    "pendingWindowInDays": "kms:ScheduleKeyDeletionPendingWindowInDays",
    "rotationPeriodInDays": "kms:RotationPeriodInDays",
    "bypassPolicyLockoutSafetyCheck": "kms:BypassPolicyLockoutSafetyCheck",
    "replicaRegion": "kms:ReplicaRegion",
    "primaryRegion": "kms:PrimaryRegion",
    "wrappingAlgorithm": "kms:WrappingAlgorithm",
    "wrappingKeySpec": "kms:WrappingKeySpec",
    "expirationModel": "kms:ExpirationModel",
}
_OF_NEW_KEYS: Final = {
    "keySpec": "kms:KeySpec", "keyUsage": "kms:KeyUsage", "origin": "kms:KeyOrigin", "multiRegion": "kms:MultiRegion",
}  # fmt: skip


class Question(Struct, frozen=True):
    """What ExplainAccess is asked. ``context``: condition keys and their values."""

    principal: str
    action: str
    resource: str = ""
    encryption_context: dict[str, str] = {}
    context: dict[str, list[str]] = {}

    def members(self) -> dict[str, Any]:
        asked: dict[str, Any] = {"Principal": self.principal, "Action": self.action}
        if self.resource:
            asked["Resource"] = self.resource
        if self.encryption_context:
            asked["EncryptionContext"] = self.encryption_context
        if self.context:
            asked["ContextEntries"] = [
                {"ContextKeyName": name, "ContextKeyValues": values} for name, values in self.context.items()
            ]
        return asked


def questions_of(event: Shown) -> tuple[Question, ...]:
    """The questions, in the order in which they were decided; none for what nobody was asked about: the system's own
    doing, signing in, a web identity."""
    if not event.arn or event.record.get("eventType") != "AwsApiCall":
        return ()
    service = event.source.partition(".")[0]
    parameters = event.record.get("requestParameters") or {}
    known = _known(event, parameters)
    said = _SAYS.search(event.message) if event.refused_access else None
    found = []
    for action, resource in _asked(event, service, parameters):
        member = _CONTEXTS.get(action.partition(":")[2], "encryptionContext")
        pairs = parameters.get(member)
        found.append(Question(event.arn, action, resource, pairs if isinstance(pairs, dict) else {}, known))
    if said is None:
        return tuple(found)
    # The answer says which of them was refused, and often on what.
    action, named = said[1], (said[2] or "").rstrip(".")
    resource = named if named.startswith("arn:") else ""
    match = [q for q in found if q.action == action and (not resource or resource in (q.resource, ""))]
    if match:
        return tuple(match)
    base = found[0] if found else Question(event.arn, action, context=known)
    return (Question(event.arn, action, resource or base.resource, base.encryption_context, known),)


def _asked(event: Shown, service: str, parameters: dict[str, Any]) -> list[tuple[str, str]]:
    """(action, resource) of each permission that was needed, as far as the record tells."""
    arns = [str(resource.get("ARN", "")) for resource in event.record.get("resources") or ()]
    if service == "keyquorum":
        action = _OWN.get(event.name, "")
        return [(action, arns[0] if arns and action == "kms:PutKeyPolicy" else "")] if action else []
    if service in ("iam", "sts"):
        if service == "sts" and event.name != "AssumeRole":
            return []
        return [(f"{service}:{event.name}", _identity(event, parameters))]
    if event.name in _IN_ACCOUNT:
        return [(f"kms:{event.name}", "")]
    if event.name in _ON_ALIASES:
        alias = str(parameters.get("aliasName", ""))
        return [(f"kms:{event.name}", alias), *((f"kms:{event.name}", arn) for arn in arns)]
    if event.name == "ReEncrypt":
        return [(f"kms:ReEncrypt{way}", arn) for way, arn in zip(("From", "To"), arns, strict=False)]
    named = str(parameters.get("keyId", ""))
    # By the name that the request had: policies may ask for the alias.
    resource = named if "alias/" in named else arns[0] if arns else named
    return [(f"kms:{event.name}", resource)]


def _identity(event: Shown, parameters: dict[str, Any]) -> str:
    for member in _ARNS:
        if str(parameters.get(member, "")).startswith("arn:"):
            return str(parameters[member])
    account = event.record.get("recipientAccountId", "")
    for member, kind in _IDENTITIES.items():
        if parameters.get(member):
            return f"arn:aws:iam::{account}:{kind}/{parameters[member]}"
    return ""


def _known(event: Shown, parameters: dict[str, Any]) -> dict[str, list[str]]:
    found = {"aws:SourceIp": [event.address]}
    agent = str(event.record.get("userAgent", ""))
    if agent:
        found["aws:UserAgent"] = [agent]
    session = (event.record.get("userIdentity") or {}).get("sessionContext") or {}
    mfa = (session.get("attributes") or {}).get("mfaAuthenticated")
    if mfa:
        found["aws:MultiFactorAuthPresent"] = [str(mfa)]
    wanted = _CONDITIONS | (_OF_NEW_KEYS if event.name == "CreateKey" else {})
    for member, name in wanted.items():
        value = parameters.get(member)
        if value is not None:
            found[name] = [_text(one) for one in value] if isinstance(value, list) else [_text(value)]
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
