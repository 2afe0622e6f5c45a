# SPDX-License-Identifier: Apache-2.0
"""The Condition element: which operators there are and what their values look like; any other is refused.

Whether a condition holds is the business of ``conditions``.

Sources: IAM user guide, "IAM JSON policy elements: Condition operators"; KMS developer guide, "AWS KMS condition
keys", "Using set operators with condition keys".
"""

import base64
import math
import re
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_network
from typing import Any, Final, Literal

from msgspec import Struct

from keyquorum.authz.document import SYNTAX, Number, refuse, string

LONGEST_KEY: Final = 512
"""Characters of a condition key: four times what a tag's can have."""

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


def parse_conditions(block: object) -> tuple[Condition, ...]:
    """The conditions in ``block``, a Condition element."""
    if not isinstance(block, dict):
        refuse(SYNTAX, "condition")
    conditions = []
    for spelled, keys in block.items():
        match = _OPERATOR.fullmatch(spelled)
        if match is None or match[2] not in _VALUES or (match[2] == "Null" and (match[1] or match[3])):
            refuse(SYNTAX, "condition operator")
        if not isinstance(keys, dict):
            refuse(SYNTAX, "condition operator without keys")
        for key, given in keys.items():
            if len(string(key)) > LONGEST_KEY or not _CONDITION_KEY.fullmatch(key):
                refuse(SYNTAX, "condition key")
            values = tuple(map(_value, given if isinstance(given, list) else [given]))
            # Whether an empty list matches all or nothing is not documented: in a Deny either guess would be unsafe.
            if not values or not all(map(_VALUES[match[2]], values)):
                refuse(SYNTAX, "condition value")
            quantifier: Any = match[1] or ""
            conditions.append(Condition(match[2], key, values, quantifier, match[3] is not None))
    return tuple(conditions)


_SINGLE_VALUED: Final = {
    "kms:encryptioncontext:": ("OverlyPermissiveCondition:EncryptionContext", "encryption context"),
    "aws:requesttag/": ("OverlyPermissiveCondition", "tag"),
}
"""The condition keys with which AWS KMS refuses ForAllValues, what it calls the fault, and what it calls the key."""


def check_set_operators(conditions: tuple[Condition, ...]) -> None:
    """Refuses ForAllValues where AWS KMS does in a key policy: such a condition holds for a request without the key."""
    for condition in conditions:
        for prefix, (fault, noun) in _SINGLE_VALUED.items():
            if condition.quantifier == "ForAllValues" and condition.key.lower().startswith(prefix):
                refuse(
                    f"{fault}: Using the ForAllValues set operator with a single-valued condition key matches requests "
                    f"without the specified {noun} or with an unspecified {noun}. To fix, remove ForAllValues."
                )


_OPERATOR = re.compile(r"(?:(ForAnyValue|ForAllValues):)?([A-Za-z]{1,64}?)(IfExists)?")
_CONDITION_KEY = re.compile(r"[A-Za-z0-9.-]+:\S.*", re.DOTALL)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.text if isinstance(value, Number) else string(value)


# -- what a value must look like

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
_VALUES: Final[dict[str, Callable[[str], bool]]] = {
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
