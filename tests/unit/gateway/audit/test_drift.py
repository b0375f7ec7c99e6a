"""The drift watch: everybody in turn, what differs as a number, nobody kept warm by being looked
at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

import pytest

from gateway import metrics
from gateway.audit import drift as drift_module
from gateway.audit.auditor import Comparison, Progress
from gateway.audit.drift import DriftWatch
from gateway.audit.records import Applied, Drift, Kind, Scope
from gateway.errors import UnavailableError
from gateway.scripts.residents import Name
from tests.waiting import until

ADA, BOB = Name("sandbox", "ada"), Name("live", "bob")
NOW_MS = 1_800_000_000_000
DRIFT = Drift(
    kind=Kind.REDIS, env="sandbox", customer_id="ada", internal_id="cus_1", what="used", sql=1
)


class Site:
    """Redis, SQL and the auditor in one, as a test wants them to be."""

    def __init__(self) -> None:
        self.names = [ADA, BOB]
        self.touches = False
        self.sizes: dict[Name, int] = {}
        self.applied_ms: dict[Name, int] = {ADA: NOW_MS - 1, BOB: NOW_MS - 10_000}
        self.drifts: dict[Name, list[Drift]] = {}
        self.unsettled: set[Name] = set()
        self.compared: list[Name] = []
        self.failing: set[Name] = set()
        self.fault: Exception = UnavailableError("SQL did not answer in time")
        self.failure: Exception | None = None

    def now_ms(self) -> int:
        return NOW_MS

    async def scan(self, cursor: int) -> tuple[int, list[Name]]:
        if self.failure is not None:
            self.compared.append(ADA)
            raise self.failure
        return (7, self.names[:1]) if cursor == 0 else (0, self.names[1:])

    async def size(self, name: Name) -> int:
        return self.sizes.get(name, 3)

    async def applied(self, names: Sequence[Name]) -> Mapping[Name, Applied]:
        return {name: Applied("cus_1", 1, self.applied_ms[name]) for name in names}

    async def compare(self, name: Name) -> Comparison:
        self.compared.append(name)
        if name in self.failing:
            raise self.fault
        return Comparison(self.drifts.get(name, []), is_settled=name not in self.unsettled)

    async def audit_ledger(self, scope: Scope) -> AsyncIterator[Progress]:
        assert scope in [Scope(*name) for name in self.names]
        yield Progress(1, 1, [], [])

    def watch(self, idle_seconds: int = 5) -> DriftWatch:
        it = cast("Any", self)
        return DriftWatch(it, it, it, it, per_second=1000, idle_seconds=idle_seconds)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(drift_module, "REST", 0)
    monkeypatch.setattr(drift_module, "WALK_SECONDS", 0.001)
    return Site()


def _gauge() -> float:
    return metrics.REGISTRY.get_sample_value("tallygate_drift_balances") or 0.0


async def test_everybody_is_compared_once_in_a_walk(site: Site) -> None:
    await site.watch().walk()
    assert site.compared == [ADA, BOB]


async def test_the_gauge_is_what_differs_until_it_is_mended(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    watch = site.watch()
    site.drifts[ADA] = [DRIFT, DRIFT]
    await watch.walk()
    assert _gauge() == 2
    await watch.walk()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "customer ada of sandbox differs in 2 places, first in used of balance -" in told[0]
    site.sizes[ADA] = -1  # taken out of Redis
    site.drifts.clear()
    await watch.walk()
    assert _gauge() == 0


async def test_what_cannot_be_told_now_changes_nothing(site: Site) -> None:
    watch = site.watch()
    site.drifts[ADA] = [DRIFT]
    await watch.walk()
    site.unsettled.add(ADA)
    site.drifts.clear()
    await watch.walk()
    assert _gauge() == 1
    site.unsettled.clear()
    await watch.walk()
    assert _gauge() == 0


async def test_a_very_large_customer_is_left_to_the_command(site: Site) -> None:
    site.sizes[ADA] = drift_module.FIELDS_MAX + 1
    await site.watch().walk()
    assert site.compared == [BOB]


async def test_nobody_is_kept_warm_where_a_look_counts_as_use(site: Site) -> None:
    site.touches = True
    await site.watch().walk()
    assert site.compared == [ADA]
    await site.watch(idle_seconds=0).walk()
    assert site.compared == [ADA, ADA, BOB]


async def test_one_that_cannot_be_compared_holds_no_other_up(site: Site) -> None:
    watch = site.watch()
    site.failing.add(ADA)
    for _ in range(4):
        await watch.walk()
    assert site.compared == [ADA, BOB] * 4
    site.failing.add(BOB)
    await watch.walk()
    with pytest.raises(UnavailableError):
        await watch.walk()


async def test_one_that_nobody_can_read_is_told_of_and_holds_no_other_up(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    watch = site.watch()
    site.failing.add(ADA)
    site.fault = ValueError("not a row")
    for _ in range(drift_module.FAILURES_MAX + 1):
        await watch.walk()
    assert site.compared == [ADA, BOB] * (drift_module.FAILURES_MAX + 1)
    assert "ada of sandbox cannot be compared" in caplog.text


@pytest.mark.parametrize("failure", [UnavailableError("Redis does not answer"), ValueError("odd")])
async def test_it_goes_on_after_a_failure_until_it_is_stopped(
    site: Site, failure: Exception
) -> None:
    site.failure = failure
    watch = site.watch()
    running = asyncio.create_task(watch.run())
    await until(lambda: len(site.compared) > 1)
    site.failure = None
    await until(lambda: BOB in site.compared)
    watch.stop()
    await running
