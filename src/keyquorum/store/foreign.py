# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: S608 # both parts of each query are constants of this module
"""What in a PostgreSQL database could make reading or writing one of our tables anything else than that. It is looked
for when the database is opened; what extensions have brought along is the operator's own choice.
"""

from typing import Final

import sqlalchemy as sa

_OURS: Final = "c.relnamespace = to_regnamespace('public') AND c.relname = ANY(:tables)"
_BROUGHT: Final = "EXISTS (SELECT FROM pg_depend d WHERE d.objid = {0}.oid AND d.deptype = 'e')"

_QUERIES: Final = {
    "text that is not UTF-8": "SELECT 1 WHERE current_setting('server_encoding') <> 'UTF8'",
    "views or foreign tables that are not keyquorum's": (
        "SELECT 1 FROM pg_class c WHERE c.relnamespace = to_regnamespace('public') "
        f"AND c.relkind NOT IN ('r', 'i', 'S') AND NOT {_BROUGHT.format('c')}"
    ),
    "rules on keyquorum's tables": f"SELECT 1 FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE {_OURS}",
    "triggers on keyquorum's tables": (
        f"SELECT 1 FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE {_OURS} AND NOT t.tgisinternal"
    ),
    "row security on keyquorum's tables": (
        f"SELECT 1 FROM pg_class c WHERE {_OURS} AND (c.relrowsecurity OR c.relforcerowsecurity)"
    ),
    "tables that inherit from keyquorum's": (
        f"SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid IN (i.inhparent, i.inhrelid) WHERE {_OURS}"
    ),
    "functions that are not keyquorum's": (
        f"SELECT 1 FROM pg_proc p WHERE p.pronamespace = to_regnamespace('public') AND NOT {_BROUGHT.format('p')}"
    ),
    "operators that are not keyquorum's": (
        f"SELECT 1 FROM pg_operator o WHERE o.oprnamespace = to_regnamespace('public') AND NOT {_BROUGHT.format('o')}"
    ),
}

#: (what it is, a query, of ``tables``, that finds some)
CHECKS: Final = tuple((what, sa.text(query)) for what, query in _QUERIES.items())
