# SPDX-License-Identifier: Apache-2.0
"""How many keys are in which state, as the database says: nothing is proven, and no key is told of."""

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from keyquorum.store import schema

_KEYS: Final = schema.keys
_SOME: Final = (
    sa.select(sa.literal(1))
    .where(*[_KEYS.c[column] == sa.bindparam(column) for column in ("account", "region", "state")])
    .limit(sa.bindparam("most"))
    .subquery()
)
_COUNT: Final = sa.select(sa.func.count()).select_from(_SOME)


def by_state(connection: sa.Connection, account: str, region: str, states: Iterable[str], most: int) -> dict[str, int]:
    """Of the keys of an account in a Region, how many are in each of ``states``, as far as ``most``; those in which
    there is none are left out. Each is counted by itself, along an index: to group them, databases make a table."""
    where = {"account": account, "region": region, "most": most}
    found = {state: connection.execute(_COUNT, {**where, "state": state}).scalar_one() for state in states}
    return {state: count for state, count in found.items() if count}
