"""The clock of each environment, as the catalog carries it."""

from __future__ import annotations

import pytest

from gateway.engine.catalog import Catalog
from gateway.engine.clock import EnvironmentClock
from gateway.errors import InvalidInputsError, UnavailableError
from gateway.messages.clock import ClockAdvanceRequest, ClockView
from tests.fixtures.app import NOW_MS, ManualClock
from tests.unit.gateway.engine.scripted_store import ScriptedStore

HOUR_MS = 3_600_000


def test_only_the_sandbox_is_ahead() -> None:
    wall = ManualClock()
    clock = EnvironmentClock(wall)
    clock.offset_ms = HOUR_MS

    assert clock.view("sandbox") == ClockView(now=NOW_MS + HOUR_MS, offset=HOUR_MS)
    assert clock.view("live") == ClockView(now=NOW_MS, offset=0)

    wall.ms += 5
    assert clock.now_ms("sandbox") == NOW_MS + HOUR_MS + 5
    assert clock.now_ms("live") == NOW_MS + 5


async def test_an_advance_is_seen_at_once() -> None:
    catalog = Catalog(ScriptedStore(), ManualClock())

    view = await catalog.advance_clock(ClockAdvanceRequest(by="1h"))

    assert view == ClockView(now=NOW_MS + HOUR_MS, offset=HOUR_MS)
    assert catalog.clock.view("sandbox") == view


async def test_an_advance_of_another_process_is_seen_after_a_refresh() -> None:
    store = ScriptedStore()
    catalog = Catalog(store, ManualClock())
    await catalog.refresh()

    store.change(clock_offset_ms=HOUR_MS)
    assert catalog.clock.now_ms("sandbox") == NOW_MS
    await catalog.refresh()

    assert catalog.clock.now_ms("sandbox") == NOW_MS + HOUR_MS


async def test_two_steps_at_once_add_up() -> None:
    store = ScriptedStore()
    catalog = Catalog(store, ManualClock())
    store.refusals = 1
    store.meanwhile = lambda: store.change(clock_offset_ms=HOUR_MS)

    view = await catalog.advance_clock(ClockAdvanceRequest(by="1h"))

    assert view.offset == 2 * HOUR_MS


async def test_a_time_another_process_passed_meanwhile_is_refused() -> None:
    store = ScriptedStore()
    catalog = Catalog(store, ManualClock())
    store.refusals = 1
    store.meanwhile = lambda: store.change(clock_offset_ms=HOUR_MS)

    with pytest.raises(InvalidInputsError, match="to: must be forward"):
        await catalog.advance_clock(ClockAdvanceRequest(to=NOW_MS + HOUR_MS))
    assert catalog.clock.view("sandbox").offset == HOUR_MS


async def test_without_sql_the_clock_stays_where_it_is() -> None:
    store = ScriptedStore()
    catalog = Catalog(store, ManualClock())
    await catalog.advance_clock(ClockAdvanceRequest(by="1h"))
    store.is_down = True

    with pytest.raises(UnavailableError):
        await catalog.advance_clock(ClockAdvanceRequest(by="1h"))
    assert catalog.clock.now_ms("sandbox") == NOW_MS + HOUR_MS
