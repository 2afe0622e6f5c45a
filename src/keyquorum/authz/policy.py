# SPDX-License-Identifier: Apache-2.0
"""Policy documents: text in, a frozen ``Policy`` out, refused as AWS KMS and IAM refuse them.

Nothing here decides a request, reads the store or knows whether a principal exists: whoever puts a policy checks
that. A ``Policy`` says all that its document says, so that a decision never needs the text again.

Sources: KMS developer guide, "Key policies"; KMS API reference, CreateKey and PutKeyPolicy; IAM user guide,
"JSON policy element reference" and "Condition operators". Messages are AWS's own where they are known.
"""

import base64
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import ip_network
from typing import Any, Literal, NamedTuple, NoReturn

from msgspec import Struct

from keyquorum.errors import LimitExceededException, MalformedPolicyDocumentException

MAX_BYTES = 32_768
"""The key policy size quota, in bytes of UTF-8."""

SYNTAX = "Syntax errors in policy."
VERSION = "Policy document must be version 2012-10-17 or greater."
DUPLICATE_SID = "Statement IDs (SID) in a single policy must be unique."
ALPHANUMERIC_SID = (
    "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
)
INVALID_PRINCIPALS = "Policy contains a statement with one or more invalid principals."
INVALID_SERVICES = "Policy contains a statement with one or more invalid service principals."
NO_PRINCIPAL = "Policy contains a statement with no principal."
LOCKOUT = "The new key policy will not allow you to update the key policy in the future."

Quantifier = Literal["", "ForAnyValue", "ForAllValues"]


class Condition(Struct, frozen=True):
    """One operator on one condition key; every ``Condition`` of a statement must hold for it to apply.

    ``operator`` is the bare name ("StringLike"), ``key`` is as written (keys compare without case), ``values`` are
    alternatives, never empty; numbers and booleans are the text that JSON gives them. Variables (``${...}``) are kept.
    """

    operator: str
    key: str
    values: tuple[str, ...]
    quantifier: Quantifier = ""
    if_exists: bool = False


class Principals(Struct, frozen=True):
    """Principals by kind. An account is its 12 digits, whether written so or as the ARN of its root."""

    anyone: bool = False
    accounts: frozenset[str] = frozenset()
    arns: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    federated: frozenset[str] = frozenset()


class Statement(Struct, frozen=True):
    """One statement. Of each pair ``x`` and ``not_x`` exactly one is given; of principals none in an identity policy.

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
    """The key policy in ``text``. LimitExceededException beyond MAX_BYTES, else MalformedPolicyDocumentException."""
    return _policy(text, _key_statement)


def parse_identity_policy(text: str) -> Policy:
    """The policy of a user or a role in ``text``. Limit and errors are those of a key policy."""
    return _policy(text, _identity_statement)


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


# -- the document


def _refuse(message: str, detail: str = "") -> NoReturn:
    raise MalformedPolicyDocumentException(message, detail=detail)


class _Number(NamedTuple):
    """A JSON number, kept as text: a policy compares what was written, not what a double makes of it."""

    text: str


def _number(text: str) -> _Number:
    # The length comes first: what follows, here and in the evaluator, is not linear in the digits.
    if len(text) > 64 or not math.isfinite(float(text)):
        _refuse(SYNTAX, "number out of range")
    return _Number(text)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse(SYNTAX, "duplicate key")
    return members


# The pattern of PolicyType in the KMS model. Escapes may name other characters: tag values and encryption contexts do.
_CHARACTERS = re.compile(r"[\t\n\r\x20-\xff]+")


def _load(text: str) -> Any:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise LimitExceededException(f"The key policy exceeds the limit of {MAX_BYTES} bytes.")
    if not _CHARACTERS.fullmatch(text):
        _refuse(SYNTAX, "character outside the allowed set")
    try:
        return json.loads(
            text, object_pairs_hook=_members, parse_int=_number, parse_float=_number, parse_constant=_number
        )
    except (ValueError, RecursionError) as fault:
        # Depth is bounded by the interpreter: no valid policy comes near it.
        raise MalformedPolicyDocumentException(SYNTAX, detail=type(fault).__name__) from None


def _object(value: object, elements: frozenset[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= elements:
        _refuse(SYNTAX, "not an object, or an unknown element")
    return value


def _string(value: object) -> str:
    # A lone surrogate ("\ud800") is a str that no database, log or answer could encode.
    if not isinstance(value, str) or any("\ud800" <= c <= "\udfff" for c in value):
        _refuse(SYNTAX, "not a string")
    return value


def _strings(value: object) -> tuple[str, ...]:
    return tuple(_string(v) for v in (value if isinstance(value, list) else [value]))


def _policy(text: str, statement: Callable[[object], Statement]) -> Policy:
    document = _object(_load(text), frozenset({"Version", "Id", "Statement"}))
    version: Any = _string(document.get("Version", "2008-10-17"))
    if version not in ("2008-10-17", "2012-10-17"):
        _refuse(VERSION)
    body = document.get("Statement")
    statements = tuple(map(statement, body if isinstance(body, list) else [body]))
    if not statements:
        _refuse(SYNTAX, "no statement")
    sids = [s.sid for s in statements if s.sid]
    if len(set(sids)) != len(sids):
        _refuse(DUPLICATE_SID)
    return Policy(statements, version, _string(document["Id"]) if "Id" in document else None)


# -- a statement

_COMMON = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "Condition"})
_KEY_ELEMENTS = _COMMON | {"Principal", "NotPrincipal"}
_IDENTITY_ELEMENTS = _COMMON | {"NotResource"}


def _key_statement(value: object) -> Statement:
    body = _object(value, _KEY_ELEMENTS)
    principal, inverted = _either(body, "Principal", NO_PRINCIPAL)
    principals = _principals(principal)
    actions, not_actions = _actions(body, "Missing required field Action")
    if body.get("Resource", []) == []:
        _refuse("Missing required field Resource")
    resources = _strings(body["Resource"])
    # A key policy speaks of its own key and of nothing else.
    if set(resources) != {"*"}:
        _refuse('The Resource of a key policy statement must be "*".')
    return Statement(
        effect=_effect(body),
        sid=_string(body["Sid"]) if "Sid" in body else None,
        principals=None if inverted else principals,
        not_principals=principals if inverted else None,
        actions=actions,
        not_actions=not_actions,
        resources=("*",),
        conditions=_conditions(body),
    )


def _identity_statement(value: object) -> Statement:
    if isinstance(value, dict) and value.keys() & {"Principal", "NotPrincipal"}:
        _refuse("Policy document should not specify a principal.")
    body = _object(value, _IDENTITY_ELEMENTS)
    sid = _string(body["Sid"]) if "Sid" in body else None
    if sid and not re.fullmatch("[0-9A-Za-z]*", sid):
        _refuse(ALPHANUMERIC_SID)
    actions, not_actions = _actions(body, "Policy statement must contain actions.")
    resource, inverted = _either(body, "Resource", "Policy statement must contain resources.")
    resources = _strings(resource)
    for name in resources:
        if name != "*" and not _RESOURCE.fullmatch(name):
            _refuse(f'Resource {name} must be in ARN format or "*".')
    return Statement(
        effect=_effect(body),
        sid=sid,
        actions=actions,
        not_actions=not_actions,
        resources=None if inverted else resources,
        not_resources=resources if inverted else None,
        conditions=_conditions(body),
    )


# AWS's six parts, or the five of this server's other layout: arn:aws:verenc:{account}:key/{id}.
_RESOURCE = re.compile(r"arn:[^:]+:(?:verenc|[^:]+:[^:]*):[^:]*:.+", re.DOTALL)
_ACTION = re.compile(r"\*|(?:\*|[A-Za-z0-9.-]+):[A-Za-z0-9*?_-]+")


def _effect(body: Mapping[str, Any]) -> Literal["Allow", "Deny"]:
    effect: Any = _string(body.get("Effect"))
    if effect not in ("Allow", "Deny"):
        _refuse(SYNTAX, "effect")
    return effect  # type: ignore[no-any-return]  # the comparison above makes it one of the two


def _either(body: Mapping[str, Any], name: str, absent: str) -> tuple[Any, bool]:
    """The value of ``name`` or of its inverse, and whether it was the inverse; ``absent`` is said of neither."""
    given = [element for element in (name, f"Not{name}") if element in body]
    if len(given) > 1:
        _refuse(SYNTAX, f"{name} and Not{name}")
    if not given or body[given[0]] in ([], {}):
        _refuse(absent)
    return body[given[0]], given[0] != name


def _actions(body: Mapping[str, Any], absent: str) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    value, inverted = _either(body, "Action", absent)
    actions = _strings(value)
    for action in actions:
        if _ACTION.fullmatch(action):
            continue
        if action.count(":") > 1:
            _refuse("Actions/Condition can contain only one colon.")
        if ":" not in action:
            _refuse("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
        _refuse(SYNTAX, "action")
    lowered = tuple(map(str.lower, actions))
    return (None, lowered) if inverted else (lowered, None)


# -- principals

_NAME = r"[A-Za-z0-9_+=,.@-]"
_ACCOUNT = re.compile(r"([0-9]{12})|arn:aws[a-z-]*:iam::([0-9]{12}):root")
_PRINCIPAL_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:"
    rf"iam::[0-9]{{12}}:(?:user|role)/(?:[!-)+->@-~]+/)?{_NAME}{{1,64}}"  # a path: any of !-~ but * and ?
    rf"|sts::[0-9]{{12}}:(?:assumed-role/{_NAME}{{1,64}}/{_NAME}{{2,64}}|federated-user/{_NAME}{{2,32}})"
    r")"
)
_SERVICE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+", re.IGNORECASE)
_FEDERATED = re.compile(
    rf"arn:aws[a-z-]*:iam::[0-9]{{12}}:(?:saml-provider|oidc-provider)/[A-Za-z0-9_+=,.@:/-]+|{_SERVICE.pattern}",
    re.IGNORECASE,
)


def _principals(value: object) -> Principals:
    if value == "*":
        return Principals(anyone=True)
    if not isinstance(value, dict):
        _refuse(INVALID_PRINCIPALS)
    if not value.keys() <= {"AWS", "Service", "Federated"}:
        _refuse(INVALID_PRINCIPALS, "kind")
    aws, services, federated = (_strings(value.get(kind, [])) for kind in ("AWS", "Service", "Federated"))
    if not (aws or services or federated):
        _refuse(NO_PRINCIPAL)
    if not all(map(_SERVICE.fullmatch, services)):
        _refuse(INVALID_SERVICES)
    if not all(map(_FEDERATED.fullmatch, federated)):
        _refuse(INVALID_PRINCIPALS, "federated")
    accounts = {name: match[1] or match[2] for name in aws if (match := _ACCOUNT.fullmatch(name))}
    arns = {name for name in aws if name != "*" and name not in accounts}
    if not all(map(_PRINCIPAL_ARN.fullmatch, arns)):
        _refuse(INVALID_PRINCIPALS, "aws")
    return Principals(
        anyone="*" in aws,
        accounts=frozenset(accounts.values()),
        arns=frozenset(arns),
        services=frozenset(services),
        federated=frozenset(federated),
    )


# -- conditions

_NUMERIC = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_TIME = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
_DATE = re.compile(rf"[0-9]{{4}}(?:-[0-9]{{2}}(?:-[0-9]{{2}}(?:T{_TIME})?)?)?")
_CIDR = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?")
_ARN_VALUE = re.compile(r"arn:(?:[^:]*:){3,4}.*|.*(?:\*|\$\{).*", re.DOTALL)


def _accepts(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            parse(value)
        except ValueError:
            return False
        return True

    return check


def _is_numeric(value: str) -> bool:
    return len(value) <= 64 and bool(_NUMERIC.fullmatch(value)) and math.isfinite(float(value))


def _is_date(value: str) -> bool:
    if re.fullmatch(r"-?[0-9]{1,18}", value) and len(value) != 4:
        return True  # seconds since the epoch; four digits alone are a year
    # datetime reads no bare year or month, which ISO 8601 has.
    full = value + "-01-01"[len(value) - 4 :] if len(value) in (4, 7) else value
    return bool(_DATE.fullmatch(value)) and _accepts(datetime.fromisoformat)(full)


def _is_cidr(value: str) -> bool:
    return bool(_CIDR.fullmatch(value)) and _accepts(lambda text: ip_network(text, strict=False))(value)


def _is_bool(value: str) -> bool:
    return value.lower() in ("true", "false")


def _is_arn(value: str) -> bool:
    return bool(_ARN_VALUE.fullmatch(value))


def _is_text(_value: str) -> bool:
    return True


_ORDER = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
_STRING = ("Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase", "Like", "NotLike")
_VALUES: dict[str, Callable[[str], bool]] = {
    **{f"String{name}": _is_text for name in _STRING},
    **{f"Numeric{name}": _is_numeric for name in _ORDER},
    **{f"Date{name}": _is_date for name in _ORDER},
    **{f"Arn{name}": _is_arn for name in ("Equals", "NotEquals", "Like", "NotLike")},
    "IpAddress": _is_cidr,
    "NotIpAddress": _is_cidr,
    "Bool": _is_bool,
    "Null": _is_bool,
    "BinaryEquals": _accepts(lambda value: base64.b64decode(value.encode("ascii"), validate=True)),
}
"""Every condition operator, and what one of its values must look like."""

_OPERATOR = re.compile(r"(?:(ForAnyValue|ForAllValues):)?([A-Za-z]{1,64}?)(IfExists)?")
_CONDITION_KEY = re.compile(r"[A-Za-z0-9.-]+:\S.*", re.DOTALL)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.text if isinstance(value, _Number) else _string(value)


def _conditions(body: Mapping[str, Any]) -> tuple[Condition, ...]:
    block = body.get("Condition", {})
    if not isinstance(block, dict):
        _refuse(SYNTAX, "condition")
    conditions = []
    for spelled, keys in block.items():
        match = _OPERATOR.fullmatch(spelled)
        if match is None or match[2] not in _VALUES or (match[2] == "Null" and (match[1] or match[3])):
            _refuse(SYNTAX, "condition operator")
        if not isinstance(keys, dict):
            _refuse(SYNTAX, "condition operator without keys")
        for key, given in keys.items():
            if not _CONDITION_KEY.fullmatch(_string(key)):
                _refuse(SYNTAX, "condition key")
            values = tuple(map(_value, given if isinstance(given, list) else [given]))
            # Whether an empty list matches all or nothing is not documented: in a Deny either guess would be unsafe.
            if not values or not all(map(_VALUES[match[2]], values)):
                _refuse(SYNTAX, "condition value")
            quantifier: Any = match[1] or ""
            conditions.append(Condition(match[2], key, values, quantifier, match[3] is not None))
    return tuple(conditions)


# -- the lock-out safety check


def allows_put_key_policy(policy: Policy, caller_arn: str, account: str) -> bool:
    """Whether ``caller_arn``, a principal of the key's ``account``, could call PutKeyPolicy under ``policy``.

    Static: a statement with a Condition is taken neither as a permission nor as a refusal, since what the next
    request's context will be is unknown. A statement for the account covers each of its principals.
    Callers answer False with MalformedPolicyDocumentException(LOCKOUT).
    Source: KMS developer guide, "Default key policy", on the risk that a key becomes unmanageable.
    """
    parts = caller_arn.split(":", 5)
    if len(parts) != 6 or parts[4] != account:
        return False  # PutKeyPolicy does not work across accounts
    effects = {s.effect for s in policy.statements if not s.conditions and _put_applies(s, caller_arn, account)}
    return effects == {"Allow"}


def _put_applies(statement: Statement, caller_arn: str, account: str) -> bool:
    patterns = statement.actions if statement.actions is not None else statement.not_actions or ()
    if any(_matches(pattern, "kms:putkeypolicy") for pattern in patterns) != (statement.actions is not None):
        return False
    if statement.principals is not None:
        by = statement.principals
        return by.anyone or account in by.accounts or _named(by, caller_arn)
    assert statement.not_principals is not None, "a key policy statement has principals"
    by = statement.not_principals
    named, whole = _named(by, caller_arn), account in by.accounts
    if statement.effect == "Allow":
        return not (by.anyone or named or whole)
    # IAM user guide, NotPrincipal with Deny: a principal is spared only if its account is listed as well.
    return not (by.anyone or (whole and (named or caller_arn.endswith(":root"))))


def _matches(pattern: str, action: str) -> bool:
    """IAM's ``*`` and ``?``. Follows all positions at once: no pattern, however written, makes it backtrack."""
    ends = {0}
    for sign in pattern:
        if sign == "*":
            ends = set(range(min(ends), len(action) + 1))
        else:
            ends = {i + 1 for i in ends if i < len(action) and sign in ("?", action[i])}
        if not ends:
            return False
    return len(action) in ends


def _named(by: Principals, caller_arn: str) -> bool:
    """Whether ``by`` names the caller, or the role whose session the caller is."""
    if caller_arn in by.arns:
        return True
    _, partition, _, _, account, resource = caller_arn.split(":", 5)
    kind, _, session = resource.partition("/")
    if kind != "assumed-role":
        return False
    # A session's ARN leaves out the path of its role; a role's name is unique in its account whatever the path.
    roles, name = f"arn:{partition}:iam::{account}:role/", session.split("/")[0]
    return any(arn.startswith(roles) and arn.rsplit("/", 1)[1] == name for arn in by.arns)
