# SPDX-License-Identifier: Apache-2.0
"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_outbox",
        sa.Column("row", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("writer", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("row"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deleted_keys",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("deleted_at", sa.Float(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "region"),
    )
    op.create_table(
        "erasures",
        sa.Column("row", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("row"),
        sqlite_autoincrement=True,
    )
    op.create_table("generation", sa.Column("value", sa.BigInteger(), nullable=False))
    op.create_table(
        "keyring_keys",
        sa.Column("keyring_version", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("keyring_version"),
    )
    op.create_table(
        "keys",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("spec", sa.String(length=32), nullable=False),
        sa.Column("usage", sa.String(length=32), nullable=False),
        sa.Column("origin", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("material_id", sa.String(length=64), nullable=False),
        sa.Column("primary_region", sa.String(length=32), nullable=True),
        sa.Column("deletion_date", sa.Float(), nullable=True),
        sa.Column("pending_window", sa.Integer(), nullable=True),
        sa.Column("rotation_period", sa.Integer(), nullable=True),
        sa.Column("next_rotation", sa.Float(), nullable=True),
        sa.Column("on_demand_rotations", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "region"),
    )
    op.create_index("keys_by_deletion_date", "keys", ["deletion_date"], unique=False)
    op.create_index("keys_by_next_rotation", "keys", ["next_rotation"], unique=False)
    op.create_index("keys_by_place", "keys", ["account", "region", "key_id"], unique=True)
    op.create_table(
        "principals",
        sa.Column("principal_id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("policy", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("principal_id"),
        sa.UniqueConstraint("account", "kind", "name", name="principals_by_name"),
    )
    op.create_table(
        "root_keys",
        sa.Column("root_id", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("root_id"),
    )
    op.create_table(
        "wrapped_materials",
        sa.Column("row", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("row"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "access_keys",
        sa.Column("access_key_id", sa.String(length=128), nullable=False),
        sa.Column("principal_id", sa.String(length=64), nullable=False),
        sa.Column("keyring_version", sa.Integer(), nullable=False),
        sa.Column("wrapped_secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["principal_id"],
            ["principals.principal_id"],
        ),
        sa.PrimaryKeyConstraint("access_key_id"),
    )
    op.create_table(
        "aliases",
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id", "region"],
            ["keys.key_id", "keys.region"],
        ),
        sa.PrimaryKeyConstraint("account", "region", "name"),
    )
    op.create_index("aliases_by_key", "aliases", ["key_id", "region"], unique=False)
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=True),
        sa.Column("grantee", sa.String(length=256), nullable=False),
        sa.Column("retiring", sa.String(length=256), nullable=True),
        sa.Column("issuing_account", sa.String(length=12), nullable=False),
        sa.Column("operations", sa.Text(), nullable=False),
        sa.Column("constraints", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("grantee_is_service", sa.Integer(), nullable=False),
        sa.Column("retiring_is_service", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id", "region"],
            ["keys.key_id", "keys.region"],
        ),
        sa.PrimaryKeyConstraint("grant_id"),
    )
    op.create_index("grants_by_key", "grants", ["key_id", "region", "grant_id"], unique=False)
    op.create_index("grants_by_retiring", "grants", ["retiring", "region", "grant_id"], unique=False)
    op.create_table(
        "key_materials",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("material_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=48), nullable=False),
        sa.Column("keyring_version", sa.Integer(), nullable=False),
        sa.Column("wrapped_row", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("rotated_at", sa.Float(), nullable=True),
        sa.Column("rotation_type", sa.String(length=16), nullable=True),
        sa.Column("valid_to", sa.Float(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id", "region"],
            ["keys.key_id", "keys.region"],
        ),
        sa.PrimaryKeyConstraint("key_id", "region", "material_id"),
    )
    op.create_index("key_materials_by_valid_to", "key_materials", ["valid_to"], unique=False)
    op.create_table(
        "key_policies",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id", "region"],
            ["keys.key_id", "keys.region"],
        ),
        sa.PrimaryKeyConstraint("key_id", "region", "name"),
    )
    op.create_table(
        "key_usage",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("operation", sa.String(length=48), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id", "region"],
            ["keys.key_id", "keys.region"],
        ),
        sa.PrimaryKeyConstraint("key_id", "region"),
    )
    op.execute("INSERT INTO generation (value) VALUES (0)")
