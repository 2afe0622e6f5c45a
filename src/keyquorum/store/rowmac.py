# SPDX-License-Identifier: Apache-2.0
"""A MAC over each row that carries authority, so that who can write to the database does not become administrator.

The MAC covers the table's name and every column that is not null, by name: a later, nullable column leaves the MACs of
old rows valid. What it cannot show: a row, or the whole database, put back to an older state that was once valid.
"""

import hmac
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import sqlalchemy as sa

from keyquorum.errors import IntegrityError

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

    def check(self, table: sa.Table, row: sa.RowMapping, uncovered: str = "") -> dict[str, Any]:
        """The row's values without the MAC; raises IntegrityError if it is not as this program wrote it.

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

    def proven(
        self, table: sa.Table, rows: Iterable[sa.RowMapping], refusal: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number, values) of each row that is as this program wrote it, of a table whose column ``row`` the database
        assigns. Of others the log says ``refusal``, which has a place for the number, and they are passed over."""
        for row in rows:
            try:
                values = self.check(table, row, uncovered="row")
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
