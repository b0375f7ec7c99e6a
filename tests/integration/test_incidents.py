"""What SQL remembers of Redis, on each SQL engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from gateway.installation import Hold, Incident, IncidentKind, Reached, Touched
from persistence import models
from persistence.database import Database
from persistence.incidents import SqlInstallation
from persistence.models import table_of
from persistence.sync import store
from persistence.sync.fold import fold
from tests.fixtures.app import ManualClock
from tests.unit.persistence.entries import History, customer, lock

PARTITIONS = range(3)
CURSORS, INCIDENTS = table_of(models.Cursor), table_of(models.Incident)
CUSTOMERS, INSTALLATION = table_of(models.Customer), table_of(models.Installation)
ANN: dict[str, Any] = {"customer_id": "ann", "internal_id": "cus_ann"}
BOB: dict[str, Any] = {"customer_id": "bob", "internal_id": "cus_bob"}


@pytest.fixture
async def database(engine: Engine) -> AsyncIterator[Database]:
    store.claim_installation(engine, len(PARTITIONS))
    store.open_cursors(engine, PARTITIONS)
    made = Database(engine, threads=2, answer_ms=None)
    yield made
    await made.close()


@pytest.fixture
def installation(database: Database) -> SqlInstallation:
    return SqlInstallation(database, ManualClock())


def incident(from_id: str = "3-0", run_id: str = "run_2", reseeded: int = 4) -> Incident:
    kind = IncidentKind.REDIS_BEHIND
    return Incident(kind, 1, from_id, "9-0", None, reseeded, run_id, "Redis is older than SQL")


def set_cursor(engine: Engine, partition: int, **values: object) -> None:
    with engine.begin() as connection:
        one = update(CURSORS).where(CURSORS.c.partition == partition)
        connection.execute(one.values(**values))


def leases(engine: Engine) -> Sequence[tuple[str, int]]:
    with engine.connect() as connection:
        rows = connection.execute(
            select(CURSORS.c.owner, CURSORS.c.epoch).order_by(CURSORS.c.partition)
        )
        return [tuple(row) for row in rows]


def incidents(engine: Engine) -> Sequence[tuple[str, int, int | None]]:
    columns = (INCIDENTS.c.from_id, INCIDENTS.c.reseeded, INCIDENTS.c.ended_at)
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).order_by(INCIDENTS.c.from_id))
        return [tuple(row) for row in rows]


async def test_a_new_installation_has_a_name_and_no_past(
    installation: SqlInstallation,
) -> None:
    past = await installation.past()
    assert past.identity.startswith("inst_")
    assert past.run_id == await installation.admitted() == ""
    assert past.reached == dict.fromkeys(PARTITIONS, Reached())
    assert past.is_empty


async def test_a_fence_takes_every_lease_and_tells_what_is_known_then(
    installation: SqlInstallation, engine: Engine
) -> None:
    set_cursor(engine, 1, stream_id="5-0", seen_id="8-0", owner="wri_1", epoch=3)
    past = await installation.fence([0, 1], "run_2")
    assert past.run_id == await installation.admitted() == "run_2"
    assert past.reached[1] == Reached("5-0", "8-0")
    assert not past.is_empty
    assert leases(engine) == [("", 1), ("", 4), ("", 0)]


async def test_customers_are_found_by_when_sql_last_heard_of_them(
    installation: SqlInstallation, engine: Engine
) -> None:
    names = {"cus_1": 10, "cus_2": 20, "cus_3": 20, "cus_4": 30}
    rows = [
        {
            "internal_id": name,
            "env": "live",
            "id": name,
            "email": "4@b.c" if name == "cus_4" else None,
            "document": "{}",
            "created_at": 1,
            "deleted_at": 2 if name == "cus_4" else None,
            "seq": 1,
            "counter": 0,
            "number_max": 0,
            "applied_ms": applied_ms,
        }
        for name, applied_ms in names.items()
    ]
    with engine.begin() as connection:
        connection.execute(insert(CUSTOMERS), rows)
    first = await installation.touched(20, None, 2)
    assert first == [Touched(20, "cus_2", "live", "cus_2"), Touched(20, "cus_3", "live", "cus_3")]
    last = Touched(30, "cus_4", "live", "cus_4", "4@b.c")
    assert await installation.touched(20, first[-1], 2) == [last]
    assert await installation.touched(31, None, 2) == []


async def test_open_locks_are_found_in_pages(installation: SqlInstallation, engine: Engine) -> None:
    history = History()
    history.add(customer(), lock("a", at_ms=5), lock("b", at_ms=3), **ANN)
    history.add(customer(), lock("a", at_ms=9), lock("c", state="released"), **BOB)
    expected = store.open_cursors(engine, [history.partition])
    store.apply(engine, fold(history.entries), expected=expected, now_ms=1)
    first = await installation.holds(None, 2)
    assert first == [
        Hold("cus_ann", "a", "sandbox", "ann", 5),
        Hold("cus_ann", "b", "sandbox", "ann", 3),
    ]
    last = Hold("cus_bob", "a", "sandbox", "bob", 9)
    assert await installation.holds(first[-1], 2) == [last]
    assert await installation.holds(last, 2) == []


async def test_an_incident_that_is_found_again_stays_one_row(
    installation: SqlInstallation, engine: Engine
) -> None:
    assert await installation.report([incident()], {}) == 1
    assert await installation.report([incident(reseeded=1), incident("4-0")], {}) == 1
    assert await installation.report([incident(run_id="run_3")], {}) == 1
    assert incidents(engine) == [("3-0", 4, None), ("3-0", 4, None), ("4-0", 4, None)]


async def test_a_server_that_is_emptied_again_is_another_incident(
    installation: SqlInstallation, engine: Engine
) -> None:
    kind = IncidentKind.REDIS_FLUSHED
    first = Incident(kind, 1, "0-0", "9-0", None, 4, "run_2", "SQL has everything up to 9")
    again = first._replace(to_id="12-0", detail="SQL has everything up to 12")
    assert await installation.report([first], {}) == 1
    assert await installation.report([first._replace(reseeded=0)], {}) == 0
    assert await installation.report([again], {}) == 1
    assert incidents(engine) == [("0-0", 4, None), ("0-0", 4, None)]


async def test_what_was_seen_and_lost_is_told_once(
    installation: SqlInstallation, engine: Engine
) -> None:
    set_cursor(engine, 1, stream_id="5-0", seen_id="9-0")
    await installation.report([incident()], {1: "5-0"})
    assert (await installation.past()).reached[1] == Reached("5-0", "5-0")


async def test_admission_ends_what_was_open(installation: SqlInstallation, engine: Engine) -> None:
    await installation.fence(PARTITIONS, "run_2")
    await installation.report([incident()], {})
    assert await installation.admit("run_2")
    assert incidents(engine) == [("3-0", 4, ManualClock().now_ms())]


async def test_a_server_is_not_admitted_when_another_one_was_set_meanwhile(
    installation: SqlInstallation, engine: Engine
) -> None:
    await installation.report([incident()], {})
    await installation.fence(PARTITIONS, "run_2")
    await installation.fence(PARTITIONS, "run_3")
    assert not await installation.admit("run_2")
    assert await installation.admitted() == "run_3"
    assert incidents(engine) == [("3-0", 4, None)]
    assert await installation.admit("run_3")
