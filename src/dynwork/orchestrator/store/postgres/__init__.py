"""The PostgreSQL engine: any number of orchestrators over one database.

The transactions are SQLite's, run through asyncpg. Each writes with READ COMMITTED and locks what it changes, in one
order everywhere (:mod:`~dynwork.orchestrator.store.batch`); reads have connections of their own and see one snapshot.
"""

from dynwork.orchestrator.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
