"""What counts as degraded, and how long a look waits for what hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import Gauge
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway import health_probe, metrics
from gateway.api.health import Health, Versions, WriterHealth
from gateway.errors import UnavailableError
from gateway.health_probe import HealthParts, HealthProbe, Server, reasons, redis_state
from gateway.installation import IncidentsHealth
from persistence.fleet import Fleet


def health(**other: object) -> Health:
    """Return a state in which all is well, but for what is given."""
    values = {
        "status": "ok",
        "redis": "ok",
        "sql": "ok",
        "catalog": "ok",
        "writer": writer(),
        "versions": Versions(gateway="1"),
        "incidents": IncidentsHealth(open=0, newest=[]),
        "drift_balances": 0,
    }
    return Health(**values | other)  # type: ignore[arg-type]  # each test gives what fits


def writer(**other: object) -> WriterHealth:
    values = {
        "state": "running",
        "lag_seconds": 0.1,
        "partitions_behind": 1,
        "partitions_owned": {"wri_a": 4},
    }
    return WriterHealth(**values | other)  # type: ignore[arg-type]  # as above


@pytest.fixture(autouse=True)
def _calm() -> None:
    """Forget what other tests of this process left in the gauges."""
    metrics.fenced.set(0)
    metrics.breaker_open.set(0)


@pytest.fixture
def raised(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set a gauge for the test."""
    gauge: Gauge = request.param
    gauge.set(1)
    yield
    gauge.set(0)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (health(redis="unavailable"), "redis"),
        (health(redis="partial"), "redis"),
        (health(sql="unavailable", incidents=None), "sql"),
        (health(catalog="unavailable"), "catalog"),
        (health(writer=writer(state="failed")), "writer"),
        (health(writer=writer(partitions_owned={"": 1, "wri_a": 3})), "unwritten"),
        (health(incidents=IncidentsHealth(open=1, newest=[])), "incidents"),
        (health(drift_balances=2), "drift"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_part_that_is_not_well_is_a_reason(state: Health, reason: str) -> None:
    assert reasons(state) == [reason]


@pytest.mark.parametrize(
    "state",
    [
        health(),
        health(drift_balances=None),
        health(writer=writer(state="apart")),
        health(writer=writer(state="stopped", lag_seconds=None, partitions_behind=None)),
    ],
)
def test_what_is_apart_or_unknown_is_none(state: Health) -> None:
    assert reasons(state) == []


@pytest.mark.parametrize(
    ("raised", "reason"),
    [(metrics.fenced, "fenced"), (metrics.breaker_open, "breaker")],
    indirect=["raised"],
)
@pytest.mark.usefixtures("raised")
def test_what_the_metrics_say_is_a_reason_too(reason: str) -> None:
    assert reasons(health()) == [reason]


@pytest.mark.parametrize("part", ["redis", "sql", "catalog"])
def test_requests_can_be_served_while_redis_sql_and_the_catalog_answer(part: str) -> None:
    assert health(drift_balances=5, writer=writer(state="failed")).is_ready
    assert not health(**{part: "unavailable"}).is_ready


@pytest.mark.parametrize(
    ("servers", "state"),
    [
        ([{"redis_version": "9"}], "ok"),
        ([{"redis_version": "9"}, None], "partial"),
        ([None, None], "unavailable"),
        ([], "unavailable"),
        (None, "unavailable"),
    ],
)
def test_a_cluster_that_lacks_a_server_is_there_in_part(
    servers: list[Server] | None, state: str
) -> None:
    found = redis_state(servers)
    assert found == state
    assert health(redis=found).is_ready == (state != "unavailable")


class HangingSql:
    """Both readers of SQL, and a Redis that is away."""

    def __init__(self) -> None:
        self.asked = 0
        self.goes_on = asyncio.Event()
        self.is_current = True

    async def read(self) -> Fleet:
        self.asked += 1
        await self.goes_on.wait()
        return Fleet("r1", {"wri_a": 4}, IncidentsHealth(open=0, newest=[]))

    async def cursors(self, _partitions: object) -> dict[int, str]:
        await self.goes_on.wait()
        raise UnavailableError

    async def info(self, _section: str) -> None:
        raise RedisConnectionError


def probe_of(parts: Any) -> HealthProbe:  # noqa: ANN401 - stands for all of them
    named = HealthParts(redis=parts, reader=parts, fleet=parts, catalog=parts, writer=None)
    return HealthProbe(named, partitions=4)


async def test_a_part_that_hangs_is_unavailable_in_time_and_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_probe, "ANSWER_SECONDS", 0.001)
    parts = HangingSql()
    probe = probe_of(parts)

    seen = [await probe.health() for _ in range(3)]
    seen += await asyncio.gather(probe.health(), probe.health())

    assert {(one.sql, one.versions.sql, one.writer.lag_seconds) for one in seen} == {
        ("unavailable", None, None)
    }
    assert parts.asked == 1


async def test_a_part_that_answers_again_is_told_at_the_next_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = HangingSql()
    probe = probe_of(parts)
    with monkeypatch.context() as patch:
        patch.setattr(health_probe, "ANSWER_SECONDS", 0.001)
        assert (await probe.health()).sql == "unavailable"

    parts.goes_on.set()

    assert [(await probe.health()).versions.sql for _ in range(2)] == ["r1", "r1"]


async def test_a_question_without_an_answer_is_given_up_and_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_probe, "ASK_SECONDS", 0.001)
    parts = HangingSql()
    probe = probe_of(parts)

    assert [(await probe.health()).sql for _ in range(2)] == ["unavailable"] * 2
    assert parts.asked == 2
