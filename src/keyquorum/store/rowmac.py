# SPDX-License-Identifier: Apache-2.0
"""A MAC over each row that carries authority, so that who can write to the database does not become administrator.

The MAC covers the table's name and every column that is not null, by name: a later, nullable column leaves the MACs of
old rows valid. Rows are read through here, so that what selects them is also what they are held to.

What a MAC cannot show: a row, or the whole database, put back to an older state that was once valid; or a row that is
not there any more.
"""

import functools
import hmac
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from keyquorum.errors import IntegrityError
from keyquorum.store.conditions import Condition

_log = logging.getLogger(__name__)

_COLUMN: Final = "mac"


def _encode(value: object) -> bytes:
    if isinstance(value, bytes):
        return b"b" + value
    if isinstance(value, str):
        return b"s" + value.encode()
    if isinstance(value, float):
        return b"f" + value.hex().encode()
    if isinstance(value, int):
        return b"i" + str(value).encode()
    raise TypeError(type(value).__name__)


class RowMAC:
    """HMAC-SHA-256 under a 32-byte key that is derived from the root key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, table: sa.Table, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values with their MAC added, ready to be written as one whole row."""
        return {**values, _COLUMN: self._compute(table, values)}

    def check(self, table: sa.Table, row: Mapping[str, Any] | sa.RowMapping, uncovered: str = "") -> dict[str, Any]:
        """The row's values without the MAC; raises IntegrityError if it is not as this program wrote it. That it is the
        row which was asked for is not said: ``one``, ``many`` and ``proven`` see to that.

        ``uncovered`` names a column that the database assigns and that carries no meaning; it is left out.
        """
        values = {column.name: row[column.name] for column in table.columns if column.name not in (_COLUMN, uncovered)}
        try:
            carried = hmac.compare_digest(self._compute(table, values), row[_COLUMN])
        except (TypeError, ValueError, OverflowError):
            carried = False  # a value of a type that this program never writes there
        if not carried:
            raise IntegrityError(f"a row of {table.name} does not carry its MAC")
        return values

    def one(
        self,
        connection: sa.Connection,
        table: sa.Table,
        *,
        unproven: Sequence[sa.Label[Any]] = (),
        **selected: Any,
    ) -> dict[str, Any] | None:
        """The values of the one row in which the columns have these values, or None; see ``many``."""
        found = self.many(connection, table, unproven=unproven, **selected)
        if len(found) > 1:
            raise IntegrityError(f"a row of {table.name} is there twice")
        return found[0] if found else None

    def many(
        self,
        connection: sa.Connection,
        table: sa.Table,
        *conditions: Condition,
        order: Sequence[str] = (),
        limit: int | None = None,
        unproven: Sequence[sa.Label[Any]] = (),
        **selected: Any,
    ) -> list[dict[str, Any]]:
        """The values, without the MAC, of the rows in which the columns have these values and the conditions hold.

        Raises IntegrityError for a row that is not as this program wrote it, or that is not what was asked for: a view
        in the table's place answers as it pleases, with rows that are genuine. ``unproven`` are columns from elsewhere
        that come with each row; whoever asks for them takes them for no more than the database says.
        """
        query = _select(table, tuple(unproven), tuple(order), tuple(selected))
        if conditions:
            query = query.where(*[condition.sql(table) for condition in conditions])
        if limit is not None:
            query = query.limit(limit)
        found = []
        for row in connection.execute(query, selected).mappings():
            values = self.check(table, row)
            _check_asked_for(table, values, selected, conditions)
            found.append({**values, **{column.name: row[column.name] for column in unproven}})
        return found

    def proven(
        self, connection: sa.Connection, table: sa.Table, refusal: str, **selected: Any
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number, values) of each row, in their order, that is as this program wrote it and in which the columns have
        these values, of a table whose column ``row`` the database assigns. Of others the log says ``refusal``, which
        has a place for the number, and they are passed over."""
        query = _select(table, (), ("row",), tuple(selected))
        for row in connection.execute(query, selected).mappings():
            try:
                values = self.check(table, row, uncovered="row")
                _check_asked_for(table, values, selected)
            except IntegrityError:
                _log.error(refusal, row["row"])
            else:
                yield row["row"], values

    def _compute(self, table: sa.Table, values: Mapping[str, Any]) -> bytes:
        parts = [table.name.encode()]
        for column in table.columns:
            value = values.get(column.name)
            if value is None or column.name == _COLUMN:
                continue
            parts += (column.name.encode(), _encode(float(value) if isinstance(column.type, sa.Float) else value))
        return hmac.digest(self._key, b"".join(len(p).to_bytes(4, "big") + p for p in parts), "sha256")


@functools.cache
def _select(
    table: sa.Table, unproven: tuple[sa.Label[Any], ...], order: tuple[str, ...], selected: tuple[str, ...]
) -> sa.Select[Any]:
    """One object for each kind of query: to make one takes as long as to run it."""
    query = sa.select(table, *unproven).where(*[table.c[name] == sa.bindparam(name) for name in selected])
    return query.order_by(*[table.c[name] for name in order])


def _check_asked_for(
    table: sa.Table, values: Mapping[str, Any], selected: Mapping[str, Any], conditions: Sequence[Condition] = ()
) -> None:
    asked_for = all(values[name] == value for name, value in selected.items())
    if not asked_for or not all(condition.holds(values) for condition in conditions):
        raise IntegrityError(f"a row of {table.name} was given for another")
