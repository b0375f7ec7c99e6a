"""SQL: what the outbox leaves there, who may read it, and the writer in between."""
