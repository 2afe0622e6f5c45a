# SPDX-License-Identifier: Apache-2.0
"""Several nodes on one database, seals of several kinds, what re-wrapping looks for, and what can be used once."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("slots", sa.LargeBinary(), nullable=True),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    compatibility = op.create_table("schema_compatibility", sa.Column("oldest", sa.String(length=32), nullable=False))
    op.bulk_insert(compatibility, [{"oldest": "0003"}])
    op.create_table(
        "spent_tokens",
        sa.Column("token_id", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("token_id"),
    )
    op.add_column("root_keys", sa.Column("kind", sa.String(length=32)))
    op.add_column("root_keys", sa.Column("parameters", sa.Text()))
    op.add_column("keyring_keys", sa.Column("retired_at", sa.Float()))
    op.add_column("audit_outbox", sa.Column("node", sa.String(length=32)))
    op.create_index("spent_tokens_by_expiry", "spent_tokens", ["expires_at"])
    op.create_index("keys_by_state", "keys", ["account", "region", "state", "key_id"])
    op.create_index("access_keys_by_keyring_version", "access_keys", ["keyring_version"])
    op.create_index("key_materials_by_keyring_version", "key_materials", ["keyring_version"])
