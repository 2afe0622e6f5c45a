# SPDX-License-Identifier: Apache-2.0
"""Alembic's environment: always on the connection, and in the transaction, that ``store.migrate`` hands over."""

from alembic import context

from keyquorum.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
