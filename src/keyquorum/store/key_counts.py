# SPDX-License-Identifier: Apache-2.0
"""How many keys are in which state, as the database says: nothing is proven, and no key is told of."""

import sqlalchemy as sa

from keyquorum.store import schema

_KEYS = schema.keys


def by_state(connection: sa.Connection, account: str, region: str, most: int) -> dict[str, int]:
    """Of at most ``most`` keys of an account in a Region."""
    where = (_KEYS.c.account == account, _KEYS.c.region == region)
    some = sa.select(_KEYS.c.state).where(*where).limit(most).subquery()
    return dict(connection.execute(sa.select(some.c.state, sa.func.count()).group_by(some.c.state)).tuples().all())
