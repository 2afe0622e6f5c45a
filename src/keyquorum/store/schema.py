# SPDX-License-Identifier: Apache-2.0
"""The tables. Rows that carry authority end in ``version`` and ``mac`` (see ``rowmac``)."""

from typing import Final

import sqlalchemy as sa

#: Schema revisions, oldest first; the last is this program's. A test holds them to the migration scripts.
REVISIONS: Final = ("0001",)

metadata = sa.MetaData()


class Bytes(sa.LargeBinary):
    """Read as it is stored. SQLite keeps any type in any column, and what was made another type by somebody else has to
    fail its MAC, not a conversion that comes before (``bytes(n)`` of a number would even allocate that much)."""

    def result_processor(self, _dialect: object, _coltype: object) -> None:
        return None


def _authority() -> tuple[sa.Column[int], sa.Column[bytes]]:
    return sa.Column("version", sa.Integer, nullable=False), sa.Column("mac", Bytes, nullable=False)


#: One row: the number of the last change, see ``generations``.
generation = sa.Table("generation", metadata, sa.Column("value", sa.BigInteger, nullable=False))

#: Sealed by the seal, so that opening them is the proof of the right seal key.
root_keys = sa.Table(
    "root_keys",
    metadata,
    sa.Column("root_id", sa.Integer, primary_key=True),
    sa.Column("sealed", Bytes, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
)

#: Wrapped under the root key.
keyring_keys = sa.Table(
    "keyring_keys",
    metadata,
    sa.Column("keyring_version", sa.Integer, primary_key=True),
    sa.Column("wrapped", Bytes, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
)

principals = sa.Table(
    "principals",
    metadata,
    sa.Column("principal_id", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(12), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("policy", sa.Text),
    *_authority(),
    sa.UniqueConstraint("account", "kind", "name", name="principals_by_name"),
)

access_keys = sa.Table(
    "access_keys",
    metadata,
    sa.Column("access_key_id", sa.String(128), primary_key=True),
    sa.Column("principal_id", sa.String(64), sa.ForeignKey("principals.principal_id"), nullable=False),
    sa.Column("keyring_version", sa.Integer, nullable=False),
    sa.Column("wrapped_secret", Bytes, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    *_authority(),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("key_id", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(12), nullable=False),
    sa.Column("region", sa.String(32), nullable=False),
    sa.Column("spec", sa.String(32), nullable=False),
    sa.Column("usage", sa.String(32), nullable=False),
    sa.Column("origin", sa.String(32), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("material_id", sa.String(64), nullable=False),
    sa.Column("deletion_date", sa.Float),
    sa.Column("tags", sa.Text, nullable=False),
    *_authority(),
    sa.Index("keys_by_place", "account", "region", "key_id", unique=True),
    sa.Index("keys_by_deletion_date", "deletion_date"),
)

#: Rows are appended and removed, never moved by the order of a key, so that SQLite has no cause to copy cells.
key_materials = sa.Table(
    "key_materials",
    metadata,
    sa.Column("row", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("material_id", sa.String(64), nullable=False, unique=True),
    sa.Column("key_id", sa.String(64), sa.ForeignKey("keys.key_id"), nullable=False, index=True),
    sa.Column("keyring_version", sa.Integer, nullable=False),
    sa.Column("wrapped", Bytes, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    *_authority(),
    sqlite_autoincrement=True,
)

key_policies = sa.Table(
    "key_policies",
    metadata,
    sa.Column("key_id", sa.String(64), sa.ForeignKey("keys.key_id"), primary_key=True),
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
    *_authority(),
)

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("account", sa.String(12), primary_key=True),
    sa.Column("region", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(256), primary_key=True),
    sa.Column("key_id", sa.String(64), sa.ForeignKey("keys.key_id"), nullable=False, index=True),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("updated_at", sa.Float, nullable=False),
    *_authority(),
)

#: A key ID is never given out twice. ``erased_at`` is set once no file holds the wrapped material any more.
deleted_keys = sa.Table(
    "deleted_keys",
    metadata,
    sa.Column("key_id", sa.String(64), primary_key=True),
    sa.Column("account", sa.String(12), nullable=False),
    sa.Column("region", sa.String(32), nullable=False),
    sa.Column("deleted_at", sa.Float, nullable=False),
    sa.Column("erased_at", sa.Float, index=True),
)

#: Audit records of committed changes, until they are known to be in the audit file of their writer.
audit_outbox = sa.Table(
    "audit_outbox",
    metadata,
    sa.Column("row", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("writer", sa.Integer, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("event_id", sa.String(36), nullable=False),
    sa.Column("record", Bytes, nullable=False),
    sqlite_autoincrement=True,
)
