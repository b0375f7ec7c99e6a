"""The history of the SQL schema. Alembic loads it by path; ``persistence.migrate`` runs it."""
