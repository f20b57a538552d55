"""Alembic's entry: the connection, and the transaction around it, come from our own code."""

from __future__ import annotations

from alembic import context

from goodpart.records.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
