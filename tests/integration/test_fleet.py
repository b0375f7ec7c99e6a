"""What SQL knows of the installation: its revision, who writes what, incidents."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, insert

from gateway.installation import IncidentsHealth
from persistence import migrate
from persistence.database import Database, write_transaction
from persistence.fleet import INCIDENTS_MAX, Fleet, SqlFleet
from persistence.models.fleet import Cursor, Incident


async def read(engine: Engine) -> Fleet:
    database = Database(engine, threads=1, answer_ms=None)
    return await SqlFleet(database).read()


def own(engine: Engine, **owners: str) -> None:
    """Give partitions, p0 and so on, to writers."""
    rows = [
        {
            "partition": int(name[1:]),
            "stream_id": "0-0",
            "updated_at_ms": 0,
            "applied": 0,
            "owner": owner,
            "epoch": 1,
            "seen_id": "0-0",
        }
        for name, owner in owners.items()
    ]
    with write_transaction(engine) as connection:
        connection.execute(insert(Cursor), rows)


def happen(engine: Engine, at_ms: int, ended_at: int | None, partition: int | None = 3) -> None:
    """Write an incident down."""
    row = {
        "id": f"inc_{at_ms}",
        "kind": "redis_behind",
        "partition": partition,
        "from_id": "5-0",
        "to_id": "9-0",
        "lost": None,
        "reseeded": 2,
        "run_id": "abc",
        "detail": "org_1 and one more",
        "at_ms": at_ms,
        "ended_at": ended_at,
    }
    with write_transaction(engine) as connection:
        connection.execute(insert(Incident), [row])


async def test_a_new_installation_has_its_revision_and_nothing_else(engine: Engine) -> None:
    fleet = await read(engine)

    assert fleet == Fleet(migrate.head(), {}, IncidentsHealth(open=0, newest=[]))


async def test_partitions_are_counted_by_their_writer(engine: Engine) -> None:
    own(engine, p0="wri_a", p1="wri_b", p2="wri_a", p3="")

    assert (await read(engine)).owned == {"": 1, "wri_a": 2, "wri_b": 1}


async def test_open_incidents_come_first_and_the_newest_of_each(engine: Engine) -> None:
    for at_ms, ended_at in ((10, None), (20, 21), (30, None), (40, 41)):
        happen(engine, at_ms, ended_at)

    incidents = (await read(engine)).incidents

    assert incidents.open == 2
    assert [one.at_ms for one in incidents.newest] == [30, 10, 40, 20]


async def test_an_incident_is_shown_without_what_may_name_a_customer(engine: Engine) -> None:
    happen(engine, 10, None, partition=None)

    (shown,) = (await read(engine)).incidents.newest

    assert (shown.kind, shown.partition, shown.lost, shown.reseeded) == (
        "redis_behind",
        None,
        None,
        2,
    )
    assert (shown.from_id, shown.to_id, shown.ended_at) == ("5-0", "9-0", None)
    assert "org_1" not in str(shown)


@pytest.mark.parametrize("ended_at", [None, 99])
async def test_the_list_is_bounded_and_the_count_is_not(
    engine: Engine, ended_at: int | None
) -> None:
    for at_ms in range(INCIDENTS_MAX + 5):
        happen(engine, at_ms, ended_at)

    incidents = (await read(engine)).incidents

    assert len(incidents.newest) == INCIDENTS_MAX
    assert incidents.open == (INCIDENTS_MAX + 5 if ended_at is None else 0)
