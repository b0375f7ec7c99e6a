"""/health and /ready of a gateway on every real part."""

from __future__ import annotations

import pytest
from sqlalchemy import text, update

from gateway import health_probe, metrics
from gateway.app import Runtime
from gateway.keys import outbox_key
from gateway.outbox import FIELD
from gateway.release import package_version
from gateway.wall import SystemClock
from persistence import migrate
from persistence.database import write_transaction
from persistence.models.fleet import Cursor
from tests.fixtures.app import Api
from tests.integration.test_fleet import happen
from tests.waiting import WAIT_SECONDS, until


async def health(api: Api) -> dict[str, object]:
    answer = await api.fetch("/health")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, object] = answer.body
    return body


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what other tests of this process left in the gauges, and be patient with all parts."""
    for gauge in (metrics.fenced, metrics.breaker_open, metrics.drift_balances):
        gauge.set(0)
    for name in ("ANSWER_SECONDS", "ASK_SECONDS"):
        monkeypatch.setattr(health_probe, name, WAIT_SECONDS)


@pytest.fixture
async def settled(live_runtime: Runtime, live_api: Api) -> Api:
    """A gateway whose writer has begun to write every partition."""

    async def is_well() -> bool:
        return (await live_runtime.probe.health()).status == "ok"

    await until(is_well)
    return live_api


async def test_versions_parts_and_writer_are_told(settled: Api) -> None:
    shown = await health(settled)

    versions, writer = shown["versions"], shown["writer"]
    assert isinstance(versions, dict)
    assert isinstance(writer, dict)
    assert versions["gateway"] == package_version()
    assert versions["sql"] == migrate.head()
    assert versions["redis"].count(".") == 2
    assert (shown["redis"], shown["sql"], shown["catalog"]) == ("ok", "ok", "ok")
    assert writer["state"] == "running"
    assert sum(writer["partitions_owned"].values()) == 4
    assert writer["lag_seconds"] >= 0
    assert (shown["degraded"], shown["incidents"]) == ([], {"open": 0, "newest": []})


async def test_an_open_incident_degrades_and_an_ended_one_is_shown(
    settled: Api, live_runtime: Runtime
) -> None:
    engine = live_runtime.database.engine
    happen(engine, 1_000, 2_000)
    ended = await health(settled)
    happen(engine, 3_000, None)
    opened = await health(settled)
    ready = await settled.fetch("/ready")

    assert (ended["status"], ended["degraded"]) == ("ok", [])
    assert (opened["status"], opened["degraded"], ready.status) == ("degraded", ["incidents"], 200)
    assert isinstance(opened["incidents"], dict)
    assert opened["incidents"]["open"] == 1
    assert [one["id"] for one in opened["incidents"]["newest"]] == ["inc_3000", "inc_1000"]
    assert "org_1" not in str(opened)


async def test_partitions_nobody_writes_degrade(live_runtime: Runtime, settled: Api) -> None:
    assert live_runtime.writer is not None
    await live_runtime.writer.stop()
    with write_transaction(live_runtime.database.engine) as connection:
        connection.execute(update(Cursor).where(Cursor.partition < 2).values(owner=""))

    shown = await health(settled)

    assert "unwritten" in str(shown["degraded"])
    assert (await settled.fetch("/ready")).status == 200


async def test_lag_goes_by_the_clock_of_redis(
    live_runtime: Runtime, settled: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert live_runtime.writer is not None
    await live_runtime.writer.stop()
    at_ms = await live_runtime.scripts.now_ms() - 4_000
    await live_runtime.redis.execute_command("XADD", outbox_key(0), f"{at_ms}-0", FIELD, "x")  # type: ignore[no-untyped-call]
    monkeypatch.setattr(SystemClock, "now_ms", lambda _: at_ms + 3_600_000)

    writer = (await live_runtime.probe.health()).writer

    late_ms = await live_runtime.scripts.now_ms() - at_ms
    assert writer.lag_seconds is not None
    assert 4.0 <= writer.lag_seconds <= late_ms / 1000
    assert writer.partitions_behind == 1


async def test_sql_that_fails_is_told_and_not_ready(live_runtime: Runtime, settled: Api) -> None:
    with write_transaction(live_runtime.database.engine) as connection:
        connection.execute(text("DROP TABLE alembic_version"))

    shown = await health(settled)
    ready = await settled.fetch("/ready")

    assert (shown["sql"], ready.status, shown["incidents"]) == ("unavailable", 503, None)
    assert "sql" in str(shown["degraded"])


async def test_redis_that_is_gone_is_told_and_not_ready(
    live_runtime: Runtime, settled: Api
) -> None:
    pool = live_runtime.redis.connection_pool
    await pool.disconnect()
    pool.connection_kwargs["path"] = "/nowhere/redis.sock"
    pool.reset()  # type: ignore[no-untyped-call]  # the library types the rest

    shown = await health(settled)
    ready = await settled.fetch("/ready")

    assert (shown["redis"], ready.status) == ("unavailable", 503)
    assert isinstance(shown["versions"], dict)
    assert shown["versions"]["redis"] is None
    assert isinstance(shown["writer"], dict)
    assert shown["writer"]["lag_seconds"] is None
    assert "nowhere" not in str(shown)
