# SPDX-License-Identifier: Apache-2.0
"""Conditions on rows, each in two forms: for the database, which selects by it, and for the proof that it did so."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa


class Condition(NamedTuple):
    """``holds`` is asked about a row's values, once its MAC has proved them. A column without a value meets none."""

    sql: Callable[[sa.Table], sa.ColumnElement[bool]]
    holds: Callable[[Mapping[str, Any]], bool]


def after(column: str, place: str) -> Condition:
    """Text that comes after ``place``, by code points."""
    return _on(column, lambda c: c > place, lambda value: value > place)


def under(column: str, prefix: str) -> Condition:
    """Text that begins so. Capitals are heeded, which LIKE does not do everywhere."""
    return _on(
        column,
        lambda c: sa.func.substr(c, 1, len(prefix)) == sa.literal(prefix, c.type),
        lambda value: value.startswith(prefix),
    )


def containing(column: str, name: str) -> Condition:
    """A list, as JSON, that may contain this name. The name of which it is one is for the caller to look at: there may
    be more to it."""
    quoted = f'"{name}"'
    return _on(column, lambda c: sa.func.replace(c, quoted, "") != c, lambda value: quoted in value)


def among(column: str, values: Collection[str]) -> Condition:
    return _on(column, lambda c: c.in_(values), lambda value: value in values)


def either(*conditions: Condition) -> Condition:
    return Condition(
        lambda table: sa.or_(*[condition.sql(table) for condition in conditions]),
        lambda values: any(condition.holds(values) for condition in conditions),
    )


def _on(
    column: str, sql: Callable[[sa.Column[Any]], sa.ColumnElement[bool]], holds: Callable[[Any], bool]
) -> Condition:
    return Condition(
        lambda table: sql(table.c[column]), lambda values: values[column] is not None and holds(values[column])
    )
