"""What counts as degraded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import Gauge

from gateway import metrics
from gateway.api.health import Health, IncidentsHealth, Versions, WriterHealth
from gateway.health_probe import reasons


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
