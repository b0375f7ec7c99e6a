"""What survives what: the gateway killed under load, and Redis' data lost."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from tests.fixtures.gateways import KEY, NO_TLS, Gateway, form_team
from tests.waiting import wait_until

SUMMARIES = "meeting_summaries"
UNIT = 10**6
THREADS = 8
ACKNOWLEDGED_MIN = 300


@pytest.fixture
def stopped(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path / "data")


def test_kill_9_under_load_loses_and_doubles_no_acknowledged_track(stopped: Gateway) -> None:
    gateway = stopped.start()
    try:
        form_team(gateway, "a", "b", "c", included=1000)
        acknowledged: list[str] = []
        sent: list[str] = []
        threads = [
            threading.Thread(target=_load, args=(gateway.url, number, sent, acknowledged))
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) >= ACKNOWLEDGED_MIN, 60)
        gateway.kill()
        for thread in threads:
            thread.join(30)

        gateway.start()
        total = gateway.call("balances.check", customer_id="org_123", feature_id=SUMMARIES)
        gateway.wait_for_writer()
        stored = [name for (name,) in gateway.sql("SELECT properties FROM events WHERE value = 1")]
        assert len(stored) == len(set(stored)), "an event is in SQL twice"
        assert {f'{{"call":"{name}"}}' for name in acknowledged} <= set(stored)
        assert set(stored) <= {f'{{"call":"{name}"}}' for name in sent}
        uses = len(stored) - 3  # the three seats are events of value 10^6
        assert total["balance"]["usage"] * UNIT == len(stored)
        assert uses >= ACKNOWLEDGED_MIN - 3
        used = gateway.sql("SELECT used FROM balances WHERE feature_id = ?", SUMMARIES)
        assert used == [(len(stored),)]
    finally:
        gateway.stop()


def test_an_embedded_server_that_is_killed_comes_back_with_what_was_acknowledged(
    tmp_path: Path,
) -> None:
    flushing = {"TALLYGATE_APPENDFSYNC": "always"}
    gateway = Gateway(tmp_path / "data", environment=flushing).start()
    track = {"customer_id": "org_123", "feature_id": SUMMARIES, "value": 1}
    try:
        form_team(gateway, "a")
        gateway.call("balances.track", **track)
        server = int((gateway.folder / "redis" / "server.pid").read_text())
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: gateway.post("balances.track", track).is_success, 60)
        left = gateway.call("balances.check", customer_id="org_123", feature_id=SUMMARIES)
        assert left["balance"]["usage"] == 2
        gateway.wait_for_writer()
    finally:
        assert gateway.stop() == 0


def _load(url: str, number: int, sent: list[str], acknowledged: list[str]) -> None:
    """Track one unit after the other until the gateway is gone."""
    with suppress(httpx.TransportError), httpx.Client(timeout=20, verify=NO_TLS) as client:
        for turn in range(100_000):
            name = f"{number}-{turn}"
            sent.append(name)
            answer = client.post(
                f"{url}/v1/balances.track",
                headers={"authorization": f"Bearer {KEY}"},
                json={
                    "customer_id": "org_123",
                    "feature_id": SUMMARIES,
                    "value": 0.000001,
                    "properties": {"call": name},
                    **({"entity_id": "abc"[turn % 3]} if turn % 4 else {}),
                },
            )
            if answer.status_code == 200:
                acknowledged.append(name)


def test_customers_come_back_from_sql_when_redis_data_is_deleted(stopped: Gateway) -> None:
    gateway = stopped.start()
    try:
        form_team(gateway)
        gateway.call(
            "plans.create",
            plan_id="pro",
            name="Pro",
            group="tiers",
            items=[{"feature_id": SUMMARIES, "included": 7.5, "reset": {"interval": "hour"}}],
        )
        for name in ("a", "b", "c"):
            gateway.call(
                "entities.create", customer_id="org_123", entity_id=name, feature_id="seats"
            )
        gateway.call("billing.attach", customer_id="org_123", plan_id="pro", entity_id="b")
        track = {"customer_id": "org_123", "feature_id": SUMMARIES}
        gateway.call("balances.track", value=60.25, **track)
        gateway.call("balances.track", value=3.5, entity_id="b", **track)
        gateway.call("entities.delete", customer_id="org_123", entity_id="c")
        before = _portrait(gateway)
        assert gateway.stop() == 0
        shutil.rmtree(gateway.folder / "redis")

        gateway.start()
        assert _portrait(gateway) == before
        assert gateway.call("balances.track", value=5, **track)["balance"]["remaining"] > 0
        made = gateway.call(
            "entities.create", customer_id="org_123", entity_id="c", feature_id="seats"
        )
        assert made["balances"][SUMMARIES]["remaining"] == 50
        gateway.wait_for_writer()
        assert gateway.sql("SELECT count(*) FROM dead_letters") == [(0,)]
    finally:
        gateway.stop()


def test_a_gateway_whose_sql_hangs_ends_in_time_and_loses_nothing(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "data", environment={"TALLYGATE_DRAIN_SECONDS": "0"}).start()
    track = {"customer_id": "org_123", "feature_id": SUMMARIES, "value": 1}
    try:
        form_team(gateway, "a")
        gateway.wait_for_writer()
        database = gateway.folder / "tallygate.db"
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for _ in range(3):
                gateway.call("balances.track", **track)
            assert gateway.stop() == 1

        gateway.start()
        assert gateway.call("balances.track", **track)["balance"]["usage"] == 4
        gateway.wait_for_writer()
        used = gateway.sql("SELECT used FROM balances WHERE feature_id = ?", SUMMARIES)
        assert used == [(4 * UNIT,)]
    finally:
        gateway.stop()


def _portrait(gateway: Gateway) -> list[object]:
    customer = {"customer_id": "org_123"}
    return [
        gateway.call("customers.get", **customer),
        gateway.call("entities.get", entity_id="a", **customer),
        gateway.call("entities.get", entity_id="b", **customer),
        gateway.refusal("entities.get", entity_id="c", **customer),
    ]
