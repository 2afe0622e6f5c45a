# SPDX-License-Identifier: Apache-2.0
"""One request on each side of every edge that AWS's service model draws, with what AWS answers on the far side.

All of it comes from botocore's model, and the wording is put together here: nothing is taken from the server's own
constraints. A request is valid but for the one member that it is about.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

ABSENT_KEY = "0000abcd-12ab-34cd-56ef-1234567890ab"

# The enums that AWS's answers list in an order of their own, by their sorted values.
REORDERED = {
    ", ".join(sorted(worded.split(", "))): worded
    for worded in (
        "HMAC_SHA_384, HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512",
        "RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE, SYMMETRIC_DEFAULT",
    )
}

# For each pattern: a text that it lets pass, and the character with which that may be continued for ever.
FITTING = {
    "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+": ("{}", " "),
    "[\\u0020-\\u00FF]*": ("a", "\u00ff"),
    "[\\w]+": ("default", "_"),
    "^([A-Za-z0-9\\-]+)\\.([A-Za-z0-9\\-]+)(\\.[A-Za-z0-9\\-]+)+$": ("service.amazonaws.com", "-"),
    "^([a-z]+-){2,3}\\d+$": ("eu-west-1", "0"),
    "^[\\w+=,.@:/-]+$": ("arn:aws:iam::111122223333:root", "@"),
    "^[a-f0-9]+$": ("0f", "e"),
    "^[a-zA-Z0-9:/_-]+$": ("alias/boundary", "_"),
    "^[a-zA-Z0-9-_.]+$": ("key-1_2.3", "."),
    "^[a-zA-Z0-9:/_\\s.-]+$": ("of last year", "."),
    "^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$": ("arn:aws:s3:us-east-1:111122223333:b", "/"),
}
# For each pattern: what it stops. A trailing newline is the classic that a careless match lets through.
UNFITTING = {
    "[\\u0009\\u000A\\u000D\\u0020-\\u00FF]+": ("{}\u0100", "{}\u0000", "{}\u000b"),
    "[\\u0020-\\u00FF]*": ("a\n", "a\u0100", "\u001f"),
    "[\\w]+": ("default\n", "de-fault", "d\u00e9faut"),
    "^([A-Za-z0-9\\-]+)\\.([A-Za-z0-9\\-]+)(\\.[A-Za-z0-9\\-]+)+$": ("amazonaws.com", "a..com", "a.b.c\n"),
    "^([a-z]+-){2,3}\\d+$": ("eu-1", "eu-west-1\n", "EU-west-1"),
    "^[\\w+=,.@:/-]+$": ("arn aws", "arn\n", "\u00e9"),
    "^[a-f0-9]+$": ("0F", "g0", "00\n"),
    "^[a-zA-Z0-9:/_-]+$": ("alias/a b", "alias/a\n", "alias/\u00e9", "alias/a.b"),
    "^[a-zA-Z0-9-_.]+$": ("a key", "a/b", "a\n"),
    "^[a-zA-Z0-9:/_\\s.-]+$": ("what?", "\u00a0"),
    "^arn:aws[a-z0-9-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:.+$": (
        "arn:aws:s3:us-east-1:11112222333:b",
        "arn:aws:s3:us-east-1:111122223333:",
        "arn:aws:s3:us-east-1:111122223333:b\n",
    ),
}
# Shapes without a pattern whose values the service nevertheless reads.
_VALID: dict[str, Any] = {"KeyIdType": ABSENT_KEY, "PrincipalIdType": "arn:aws:iam::111122223333:root"}


class Case(NamedTuple):
    """``path``: the member as validation messages spell it. ``refusal``: the whole message, or None inside."""

    name: str
    operation: str
    body: dict[str, Any]
    path: str
    refusal: str | None


class Edge(NamedTuple):
    """A value; as Java prints it; and the rules that it breaks, in AWS's words."""

    name: str
    value: Any
    shown: str
    broken: tuple[str, ...]


def model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("kms", "service-2"), "kms")


def cases(operations: set[str]) -> list[Case]:
    found = []
    described = model()
    for operation in sorted(operations):
        shape = described.operation_model(operation).input_shape
        assert shape is not None
        found += list(_structure(operation, shape))
    return found


def _structure(operation: str, top: Shape) -> Iterator[Case]:
    base = _example(top)
    for member, shape in top.members.items():
        for case in _member(shape):
            yield _case(operation, member, lower(member), shape, case, {**base, member: case.value})
        if member in top.metadata.get("required", ()):
            null = "Value" if shape.metadata.get("sensitive") else "Value null"
            refusal = f"{null} at '{lower(member)}' failed to satisfy constraint: Member must not be null"
            missing = {name: value for name, value in base.items() if name != member}
            for kind, body in (("absent", missing), ("null", {**base, member: None})):
                name = f"{operation}.{member}-{kind}"
                yield Case(name, operation, body, lower(member), f"1 validation error detected: {refusal}")
        yield from _nested(operation, base, member, shape)


def _nested(operation: str, base: dict[str, Any], member: str, shape: Shape) -> Iterator[Case]:
    """The members of a structure, or of the second structure of a list."""
    inner = shape.member if shape.type_name == "list" else shape
    if inner.type_name != "structure":
        return
    step = ".2.member." if shape.type_name == "list" else "."
    example = _example(inner)
    for name, part in inner.members.items():
        for edge in _member(part):
            changed = {**example, name: edge.value}
            value = [example, changed] if shape.type_name == "list" else changed
            where = lower(member) + step + lower(name)
            yield _case(operation, f"{member}.{name}", where, part, edge, {**base, member: value})


def _case(operation: str, member: str, path: str, shape: Shape, edge: Edge, body: dict[str, Any]) -> Case:
    name = f"{operation}.{member}-{edge.name}"
    if not edge.broken:
        return Case(name, operation, body, path, None)
    hidden = shape.metadata.get("sensitive") or shape.type_name == "blob"
    subject = "Value" if hidden else f"Value '{edge.shown}'"
    found = [f"{subject} at '{path}' failed to satisfy constraint: {words}" for words in edge.broken]
    count = "1 validation error" if len(found) == 1 else f"{len(found)} validation errors"
    return Case(name, operation, body, path, f"{count} detected: {'; '.join(found)}")


def _member(shape: Shape) -> Iterator[Edge]:
    """The edges of a member, and of a list's elements."""
    for name, value in _values(shape):
        yield Edge(name, value, _shown(value), tuple(words for words, holds in _rules(shape, value) if not holds))
    if shape.type_name == "list" and shape.member.type_name != "structure":
        good = _example(shape.member)
        for name, value in _values(shape.member):
            rules = _rules(shape.member, value)
            words = f"Member must satisfy constraint: [{', '.join(words for words, _ in rules)}]"
            broken = () if all(holds for _, holds in rules) else (words,)
            yield Edge(f"element-{name}", [good, value], _shown([good, value]), broken)


def _values(shape: Shape) -> Iterator[tuple[str, Any]]:
    """Values on both sides of each edge, named. Where a pattern has no text of a bound's size, the one that is used
    breaks the pattern, and no more than that is complained of."""
    bounds = shape.metadata
    if "max" in bounds:
        yield "at-max", _sized(shape, bounds["max"])
        yield "over-max", _sized(shape, bounds["max"] + 1)
        if shape.type_name == "string" and "pattern" not in bounds:
            # Java counts UTF-16 code units. (What names a key must be ASCII, by a rule that is not the model's.)
            yield "over-max-in-pairs", "\U0001f600" * (bounds["max"] // 2 + 1)
            if shape.name != "KeyIdType":
                yield "at-max-in-pairs", "\U0001f600" * (bounds["max"] // 2)
    if bounds.get("min"):
        yield "at-min", _sized(shape, bounds["min"])
        yield "under-min", _sized(shape, bounds["min"] - 1)
    if "enum" in bounds:
        yield from ((f"is-{value}", value) for value in bounds["enum"])
        yield from (("enum-other", "OTHER"), ("enum-lower", bounds["enum"][0].lower()), ("enum-padded", "DEFAULT "))
    if "pattern" in bounds:
        yield "fitting", FITTING[bounds["pattern"]][0]
        yield from ((f"unfitting-{number}", value) for number, value in enumerate(UNFITTING[bounds["pattern"]]))


def _sized(shape: Shape, size: int) -> Any:
    """A value of this size, or this number; one that its pattern lets pass, if there is one."""
    match shape.type_name:
        case "integer":
            return size
        case "string":
            start, filling = FITTING[shape.metadata["pattern"]] if "pattern" in shape.metadata else ("", "a")
            return start.ljust(size, filling) if size >= len(start) else filling * size
        case "blob":
            return base64.b64encode(b"a" * size).decode()
        case "list":
            return [_example(shape.member)] * size
    raise NotImplementedError(shape.type_name)


def _rules(shape: Shape, value: Any) -> list[tuple[str, bool]]:
    """Every rule of a shape in AWS's words, in the order in which AWS tells them, and whether the value keeps it."""
    bounds = shape.metadata
    measured, size = "length", 0
    match shape.type_name:
        case "integer":
            measured, size = "value", value
        case "string":
            size = len(value.encode("utf-16-le")) // 2
        case "blob":
            size = len(base64.b64decode(value))
        case "list":
            size = len(value)
    found = []
    if "max" in bounds:
        found.append((f"Member must have {measured} less than or equal to {bounds['max']}", size <= bounds["max"]))
    if "min" in bounds:
        found.append((f"Member must have {measured} greater than or equal to {bounds['min']}", size >= bounds["min"]))
    if "enum" in bounds:
        worded = REORDERED.get(", ".join(sorted(bounds["enum"])), ", ".join(bounds["enum"]))
        words = f"Member must satisfy enum value set: [{worded}]"
        found.append((words, value in bounds["enum"]))
    if "pattern" in bounds:
        fits = re.fullmatch(bounds["pattern"], value, re.ASCII) is not None
        found.append((f"Member must satisfy regular expression pattern: {bounds['pattern']}", fits))
    return found


def _shown(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _example(shape: Shape) -> Any:
    """The least that satisfies a shape."""
    bounds = shape.metadata
    if shape.name in _VALID:
        return _VALID[shape.name]
    match shape.type_name:
        case "structure":
            return {name: _example(shape.members[name]) for name in bounds.get("required", ())}
        case "list":
            return [_example(shape.member)]
        case "string":
            if "enum" in bounds:
                return bounds["enum"][0]
            return FITTING[bounds["pattern"]][0] if "pattern" in bounds else "a"
        case "integer":
            return bounds.get("min", 1)
        case "blob":
            return base64.b64encode(b"a" * bounds.get("min", 1)).decode()
    raise NotImplementedError(shape.type_name)


def lower(name: str) -> str:
    return name[0].lower() + name[1:]
