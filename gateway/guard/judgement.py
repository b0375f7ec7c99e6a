"""Is this Redis what SQL knows of it? Pure: both sides come in as they were read, findings go out.

SQL has to be read before Redis: a healthy stream is never below a cursor that was read earlier. The
one judgement that needs a later reading is ``is_sql_behind``: a writer may carry and trim between
the two, so it is asked again with the cursor read anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.installation import Incident, IncidentKind, Past, Reached
from gateway.stream_ids import BEGINNING, place


class Label(NamedTuple):
    """What ``tg:installation`` holds: the partition count and the identity, None if not there."""

    partitions: str | None = None
    identity: str | None = None


class Stream(NamedTuple):
    """An outbox as XINFO shows it, and the seal beside it."""

    first: str | None = None
    last: str = BEGINNING
    length: int = 0
    added: int = 0
    seal: str | None = None


class Finding(NamedTuple):
    """Entries after ``from_id`` up to ``to_id``, the newest anybody knows of, are missing in Redis
    or in SQL.
    """

    partition: int
    kind: IncidentKind
    from_id: str
    to_id: str

    @property
    def needs_repair(self) -> bool:
        """Whether customers in Redis may be older than SQL."""
        return self.kind in {IncidentKind.REDIS_BEHIND, IncidentKind.REDIS_FLUSHED}


class ForeignError(Exception):
    """Redis and SQL do not belong together; the text says which is to blame, if that is clear."""


def expects_seals(label: Label, past: Past, streams: Mapping[int, Stream]) -> bool:
    """Whether a partition without its seal has lost what it had. Raises ``ForeignError`` when Redis
    and SQL do not belong together.

    A Redis without a label was emptied, or is new. One whose label has no identity was labelled by
    a release that knew none: it is adopted where every stream has come as far as its cursor.
    """
    if label.identity is not None:
        if label.identity == past.identity:
            return True
        raise ForeignError(foreign(label.identity, past))
    has_past = any(stream.last != BEGINNING for stream in streams.values())
    if has_past and past.is_empty:
        raise ForeignError(
            "Redis holds changes and SQL has never seen any: "
            "the database is not the one this Redis belongs to"
        )
    if label.partitions is None:
        return True
    if any(_is_behind(past, at, stream) for at, stream in streams.items()) and has_past:
        raise ForeignError(
            "Redis does not say which installation it belongs to, and its streams are not those "
            "SQL has followed: the Redis is not the one this database belongs to"
        )
    return not has_past


def foreign(identity: str, past: Past) -> str:
    """Return what is wrong when Redis belongs to an installation that is not SQL's."""
    if past.is_empty:
        return (
            f"Redis belongs to installation {identity}, and this database is new: "
            "the database is not the one this Redis belongs to"
        )
    return (
        f"Redis belongs to installation {identity}, the database to {past.identity}: "
        "the Redis URL or the database URL is wrong"
    )


def judge(past: Past, streams: Mapping[int, Stream], *, expects_seals: bool) -> Iterable[Finding]:
    """Return what is wrong, at most one finding for each partition."""
    for at, stream in sorted(streams.items()):
        reached = past.reached.get(at, Reached())
        finding = _judge_one(at, reached, stream, sealed=not expects_seals or bool(stream.seal))
        if finding is not None:
            yield finding


def _judge_one(at: int, reached: Reached, stream: Stream, *, sealed: bool) -> Finding | None:
    cursor, seen, last = place(reached.cursor), place(reached.seen), place(stream.last)
    newest = max(reached.cursor, reached.seen, key=place)
    if not sealed and (cursor, seen) != (place(BEGINNING), place(BEGINNING)):
        return Finding(at, IncidentKind.REDIS_FLUSHED, BEGINNING, newest)
    if last < cursor:
        return Finding(at, IncidentKind.REDIS_BEHIND, stream.last, newest)
    if last < seen:
        return Finding(at, IncidentKind.ENTRIES_LOST, stream.last, reached.seen)
    if is_sql_behind(reached, stream):
        return Finding(at, IncidentKind.SQL_BEHIND, reached.cursor, stream.first or stream.last)
    return None


def is_sql_behind(reached: Reached, stream: Stream) -> bool:
    """Whether entries beyond the cursor are not in the stream any more.

    The writer leaves the entry at the cursor where it is, so the oldest one is never newer.
    """
    if place(stream.last) <= place(reached.cursor):
        return False
    if reached.cursor == BEGINNING:
        return stream.added > stream.length
    return stream.first is None or place(stream.first) > place(reached.cursor)


def _is_behind(past: Past, at: int, stream: Stream) -> bool:
    return place(stream.last) < place(past.reached.get(at, Reached()).cursor)


def incident_of(finding: Finding, reached: Reached, reseeded: int, run_id: str) -> Incident:
    """Return what is kept of a finding; ``reseeded`` customers were taken out for it."""
    since = datetime.fromtimestamp(place(reached.cursor)[0] / 1000, UTC)
    return Incident(
        kind=finding.kind,
        partition=finding.partition,
        from_id=finding.from_id,
        to_id=finding.to_id,
        # Entries nobody saw leave no trace; what can be told is since when there may be some.
        lost=None,
        reseeded=reseeded,
        run_id=run_id,
        detail=f"{_DETAILS[finding.kind]}; SQL has everything up to {since:%Y-%m-%d %H:%M:%S.%f}",
    )


_DETAILS = {
    IncidentKind.REDIS_BEHIND: "Redis is older than SQL",
    IncidentKind.REDIS_FLUSHED: "Redis was emptied",
    IncidentKind.ENTRIES_LOST: "Redis lost entries that SQL had not got",
    IncidentKind.SQL_BEHIND: "SQL is older than Redis and lacks entries that were trimmed",
}
