# SPDX-License-Identifier: Apache-2.0
"""What AWS's documentation says, as plainly and as slowly as it can be said. Works on the documents themselves.

It shares nothing with the evaluator: wildcards are regular expressions here, numbers are fractions, which operations
work across accounts is read in the service model, and a decision is one formula over sets instead of a search.
"""

import base64
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from asked import Asked, Document, Who
from botocore.loaders import Loader  # the pinned model is the source of the table

_MODEL = Loader().load_service_model("kms", "service-2")["operations"]
_ACROSS = [
    name for name, it in _MODEL.items() if "Cross-account use</b>: Yes" in it["documentation"].replace("\n", " ")
]
CROSS_ACCOUNT = re.compile(
    f"kms:({'|'.join(_ACROSS)}|ReEncryptFrom|ReEncryptTo)"
    "|sts:(AssumeRole(WithWebIdentity)?|SetSourceIdentity|TagSession)"
)
MULTIVALUED = {
    "aws:tagkeys",
    "kms:encryptioncontextkeys",
    "kms:grantoperations",
    "kms:resourcealiases",
    "aws:principalservicenameslist",
}
WITH_CONTEXT = re.compile(r"kms:(Encrypt|Decrypt|ReEncrypt(From|To)|GenerateDataKey(Pair)?(WithoutPlaintext)?)")


def allows(asked: Asked) -> bool:
    """Whether the request is allowed."""
    own = [*asked.identity, *([asked.boundary] if asked.boundary else []), *asked.sessions]
    statements = [(s, d) for d in [*own, *([asked.key_policy] if asked.key_policy else [])] for s in _statements(d)]
    if any(s["Effect"] == "Deny" and _named(s, asked) and _applies(s, d, asked) for s, d in statements):
        return False
    within = (asked.boundary is None or _some_allow([asked.boundary], asked)) and (
        not asked.sessions or _some_allow(asked.sessions, asked)
    )
    by_own_account = asked.who.kind == "Root" or (_some_allow(asked.identity, asked) and within)
    if asked.key_policy is None:
        return asked.owner in (None, asked.who.account) and by_own_account

    named = {
        how
        for s in _statements(asked.key_policy)
        if s["Effect"] == "Allow" and _applies(s, asked.key_policy, asked)
        for how in _named(s, asked)
    }
    granted = {how for given in asked.grants if _grants(given, asked) for how in _is(given["grantee"], asked.who)}
    if asked.retires is not None:
        given = asked.retires
        named = set()
        granted = _is(given.get("retiring"), asked.who) | _is(given.get("issuer", "111122223333"), asked.who)
        granted |= _is(given["grantee"], asked.who) if "RetireGrant" in given["operations"] else set()
        granted |= _is(asked.owner, asked.who)
    homeless = asked.who.kind in ("AWSService", "WebIdentityUser")
    if asked.owner != asked.who.account and not homeless:
        if not CROSS_ACCOUNT.fullmatch(asked.action):
            return False
        if named and by_own_account:
            return True
        named = set()
    ways = named | granted
    return "direct" in ways or ("role" in ways and within) or ("account" in ways and by_own_account)


# -- who


def _is(principal: str | None, who: Who) -> set[str]:
    """As what ``principal`` names ``who``."""
    if principal is None:
        return set()
    account = re.fullmatch(r"(?:arn:aws:iam::)?([0-9]{12})(?::root)?", principal)
    if account:
        if account[1] != who.account:
            return set()
        return {"direct"} if who.kind == "Root" else {"account"}
    if principal in (who.arn, who.federated) or principal in who.services:
        return {"direct"}
    return {"role"} if principal == who.role_arn else set()


def _every(principals: Any) -> list[str]:
    if principals == "*":
        return ["*"]
    return [p for kind in principals.values() for p in _list(kind)]


def _named(statement: Document, asked: Asked) -> set[str]:
    who = asked.who
    if "Principal" in statement:
        listed = _every(statement["Principal"])
        if who.kind == "WebIdentityUser" and statement["Effect"] == "Allow":
            return {"direct"} if who.federated in listed else set()
        return {"direct"} if "*" in listed else {how for p in listed for how in _is(p, who)}
    if "NotPrincipal" not in statement:
        return {"direct"}
    listed = _every(statement["NotPrincipal"])
    if who.kind == "AWSService":
        return set() if "*" in listed or set(listed) & who.services else {"direct"}
    if asked.boundary is not None:
        return {"direct"}
    if "*" in listed:
        return set()
    # An account is the same principal by its number and by the ARN of its root.
    listed = [f"arn:aws:iam::{p}:root" if re.fullmatch("[0-9]{12}", p) else p for p in listed]
    needed: list[str | None] = [f"arn:aws:iam::{who.account}:root"]
    if who.kind != "Root":
        needed.append(who.arn)
    if who.role_arn:
        needed.append(who.role_arn)
    return set() if all(p in listed for p in needed) else {"direct"}


# -- what


def _statements(document: Document) -> list[Document]:
    return _list(document["Statement"])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _some_allow(documents: Iterable[Document], asked: Asked) -> bool:
    return any(s["Effect"] == "Allow" and _applies(s, d, asked) for d in documents for s in _statements(d))


def _applies(statement: Document, document: Document, asked: Asked) -> bool:
    variables = document.get("Version") == "2012-10-17"

    def action(pattern: str) -> bool:
        return bool(re.fullmatch(_regex(pattern, None, asked) or "", asked.action, re.IGNORECASE))

    def resource(pattern: str) -> bool:
        regex = _regex(pattern, variables or None, asked)
        before = pattern.partition("${")[0] if variables and re.search(r"\$\{[^*?$}]", pattern) else None
        if before is not None and before.count(":") < (4 if before.startswith("arn:aws:verenc:") else 5):
            return False
        return regex is not None and bool(re.fullmatch(regex, asked.resource or "*", re.DOTALL))

    if "Action" in statement and not any(map(action, _list(statement["Action"]))):
        return False
    if "NotAction" in statement and any(map(action, _list(statement["NotAction"]))):
        return False
    if "Resource" in statement and not any(map(resource, _list(statement["Resource"]))):
        return False
    if "NotResource" in statement:
        patterns = _list(statement["NotResource"])
        if any(map(resource, patterns)):
            return False
        if statement["Effect"] == "Allow" and any(_unresolvable(p, variables, asked) for p in patterns):
            return False
    return all(
        _holds(operator, key, [_text(v) for v in _list(values)], statement["Effect"], variables, asked)
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def _unresolvable(pattern: str, variables: bool, asked: Asked) -> bool:
    return variables and _regex(pattern, True, asked) is None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _lookup(key: str, context: Mapping[str, str | list[str]]) -> list[str]:
    return [v for name, given in context.items() if _low(name) == _low(key) for v in _list(given)]


def _low(text: str) -> str:
    return re.sub(".", lambda c: c[0].lower() if c[0].isascii() == c[0].lower().isascii() else c[0], text)


VARIABLE = re.compile(r"\$\{(?:([*?$])|([^{}',]+)(?:, ?'([^']*)')?)\}")


def _regex(pattern: str, variables: bool | None, asked: Asked, wild: bool = True) -> str | None:
    """A regular expression for ``pattern``; None where a variable has no value."""
    out = ""
    while pattern:
        variable = VARIABLE.match(pattern) if variables else None
        if variable:
            pattern = pattern[variable.end() :]
            if variable[1]:
                out += re.escape(variable[1])
                continue
            values = [] if _low(variable[2]) in MULTIVALUED else _lookup(variable[2], asked.context)
            if len(values) > 1 or (not values and variable[3] is None):
                return None
            out += re.escape(values[0] if values else variable[3])
            continue
        sign, pattern = pattern[0], pattern[1:]
        out += {"*": ".*", "?": "."}.get(sign, re.escape(sign)) if wild else re.escape(sign)
    return out


# -- conditions


def _holds(operator: str, key: str, wanted: list[str], effect: str, variables: bool, asked: Asked) -> bool:
    quantifier, _, bare = operator.rpartition(":")
    given = _lookup(key, asked.context)
    if bare == "Null":
        return any((v.lower() == "true") == (not given) for v in wanted)
    if bare.endswith("IfExists"):
        if not given:
            return True
        bare = bare.removesuffix("IfExists")
    positive = bare.replace("Not", "", 1)
    negated = positive != bare

    def one(value: str) -> bool:
        return any(_matches(positive, value, w, variables, asked) for w in wanted) != negated

    if quantifier == "ForAllValues":
        return all(map(one, given))
    if quantifier == "ForAnyValue":
        return any(map(one, given))
    if not given:
        return negated
    return all(map(one, given)) if effect == "Allow" else any(map(one, given))


def _matches(operator: str, value: str, wanted: str, variables: bool, asked: Asked) -> bool:
    if operator.startswith("Arn") and wanted != "*":
        parts, found = re.split(r":(?![^{}]*\})", wanted, maxsplit=5), value.split(":", 5)
        return len(parts) == len(found) and all(
            _matches("StringLike", f, p, variables, asked) for f, p in zip(found, parts, strict=True)
        )
    if operator.startswith("Arn"):
        return value.count(":") >= 4
    if operator.startswith("String"):
        regex = _regex(wanted, variables or None, asked, wild=operator == "StringLike")
        if regex is None:
            return False
        if operator == "StringEqualsIgnoreCase":
            regex, value = _low(regex), _low(value)
        return bool(re.fullmatch(regex, value, re.DOTALL))
    if operator == "IpAddress":
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return False
        network = ipaddress.ip_network(wanted, strict=False)
        mapped = getattr(address, "ipv4_mapped", None) or address
        return mapped.version == network.version and mapped in network
    readers: dict[str, Callable[[str], Any]] = {"Nu": Fraction, "Da": _date, "Bo": str.lower, "Bi": _bytes}
    read = readers[operator[:2]]
    try:
        left, right = read(value), read(wanted)
    except ValueError:
        return False
    ordered: dict[str, bool] = {
        "Equals": left == right,
        "Bool": left == right,
        "LessThan": left < right,
        "LessThanEquals": left <= right,
        "GreaterThan": left > right,
        "GreaterThanEquals": left >= right,
    }
    return ordered[re.sub("^(Numeric|Date|Binary)", "", operator)]


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _date(text: str) -> datetime:
    if re.fullmatch("-?[0-9]+", text) and len(text) != 4:
        return datetime.fromtimestamp(int(text), UTC)
    for pattern in ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S"):
        try:
            read = datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone is added below where the text has none
        except ValueError:
            continue
        return read if read.tzinfo else read.replace(tzinfo=UTC)
    raise ValueError(text)


# -- grants


def _grants(given: Document, asked: Asked) -> bool:
    operation = asked.action.removeprefix("kms:")
    if operation not in given["operations"] or operation == "RetireGrant":
        return False
    limits = given.get("constraints") or {}
    source = limits.get("SourceArn")
    behalf = _lookup("aws:SourceArn", asked.context)
    if source is not None and behalf != [source] and not (operation == "DescribeKey" and not behalf):
        return False
    if operation == "CreateGrant":
        return asked.creates is not None and _stricter(asked.creates, given)
    if not WITH_CONTEXT.fullmatch(asked.action):
        return True
    pairs = sorted((_low(k), v) for k, v in asked.encryption_context.items())
    equals, subset = (limits.get(f"EncryptionContext{kind}") for kind in ("Equals", "Subset"))
    if equals is not None and sorted((_low(k), v) for k, v in equals.items()) != pairs:
        return False
    return all((_low(k), v) in pairs for k, v in (subset or {}).items())


def _stricter(child: Document, parent: Document) -> bool:
    def pairs(document: Document, kind: str) -> Any:
        context = (document.get("constraints") or {}).get(f"EncryptionContext{kind}")
        return None if context is None else sorted((_low(k), v) for k, v in context.items())

    if not set(child["operations"]) <= set(parent["operations"]):
        return False
    source = (parent.get("constraints") or {}).get("SourceArn")
    if source is not None and (child.get("constraints") or {}).get("SourceArn") != source:
        return False
    equals, subset = pairs(parent, "Equals"), pairs(parent, "Subset")
    if equals is not None and pairs(child, "Equals") != equals:
        return False
    required = pairs(child, "Equals")
    if required is None:
        required = pairs(child, "Subset") or []
    return all(pair in required for pair in subset or [])
