"""Alembic's entry: run the migrations on the connection that :mod:`dynwork.orchestrator.store.migrate` hands over."""

from alembic import context

from dynwork.orchestrator.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
    render_as_batch=True,
)
context.run_migrations()
