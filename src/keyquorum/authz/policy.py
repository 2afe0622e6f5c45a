# SPDX-License-Identifier: Apache-2.0
"""Policy documents: text in, a frozen ``Policy`` out, refused as AWS KMS and IAM refuse them.

Nothing here decides a request, reads the store or knows whether a principal exists: whoever puts a policy checks
that. A ``Policy`` says all that its document says, so that a decision never needs the text again. A fault is a
MalformedPolicyDocumentException; one that is too long, a LimitExceededException.

Sources: KMS developer guide, "Key policies"; KMS API reference, CreateKey and PutKeyPolicy; IAM user guide,
"IAM JSON policy element reference" and "IAM and AWS STS quotas". Messages are AWS's own where they are known.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from keyquorum.authz.condition_elements import Condition, check_set_operators, parse_conditions
from keyquorum.authz.document import SYNTAX, object_of, read, refuse, string, strings
from keyquorum.authz.principals import NO_PRINCIPAL, Principals, parse_principals
from keyquorum.errors import LimitExceededException

MAX_BYTES: Final = 32_768
"""The key policy size quota, in bytes of UTF-8."""
MAX_TRUST_CHARACTERS: Final = 2_048
"""The size quota of a role's trust policy, white space apart."""
_MAX_DOCUMENT: Final = 131_072
"""What IAM reads at most, in characters: its model's policyDocumentType. Quotas beyond that are the callers'."""

VERSION = "Policy document must be version 2012-10-17 or greater."
DUPLICATE_SID = "Statement IDs (SID) in a single policy must be unique."
ALPHANUMERIC_SID = (
    "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
)


class Statement(Struct, frozen=True):
    """One statement. Of each pair ``x`` and ``not_x`` exactly one is given; of principals none in an identity policy,
    of resources none in a trust policy, and NotPrincipal only with Deny.

    Actions are in lower case, because they compare without it.
    """

    effect: Literal["Allow", "Deny"]
    sid: str | None = None
    principals: Principals | None = None
    not_principals: Principals | None = None
    actions: tuple[str, ...] | None = None
    not_actions: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    not_resources: tuple[str, ...] | None = None
    conditions: tuple[Condition, ...] = ()


class Policy(Struct, frozen=True):
    """A policy document. Under version 2008-10-17 ``${...}`` is plain text."""

    statements: tuple[Statement, ...]
    version: Literal["2008-10-17", "2012-10-17"] = "2008-10-17"
    id: str | None = None


def parse_key_policy(text: str) -> Policy:
    """The key policy in ``text``."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise LimitExceededException(f"The key policy exceeds the limit of {MAX_BYTES} bytes.")
    return _policy(text, _key_statement)


def parse_identity_policy(text: str) -> Policy:
    """The policy of a user, a group, a role or a session, or the permissions boundary, in ``text``."""
    _check_length(text)
    return _policy(text, _identity_statement)


def parse_trust_policy(text: str) -> Policy:
    """The policy in ``text`` that says who may assume a role."""
    _check_length(text)
    if policy_size(text) > MAX_TRUST_CHARACTERS:
        raise LimitExceededException(f"Cannot exceed quota for ACLSizePerRole: {MAX_TRUST_CHARACTERS}")
    return _policy(text, _trust_statement)


def policy_size(text: str) -> int:
    """The characters that count against a quota of IAM's: "IAM does not count white space"."""
    return len("".join(text.split()))


def default_key_policy(account: str, partition: str = "aws") -> str:
    """The document, to the byte, that CreateKey attaches where the request has none."""
    return f"""{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "arn:{partition}:iam::{account}:root"
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"""


def _check_length(text: str) -> None:
    if len(text) > _MAX_DOCUMENT:
        raise LimitExceededException(f"The policy document exceeds the limit of {_MAX_DOCUMENT} characters.")


def _policy(text: str, statement: Callable[[object], Statement]) -> Policy:
    document = object_of(read(text), frozenset({"Version", "Id", "Statement"}))
    version: Any = string(document.get("Version", "2008-10-17"))
    if version not in ("2008-10-17", "2012-10-17"):
        refuse(VERSION)
    body = document.get("Statement")
    statements = tuple(map(statement, body if isinstance(body, list) else [body]))
    if not statements:
        refuse(SYNTAX, "no statement")
    sids = [s.sid for s in statements if s.sid]
    if len(set(sids)) != len(sids):
        refuse(DUPLICATE_SID)
    return Policy(statements, version, string(document["Id"]) if "Id" in document else None)


# -- statements

_COMMON: Final = frozenset({"Sid", "Effect", "Action", "NotAction", "Condition"})
_KEY_ELEMENTS: Final = _COMMON | {"Principal", "NotPrincipal", "Resource"}
_IDENTITY_ELEMENTS: Final = _COMMON | {"Resource", "NotResource"}
_TRUST_ELEMENTS: Final = _COMMON | {"Principal"}


def _key_statement(value: object) -> Statement:
    body = object_of(value, _KEY_ELEMENTS)
    effect = _effect(body)
    principal, inverted = _either(body, "Principal", NO_PRINCIPAL)
    if inverted and effect == "Allow":
        refuse(SYNTAX, "NotPrincipal must be used with Deny")
    principals = parse_principals(principal)
    actions, not_actions = _actions(body, "Missing required field Action")
    if body.get("Resource", []) == []:
        refuse("Missing required field Resource")
    # A key policy speaks of its own key and of nothing else.
    if set(strings(body["Resource"])) != {"*"}:
        refuse('The Resource of a key policy statement must be "*".')
    conditions = _conditions(body)
    check_set_operators(conditions)
    return Statement(
        effect=effect,
        sid=_sid(body),
        principals=None if inverted else principals,
        not_principals=principals if inverted else None,
        actions=actions,
        not_actions=not_actions,
        resources=("*",),
        conditions=conditions,
    )


def _identity_statement(value: object) -> Statement:
    if isinstance(value, dict) and value.keys() & {"Principal", "NotPrincipal"}:
        refuse("Policy document should not specify a principal.")
    body = object_of(value, _IDENTITY_ELEMENTS)
    actions, not_actions = _actions(body, "Policy statement must contain actions.")
    resource, inverted = _either(body, "Resource", "Policy statement must contain resources.")
    resources = strings(resource)
    for name in resources:
        if name != "*" and not _RESOURCE.fullmatch(name):
            refuse(f'Resource {name} must be in ARN format or "*".')
    return Statement(
        effect=_effect(body),
        sid=_alphanumeric_sid(body),
        actions=actions,
        not_actions=not_actions,
        resources=None if inverted else resources,
        not_resources=resources if inverted else None,
        conditions=_conditions(body),
    )


def _trust_statement(value: object) -> Statement:
    for prohibited in ("Resource", "NotResource", "NotPrincipal"):
        if isinstance(value, dict) and prohibited in value:
            refuse(f"Has prohibited field {prohibited}")
    body = object_of(value, _TRUST_ELEMENTS)
    principals = parse_principals(_either(body, "Principal", "Missing required field Principal")[0])
    actions, not_actions = _actions(body, "Missing required field Action")
    if not all(action.startswith("sts:") for action in actions or not_actions or ()):
        refuse("AssumeRole policy may only specify STS AssumeRole actions.")
    return Statement(
        effect=_effect(body),
        sid=_alphanumeric_sid(body),
        principals=principals,
        actions=actions,
        not_actions=not_actions,
        conditions=_conditions(body),
    )


# AWS's six parts, or the five of this server's other layout: arn:aws:verenc:{account}:key/{id}.
_RESOURCE: Final = re.compile(r"arn:[^:]+:(?:verenc|[^:]+:[^:]*):[^:]*:.+", re.DOTALL)
_ACTION: Final = re.compile(r"\*|(?:\*|[A-Za-z0-9.-]+):[A-Za-z0-9*?_-]+")


def _effect(body: Mapping[str, Any]) -> Literal["Allow", "Deny"]:
    effect: Any = string(body.get("Effect"))
    if effect not in ("Allow", "Deny"):
        refuse(SYNTAX, "effect")
    return effect  # type: ignore[no-any-return]  # the comparison above makes it one of the two


def _sid(body: Mapping[str, Any]) -> str | None:
    return string(body["Sid"]) if "Sid" in body else None


def _alphanumeric_sid(body: Mapping[str, Any]) -> str | None:
    sid = _sid(body)
    if sid and not re.fullmatch("[0-9A-Za-z]*", sid):
        refuse(ALPHANUMERIC_SID)
    return sid


def _either(body: Mapping[str, Any], name: str, absent: str) -> tuple[Any, bool]:
    """The value of ``name`` or of its inverse, and whether it was the inverse; ``absent`` is said of neither."""
    given = [element for element in (name, f"Not{name}") if element in body]
    if len(given) > 1:
        refuse(SYNTAX, f"{name} and Not{name}")
    if not given or body[given[0]] in ([], {}):
        refuse(absent)
    return body[given[0]], given[0] != name


def _actions(body: Mapping[str, Any], absent: str) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    value, inverted = _either(body, "Action", absent)
    actions = strings(value)
    for action in actions:
        if _ACTION.fullmatch(action):
            continue
        if action.count(":") > 1:
            refuse("Actions/Condition can contain only one colon.")
        if ":" not in action:
            refuse("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
        refuse(SYNTAX, "action")
    lowered = tuple(map(str.lower, actions))
    return (None, lowered) if inverted else (lowered, None)


def _conditions(body: Mapping[str, Any]) -> tuple[Condition, ...]:
    return parse_conditions(body.get("Condition", {}))
