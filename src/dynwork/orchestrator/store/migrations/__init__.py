"""Alembic migrations. They only ever expand within one release; what is no longer used goes in the next."""
