# SPDX-License-Identifier: Apache-2.0
"""The tables. Rows that carry authority end in ``version`` and ``mac`` (see ``rowmac``)."""

from typing import Final

import sqlalchemy as sa

#: Schema revisions, oldest first; the last is this program's. A test holds them to the migration scripts.
REVISIONS: Final = ("0001", "0002", "0003")

metadata = sa.MetaData()


class Bytes(sa.LargeBinary):
    """Read as it is stored. SQLite keeps any type in any column, and what was made another type by somebody else has to
    fail its MAC, not a conversion that comes before (``bytes(n)`` of a number would even allocate that much)."""

    def result_processor(self, _dialect: object, _coltype: object) -> None:
        return None


class _Escaped(sa.TypeDecorator[str]):
    """Text of PostgreSQL, ordered and compared by code points, of any length, as SQLite's is. It cannot hold U+0000,
    which clients may send: that is kept as U+0001 U+0001, and U+0001 as U+0001 U+0002, by which no order changes."""

    impl = sa.Text
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(collation="C")

    def process_bind_param(self, value: str | None, _dialect: object) -> str | None:
        if value is not None and ("\0" in value or "\1" in value):
            return value.replace("\1", "\1\2").replace("\0", "\1\1")
        return value

    def process_result_value(self, value: str | None, _dialect: object) -> str | None:
        # A column that somebody has given another type has no text; it fails its MAC.
        if isinstance(value, str) and "\1" in value:
            return value.replace("\1\1", "\0").replace("\1\2", "\1")
        return value


def _text(longest: int | None = None) -> sa.String:
    kind = sa.Text() if longest is None else sa.String(longest)
    return kind.with_variant(_Escaped(), "postgresql")


class _AsItIs(sa.TypeDecorator[float]):
    """PostgreSQL's double precision, read as the driver has it: a column that somebody has given another type has no
    numbers. It fails its MAC, not a conversion that comes before."""

    impl = sa.Float
    cache_ok = True

    def result_processor(self, _dialect: object, _coltype: object) -> None:
        return None


def _number() -> sa.Float[float]:
    return sa.Float().with_variant(_AsItIs(), "postgresql")


def _row() -> sa.Column[int]:
    """Numbers that the database gives, in the order of insertions, and none twice."""
    return sa.Column("row", _counted(), primary_key=True, autoincrement=True)


def _counted() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # whose integers have any size


def _authority() -> tuple[sa.Column[int], sa.Column[bytes]]:
    return sa.Column("version", sa.Integer, nullable=False), sa.Column("mac", Bytes, nullable=False)


#: One row: the number of the last change, see ``generations``.
generation = sa.Table("generation", metadata, sa.Column("value", sa.BigInteger, nullable=False))

#: What each of the last changes touched, for nodes that share no memory: slots as 16-bit numbers, most significant byte
#: first; None for everything. PostgreSQL only.
changes = sa.Table(
    "changes",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("slots", Bytes),
    sa.Column("changed_at", _number(), nullable=False),
)

#: One row: the oldest schema revision whose programs can work on this schema.
schema_compatibility = sa.Table("schema_compatibility", metadata, sa.Column("oldest", _text(32), nullable=False))

#: Sealed by a seal, so that opening them is the proof of the right one: row 1 by the seal in use, row 2 by the recovery
#: seal if there is one. ``kind``: of the seal, None for a key file; ``parameters``: JSON, without secrets.
root_keys = sa.Table(
    "root_keys",
    metadata,
    sa.Column("root_id", sa.Integer, primary_key=True),
    sa.Column("sealed", Bytes, nullable=False),
    sa.Column("created_at", _number(), nullable=False),
    sa.Column("kind", _text(32)),
    sa.Column("parameters", _text()),
)

#: Wrapped under the root key; the newest wraps. ``retired_at``: when nothing that is kept was under it any more.
keyring_keys = sa.Table(
    "keyring_keys",
    metadata,
    sa.Column("keyring_version", sa.Integer, primary_key=True),
    sa.Column("wrapped", Bytes, nullable=False),
    sa.Column("created_at", _number(), nullable=False),
    sa.Column("retired_at", _number()),
)

#: Users, groups, roles, and the root of each account. One row holds all that an identity is and may: who can remove
#: rows cannot take a policy that denies, or a boundary, away from it.
principals = sa.Table(
    "principals",
    metadata,
    sa.Column("principal_id", _text(64), primary_key=True),
    sa.Column("account", _text(12), nullable=False),
    sa.Column("kind", _text(16), nullable=False),
    sa.Column("name", _text(128), nullable=False),
    sa.Column("policy", _text()),  # of revision 0001: an inline policy without a name
    *_authority(),
    sa.Column("path", _text(512)),
    sa.Column("created_at", _number()),
    sa.Column("tags", _text()),
    sa.Column("inline", _text()),
    sa.Column("attached", _text()),
    sa.Column("boundary", _text(2048)),
    sa.Column("member_of", _text()),
    sa.Column("trust", _text()),
    sa.Column("bound", _text()),
    sa.Column("max_session", sa.Integer),
    sa.Column("description", _text()),
    sa.UniqueConstraint("account", "kind", "name", name="principals_by_name"),
)

managed_policies = sa.Table(
    "managed_policies",
    metadata,
    sa.Column("policy_id", _text(64), primary_key=True),
    sa.Column("account", _text(12), nullable=False),
    sa.Column("name", _text(128), nullable=False),
    sa.Column("path", _text(512), nullable=False),
    sa.Column("description", _text(), nullable=False),
    sa.Column("created_at", _number(), nullable=False),
    sa.Column("updated_at", _number(), nullable=False),
    sa.Column("versions", _text(), nullable=False),
    sa.Column("default_version", _text(16), nullable=False),
    sa.Column("last_version", sa.Integer, nullable=False),
    sa.Column("tags", _text(), nullable=False),
    *_authority(),
    sa.UniqueConstraint("account", "name", name="managed_policies_by_name"),
)

#: ``jwks`` is None where the keys are fetched from the provider.
oidc_providers = sa.Table(
    "oidc_providers",
    metadata,
    sa.Column("account", _text(12), primary_key=True),
    sa.Column("url", _text(255), primary_key=True),
    sa.Column("client_ids", _text(), nullable=False),
    sa.Column("thumbprints", _text(), nullable=False),
    sa.Column("jwks", _text()),
    sa.Column("created_at", _number(), nullable=False),
    sa.Column("tags", _text(), nullable=False),
    *_authority(),
)

access_keys = sa.Table(
    "access_keys",
    metadata,
    sa.Column("access_key_id", _text(128), primary_key=True),
    sa.Column("principal_id", _text(64), sa.ForeignKey("principals.principal_id"), nullable=False),
    sa.Column("keyring_version", sa.Integer, nullable=False),
    sa.Column("wrapped_secret", Bytes, nullable=False),
    sa.Column("created_at", _number(), nullable=False),
    *_authority(),
    sa.Column("status", _text(16)),
    sa.Column("public_key", Bytes),
    sa.Index("access_keys_by_principal", "principal_id"),
    sa.Index("access_keys_by_keyring_version", "keyring_version"),
)

#: The last use of each access key. It carries no authority, and is written in batches.
access_key_usage = sa.Table(
    "access_key_usage",
    metadata,
    sa.Column("access_key_id", _text(128), sa.ForeignKey("access_keys.access_key_id"), primary_key=True),
    sa.Column("used_at", _number(), nullable=False),
    sa.Column("service", _text(16), nullable=False),
    sa.Column("region", _text(32), nullable=False),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("key_id", _text(64), primary_key=True),
    sa.Column("region", _text(32), primary_key=True),
    sa.Column("account", _text(12), nullable=False),
    sa.Column("spec", _text(32), nullable=False),
    sa.Column("usage", _text(32), nullable=False),
    sa.Column("origin", _text(32), nullable=False),
    sa.Column("state", _text(32), nullable=False),
    sa.Column("description", _text(), nullable=False),
    sa.Column("created_at", _number(), nullable=False),
    sa.Column("material_id", _text(64), nullable=False),
    sa.Column("primary_region", _text(32)),
    sa.Column("deletion_date", _number()),
    sa.Column("pending_window", sa.Integer),
    sa.Column("rotation_period", sa.Integer),
    sa.Column("next_rotation", _number()),
    sa.Column("on_demand_rotations", sa.Integer, nullable=False),
    sa.Column("tags", _text(), nullable=False),
    *_authority(),
    sa.Index("keys_by_place", "account", "region", "key_id", unique=True),
    sa.Index("keys_by_state", "account", "region", "state", "key_id"),
    sa.Index("keys_by_deletion_date", "deletion_date"),
    sa.Index("keys_by_next_rotation", "next_rotation"),
)

#: ``wrapped_row`` is None while there is no material: imported, and deleted or expired since.
key_materials = sa.Table(
    "key_materials",
    metadata,
    sa.Column("key_id", _text(64), primary_key=True),
    sa.Column("region", _text(32), primary_key=True),
    sa.Column("material_id", _text(64), primary_key=True),
    sa.Column("state", _text(48), nullable=False),
    sa.Column("keyring_version", sa.Integer, nullable=False),
    sa.Column("wrapped_row", _counted()),
    sa.Column("created_at", _number(), nullable=False),
    sa.Column("rotated_at", _number()),
    sa.Column("rotation_type", _text(16)),
    sa.Column("valid_to", _number()),
    sa.Column("description", _text()),
    *_authority(),
    sa.ForeignKeyConstraint(["key_id", "region"], ["keys.key_id", "keys.region"]),
    sa.Index("key_materials_by_valid_to", "valid_to"),
    sa.Index("key_materials_by_keyring_version", "keyring_version"),
)

#: Wrapped key material, which proves itself when it is opened. Rows are appended, and overwritten in place by zeros of
#: the same length; none is ever removed or made longer. So SQLite has no cause to move one, and no page keeps a copy of
#: what was destroyed.
wrapped_materials = sa.Table(
    "wrapped_materials",
    metadata,
    _row(),
    sa.Column("wrapped", Bytes, nullable=False),
    sqlite_autoincrement=True,
)

key_policies = sa.Table(
    "key_policies",
    metadata,
    sa.Column("key_id", _text(64), primary_key=True),
    sa.Column("region", _text(32), primary_key=True),
    sa.Column("name", _text(128), primary_key=True),
    sa.Column("document", _text(), nullable=False),
    *_authority(),
    sa.Column("bound", _text()),
    sa.ForeignKeyConstraint(["key_id", "region"], ["keys.key_id", "keys.region"]),
)

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("account", _text(12), primary_key=True),
    sa.Column("region", _text(32), primary_key=True),
    sa.Column("name", _text(256), primary_key=True),
    sa.Column("key_id", _text(64), nullable=False),
    sa.Column("created_at", _number(), nullable=False),
    sa.Column("updated_at", _number(), nullable=False),
    *_authority(),
    sa.ForeignKeyConstraint(["key_id", "region"], ["keys.key_id", "keys.region"]),
    sa.Index("aliases_by_key", "key_id", "region"),
)

grants = sa.Table(
    "grants",
    metadata,
    sa.Column("grant_id", _text(64), primary_key=True),
    sa.Column("key_id", _text(64), nullable=False),
    sa.Column("region", _text(32), nullable=False),
    sa.Column("name", _text(256)),
    sa.Column("grantee", _text(256), nullable=False),
    sa.Column("retiring", _text(256)),
    sa.Column("issuing_account", _text(12), nullable=False),
    sa.Column("operations", _text(), nullable=False),
    sa.Column("constraints", _text()),
    sa.Column("created_at", _number(), nullable=False),
    sa.Column("grantee_is_service", sa.Integer, nullable=False),
    sa.Column("retiring_is_service", sa.Integer, nullable=False),
    *_authority(),
    sa.Column("grantee_id", _text(256)),
    sa.Column("retiring_id", _text(256)),
    sa.Index("grants_by_grantee", "key_id", "region", "grantee"),
    sa.Index("grants_by_grantee_id", "key_id", "region", "grantee_id"),
    sa.ForeignKeyConstraint(["key_id", "region"], ["keys.key_id", "keys.region"]),
    sa.Index("grants_by_key", "key_id", "region", "grant_id"),
    sa.Index("grants_by_retiring", "retiring", "region", "grant_id"),
)

#: The last use of each key. It carries no authority, and is written in batches.
key_usage = sa.Table(
    "key_usage",
    metadata,
    sa.Column("key_id", _text(64), primary_key=True),
    sa.Column("region", _text(32), primary_key=True),
    sa.Column("operation", _text(48), nullable=False),
    sa.Column("used_at", _number(), nullable=False),
    sa.Column("event_id", _text(36), nullable=False),
    sa.Column("request_id", _text(36), nullable=False),
    sa.ForeignKeyConstraint(["key_id", "region"], ["keys.key_id", "keys.region"]),
)

#: A key ID is never given out twice, and a row in here speaks against one of the same name in ``keys``.
deleted_keys = sa.Table(
    "deleted_keys",
    metadata,
    sa.Column("key_id", _text(64), primary_key=True),
    sa.Column("region", _text(32), primary_key=True),
    sa.Column("account", _text(12), nullable=False),
    sa.Column("deleted_at", _number(), nullable=False),
    *_authority(),
)

#: Destroyed material of which a file may still hold the wrapped form. A row goes when that has been recorded.
erasures = sa.Table(
    "erasures",
    metadata,
    _row(),
    sa.Column("key_id", _text(64), nullable=False),
    sa.Column("region", _text(32), nullable=False),
    sa.Column("account", _text(12), nullable=False),
    sa.Column("mac", Bytes, nullable=False),
    sqlite_autoincrement=True,
)

#: What may be used once and was, until it would have expired by itself.
spent_tokens = sa.Table(
    "spent_tokens",
    metadata,
    sa.Column("token_id", _text(64), primary_key=True),
    sa.Column("expires_at", _number(), nullable=False),
    sa.Index("spent_tokens_by_expiry", "expires_at"),
)

#: Audit records of committed changes, until they are known to be in the audit file of their writer.
audit_outbox = sa.Table(
    "audit_outbox",
    metadata,
    _row(),
    sa.Column("writer", sa.Integer, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("event_id", _text(36), nullable=False),
    sa.Column("record", Bytes, nullable=False),
    sa.Column("mac", Bytes, nullable=False),
    sa.Column("node", _text(32)),
    sqlite_autoincrement=True,
)
