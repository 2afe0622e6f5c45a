# SPDX-License-Identifier: Apache-2.0
"""The rows of a backup: which tables, in which order, and what a row must be to be put into any database.

A material's wrapped form goes with the material's row, so that whoever reads the backup once can see that it opens.
What was destroyed is not carried, and neither is what speaks of other processes: ``changes`` and ``generation``.
"""

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy as sa

from keyquorum.store import schema

#: In an order in which every row comes after those that it refers to, and after the keyring keys.
TABLES: Final = (
    schema.root_keys,
    schema.keyring_keys,
    schema.principals,
    schema.managed_policies,
    schema.oidc_providers,
    schema.access_keys,
    schema.access_key_usage,
    schema.keys,
    schema.key_materials,
    schema.key_policies,
    schema.aliases,
    schema.grants,
    schema.key_usage,
    schema.deleted_keys,
    schema.erasures,
    schema.spent_tokens,
    schema.audit_outbox,
)
#: What is made anew, or belongs to one database; and the wrapped forms, which are in the rows of their materials.
LEFT_OUT: Final = (schema.generation, schema.changes, schema.schema_compatibility, schema.wrapped_materials)

WRAPPED: Final = "wrapped"
_WRAPPED: Final = schema.wrapped_materials
#: Rows that are fetched together.
_AT_ONCE: Final = 1000
_TYPES: Final[dict[type[Any], tuple[type[Any], ...]]] = {
    sa.Integer: (int,),
    sa.Float: (float, int),
    sa.String: (str,),
    sa.LargeBinary: (bytes,),
}
_NOTHING: Final[dict[type[Any], Any]] = {sa.Integer: 0, sa.Float: 0.0, sa.String: "", sa.LargeBinary: b""}


def columns(table: sa.Table) -> list[str]:
    names = [str(column.name) for column in table.columns]
    return [*names, WRAPPED] if table is schema.key_materials else names


def stored(connection: sa.Connection, table: sa.Table) -> Iterator[dict[str, Any]]:
    """The table's rows in the order of their keys, a few in memory at a time."""
    query: sa.Select[Any] = sa.select(table)
    if table is schema.key_materials:
        joined = sa.outerjoin(table, _WRAPPED, _WRAPPED.c.row == table.c.wrapped_row)
        query = sa.select(table, _WRAPPED.c.wrapped).select_from(joined)
    query = query.order_by(*table.primary_key.columns)
    for row in connection.execute(query, execution_options={"yield_per": _AT_ONCE}).mappings():
        yield dict(row)


def fitted(table: sa.Table, values: dict[str, Any]) -> dict[str, Any] | None:
    """The row, with something else in place of each value that only somebody else can have written there: SQLite takes
    anything in any column, and no other database would take it back. Such a row does not carry its MAC, before or
    after. None if the value is one by which the row is found."""
    unfit = [column for column in table.columns if not _fits(column, values[column.name])]
    if any(column.primary_key for column in unfit):
        return None
    return {**values, **{column.name: _NOTHING[_kind(column)] for column in unfit}} if unfit else values


def _fits(column: sa.Column[Any], value: Any) -> bool:
    if value is None:
        return bool(column.nullable)
    kind = _kind(column)
    if type(value) not in _TYPES[kind]:
        return False
    if kind is sa.String:
        return _is_text(value)
    size = 63 if isinstance(column.type, sa.BigInteger) else 31
    return type(value) is not int or kind is sa.Float or -(2**size) <= value < 2**size


def _kind(column: sa.Column[Any]) -> type[Any]:
    return next(kind for kind in _TYPES if isinstance(column.type, kind))


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
