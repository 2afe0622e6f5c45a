# SPDX-License-Identifier: Apache-2.0
"""Identities with policies, and what key policies and grants are bound to.

Columns are added at the end and may be null: what is null has no part in a row's MAC, so rows keep the one they have.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ADDED: dict[str, list[sa.Column[Any]]] = {
    "principals": [
        sa.Column("path", sa.String(length=512)),
        sa.Column("created_at", sa.Float()),
        sa.Column("tags", sa.Text()),
        sa.Column("inline", sa.Text()),
        sa.Column("attached", sa.Text()),
        sa.Column("boundary", sa.String(length=2048)),
        sa.Column("member_of", sa.Text()),
        sa.Column("trust", sa.Text()),
        sa.Column("bound", sa.Text()),
        sa.Column("max_session", sa.Integer()),
        sa.Column("description", sa.Text()),
    ],
    "access_keys": [sa.Column("status", sa.String(length=16)), sa.Column("public_key", sa.LargeBinary())],
    "key_policies": [sa.Column("bound", sa.Text())],
    "grants": [
        sa.Column("grantee_id", sa.String(length=256)),
        sa.Column("retiring_id", sa.String(length=256)),
    ],
}


def upgrade() -> None:
    for table, columns in _ADDED.items():
        for column in columns:
            op.add_column(table, column)
    op.create_index("access_keys_by_principal", "access_keys", ["principal_id"])
    op.create_index("grants_by_grantee", "grants", ["key_id", "region", "grantee"])
    op.create_index("grants_by_grantee_id", "grants", ["key_id", "region", "grantee_id"])
    op.create_table(
        "managed_policies",
        sa.Column("policy_id", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.Column("default_version", sa.String(length=16), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("policy_id"),
        sa.UniqueConstraint("account", "name", name="managed_policies_by_name"),
    )
    op.create_table(
        "oidc_providers",
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("url", sa.String(length=255), nullable=False),
        sa.Column("client_ids", sa.Text(), nullable=False),
        sa.Column("thumbprints", sa.Text(), nullable=False),
        sa.Column("jwks", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("account", "url"),
    )
    op.create_table(
        "access_key_usage",
        sa.Column("access_key_id", sa.String(length=128), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.Column("service", sa.String(length=16), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["access_key_id"], ["access_keys.access_key_id"]),
        sa.PrimaryKeyConstraint("access_key_id"),
    )
