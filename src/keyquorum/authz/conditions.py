# SPDX-License-Identifier: Apache-2.0
"""Condition operators: a ``Condition`` in, a test of a request's context out, prepared once.

A test never fails: what cannot be read as the operator's type matches nothing, so that a negated operator holds. Where
the documentation leaves a case open, it is decided against the request: so a key that has several values, and no set
operator to say how they count, must satisfy an Allow with every one and a Deny with any.

Source: IAM user guide, "IAM JSON policy elements: Condition operators", "Multivalued context keys" and "Variables".
"""

import base64
import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple

from keyquorum.authz.condition_elements import Condition
from keyquorum.authz.matching import SHORT, Context, Matcher, Token, fold, glob, is_fixed, literal, resolve, tokens
from keyquorum.authz.matching import weight as weight_of

Test = Callable[[Context], bool]


class _Weighed(NamedTuple):
    """A matcher, and what a value costs it for each of its characters, in quarters of a unit of work."""

    matches: Matcher
    weight: int


class _Prepared(NamedTuple):
    """The policy's values made ready: those that are ``fixed``, or, where there are some with variables, all of them
    for a request's context."""

    fixed: _Weighed
    all: Callable[[Context], _Weighed] | None = None


_Prepare = Callable[[tuple[str, ...], bool], _Prepared]


def compile_condition(condition: Condition, *, allows: bool, variables: bool) -> tuple[Test, int]:
    """The test that ``condition`` is, in a statement that ``allows`` or denies, and the work that it is for a single
    short value. For what is more it asks the context.

    ``variables``: whether the policy's version has policy variables.
    """
    key, if_exists, quantifier = fold(condition.key), condition.if_exists, condition.quantifier
    if condition.operator == "Null":
        wanted = {value.lower() == "true" for value in condition.values}
        return lambda context: (not context[key]) in wanted, _TEST
    prepare, negated = _OPERATORS[condition.operator]
    fixed, every_value = prepare(condition.values, variables)
    # "...returns true if there are no keys in the request" is said of ForAllValues, "returns false" of ForAnyValue.
    absent = if_exists or (quantifier == "ForAllValues") or (negated and not quantifier)
    every = quantifier == "ForAllValues" or (not quantifier and allows)

    def test(context: Context) -> bool:
        values = context[key]
        if not values:
            return absent
        matches, weight = fixed if every_value is None else every_value(context)
        if len(values) == 1:
            value = values[0]
            if len(value) > SHORT:
                context.work.spend(weight * (len(value) + SHORT) >> 2)
            return matches(value) is not negated
        context.work.spend(weight * (sum(map(len, values)) + SHORT * len(values)) >> 2)
        results = (matches(value) is not negated for value in values)
        return all(results) if every else any(results)

    return test, _TEST + (fixed.weight * SHORT >> 2)


_TEST: Final = 256
"""Units of work."""
_LOOKUP: Final = 16
"""The weight of a comparison with any number of values at once."""


# -- text


def _text(wildcards: bool, make: Callable[[list[tuple[Token, ...]]], _Weighed]) -> _Prepare:
    """An operator on text: ``make`` makes one matcher of all alternatives. Those with variables are resolved once for
    a request, however many values it has."""

    def prepare(values: tuple[str, ...], variables: bool) -> _Prepared:
        parsed = [tokens(value, variables=variables, wildcards=wildcards) for value in values]
        fixed = make([parts for parts in parsed if is_fixed(parts)])
        open_ = [parts for parts in parsed if not is_fixed(parts)]
        if not open_:
            return _Prepared(fixed)
        written = sum(map(weight_of, open_))

        def every_value(context: Context) -> _Weighed:
            context.work.spend(written * _MAKING)
            resolved = make([known for parts in open_ if (known := resolve(parts, context)) is not None])
            return _Weighed(
                lambda value: fixed.matches(value) or resolved.matches(value), fixed.weight + resolved.weight
            )

        return _Prepared(fixed, every_value)

    return prepare


_MAKING: Final = 128
"""Units of work, for each of a text's weight, to make a matcher of it."""


def _equal(alternatives: list[tuple[Token, ...]]) -> _Weighed:
    return _Weighed(frozenset(map(literal, alternatives)).__contains__, _LOOKUP)


def _equal_folded(alternatives: list[tuple[Token, ...]]) -> _Weighed:
    texts = frozenset([fold(literal(parts)) for parts in alternatives])
    return _Weighed(lambda value: fold(value) in texts, _LOOKUP)


def _like(alternatives: list[tuple[Token, ...]]) -> _Weighed:
    return _any([glob(parts) for parts in alternatives], alternatives)


def _arn(alternatives: list[tuple[Token, ...]]) -> _Weighed:
    return _any([_arn_glob(parts) for parts in alternatives], alternatives)


def _any(matchers: list[Matcher], alternatives: list[tuple[Token, ...]]) -> _Weighed:
    weight = sum(map(weight_of, alternatives))
    if len(matchers) == 1:
        return _Weighed(matchers[0], weight)

    def match(value: str) -> bool:
        for matches in matchers:  # noqa: SIM110 - the hot path: a generator costs more than a test
            if matches(value):
                return True
        return False

    return _Weighed(match, weight)


_ARN_PARTS: Final = 6


def _arn_glob(parts: tuple[Token, ...]) -> Matcher:
    """Part by part between the first five colons; ``*`` alone is any ARN."""
    segments: list[list[Token]] = [[]]
    for part in parts:
        first, *others = part.split(":", _ARN_PARTS - len(segments)) if isinstance(part, str) else [part]
        segments[-1].append(first)
        segments += [[piece] for piece in others]
    matchers = [glob(segment) for segment in segments]
    if len(segments) == 1:
        return lambda value: value.count(":") >= _ARN_PARTS - 2 and matchers[0](value)

    def match(value: str) -> bool:
        found = value.split(":", _ARN_PARTS - 1)
        if len(found) != len(matchers):
            return False
        return all(matches(part) for matches, part in zip(matchers, found, strict=True))

    return match


# -- typed values


def _typed(read: Callable[[str], Any], decide: Callable[[list[Any]], Callable[[Any], bool]]) -> _Prepare:
    """An operator whose values are read as ``read`` does; None is what it cannot read, and that matches nothing."""

    def prepare(values: tuple[str, ...], _variables: bool) -> _Prepared:
        wanted = [known for known in map(read, values) if known is not None]
        decides = decide(wanted) if wanted else None

        def match(value: str) -> bool:
            given = read(value)
            return given is not None and decides is not None and decides(given)

        return _Prepared(_Weighed(match, 2 * _LOOKUP))

    return prepare


def _is_one_of(wanted: list[Any]) -> Callable[[Any], bool]:
    return frozenset(wanted).__contains__


# Of several bounds the easiest decides: to be below one of them is to be below the highest.
_COMPARISONS: Final[dict[str, Callable[[list[Any]], Callable[[Any], bool]]]] = {
    "Equals": _is_one_of,
    "LessThan": lambda wanted: max(wanted).__gt__,
    "LessThanEquals": lambda wanted: max(wanted).__ge__,
    "GreaterThan": lambda wanted: min(wanted).__lt__,
    "GreaterThanEquals": lambda wanted: min(wanted).__le__,
}


def _number(text: str) -> Decimal | None:
    # A request's number is bounded like a policy's: what follows is not linear in the digits.
    if len(text) > 64:
        return None
    try:
        number = Decimal(text)
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def _moment(text: str) -> int | None:
    """Microseconds since the epoch. ISO 8601 down to a bare year, in UTC where it names no zone, or epoch seconds."""
    return _read_moment(text) if len(text) <= 64 else None


@lru_cache(maxsize=64)
def _read_moment(text: str) -> int | None:
    if len(text) != 4 and text.removeprefix("-").isdecimal() and text.isascii():
        return int(text) * 1_000_000
    full = text + "-01-01"[len(text) - 4 :] if len(text) in (4, 7) else text
    try:
        moment = datetime.fromisoformat(full)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    elapsed = moment - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _truth(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _bytes(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        return None


def _in_networks(values: tuple[str, ...], _variables: bool) -> _Prepared:
    networks = [
        (network.version, int(network.netmask), int(network.network_address))
        for network in (ipaddress.ip_network(value, strict=False) for value in values)
    ]

    def match(value: str) -> bool:
        version, address = _address(value) if len(value) <= SHORT else (0, 0)
        for of, mask, network in networks:  # noqa: SIM110 - the hot path: a generator costs more than a test
            if version == of and address & mask == network:
                return True
        return False

    return _Prepared(_Weighed(match, _LOOKUP + 8 * len(networks)))


@lru_cache(maxsize=4096)
def _address(text: str) -> tuple[int, int]:
    """Version and number. An IPv4 address that came over an IPv6 socket is an IPv4 address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return 0, 0
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.version, int(address)


_POSITIVE: Final[dict[str, _Prepare]] = {
    "StringEquals": _text(False, _equal),
    "StringEqualsIgnoreCase": _text(False, _equal_folded),
    "StringLike": _text(True, _like),
    "ArnEquals": _text(True, _arn),
    "ArnLike": _text(True, _arn),
    **{f"Numeric{name}": _typed(_number, decide) for name, decide in _COMPARISONS.items()},
    **{f"Date{name}": _typed(_moment, decide) for name, decide in _COMPARISONS.items()},
    "Bool": _typed(_truth, _is_one_of),
    "BinaryEquals": _typed(_bytes, _is_one_of),
    "IpAddress": _in_networks,
}
_NEGATED: Final = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
}
_OPERATORS: Final[dict[str, tuple[_Prepare, bool]]] = {
    **{name: (prepare, False) for name, prepare in _POSITIVE.items()},
    **{name: (_POSITIVE[positive], True) for name, positive in _NEGATED.items()},
}
"""How each operator's values are prepared, and whether it is negated. ``policy`` refuses any other."""
