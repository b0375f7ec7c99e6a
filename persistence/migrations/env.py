"""Run the migrations on the connection ``persistence.migrate`` hands over.

It never connects by itself: the caller holds the lock and the transaction.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
