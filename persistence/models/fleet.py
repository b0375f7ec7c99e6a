"""The tables of the processes themselves: which installation this is, who writes which partition,
how far SQL has come, and when Redis was not what SQL knows of it.
"""

from __future__ import annotations

from sqlalchemy import Index, text

from persistence.models.base import Base, Field, column, conditional

_OPEN = text("ended_at IS NULL")


class Installation(Base):
    """One row: what is fixed for the life of the data, and the Redis that was last trusted.

    ``identity`` stands in Redis too, so that a server of another installation is recognised;
    ``run_id`` is that of the server process whose streams were last compared with the cursors.
    Writer: ``store`` at the first start, ``incidents`` after that.
    """

    __tablename__ = "installation"

    id: Field[int] = column(primary_key=True, autoincrement=False)
    partitions: Field[int]
    identity: Field[str]
    run_id: Field[str]


class Cursor(Base):
    """The last stream entry of a partition that SQL holds, and the lease on writing it.

    ``owner`` is the writer process that may move it, empty when it is free; ``epoch`` grows when
    the owner changes or the partition is fenced, and a batch of an older epoch is refused.
    ``seen_id`` is the newest entry any process has seen in Redis, applied or not. Writer: ``store``
    moves it, ``leases`` gives it away, ``incidents`` fences it.
    """

    __tablename__ = "cursors"

    partition: Field[int] = column(primary_key=True, autoincrement=False)
    stream_id: Field[str]
    updated_at_ms: Field[int]
    applied: Field[int]
    owner: Field[str]
    epoch: Field[int]
    seen_id: Field[str]


class WriterProcess(Base):
    """A writer that runs: ``beat`` grows while it does. Writer: ``leases``."""

    __tablename__ = "writers"

    id: Field[str] = column(primary_key=True)
    beat: Field[int]
    started_at: Field[int]


class Incident(Base):
    """A time when Redis was not what SQL knows of it. Writer: ``incidents``.

    ``partition`` is None for the whole installation. Entries after ``from_id`` up to ``to_id`` are
    those in question: ``lost`` of them are in neither store (None: nobody can tell), and
    ``reseeded`` customers were taken out of Redis, to come back from SQL.
    """

    __tablename__ = "incidents"

    id: Field[str] = column(primary_key=True)
    kind: Field[str]
    partition: Field[int | None]
    from_id: Field[str]
    to_id: Field[str]
    lost: Field[int | None]
    reseeded: Field[int]
    run_id: Field[str]
    detail: Field[str]
    at_ms: Field[int]
    ended_at: Field[int | None]

    __table_args__ = (
        Index("ix_incidents_newest", "at_ms", "id"),
        conditional("ix_incidents_open", "at_ms", where=_OPEN),
    )


class DeadLetter(Base):
    """An entry the writer could not apply, byte for byte. Writer: ``store``."""

    __tablename__ = "dead_letters"

    partition: Field[int] = column(primary_key=True, autoincrement=False)
    stream_id: Field[str] = column(primary_key=True)
    payload: Field[bytes]
    error: Field[str]
    at_ms: Field[int]
