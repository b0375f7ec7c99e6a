"""Tracks that are taken without Redis are counted once it is back, each once."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.acceptance.test_lost_redis import (
    CUSTOMERS,
    MESSAGES,
    RECOVERY_SECONDS,
    caught_up,
    fill,
    make_gateway,
    running,
    track,
    used,
    used_in_sql,
)
from tests.commands import run
from tests.fixtures.gateways import Gateway
from tests.fixtures.redis_processes import RedisProcess
from tests.waiting import wait_until

ONE, OTHER = CUSTOMERS[:2]


def spooling(folder: Path, server: RedisProcess, **environment: str) -> Gateway:
    return make_gateway(folder, server.url, TALLYGATE_SPOOL="true", **environment)


def body_of(customer_id: str, **more: object) -> dict[str, object]:
    return {"customer_id": customer_id, "feature_id": MESSAGES, **more}


def taken(gateway: Gateway, customer_id: str, **more: object) -> httpx.Response:
    answer = gateway.post("balances.track", body_of(customer_id, **more))
    assert answer.status_code == 202, answer.text
    assert answer.headers["x-tallygate-degraded"] == "redis"
    return answer


def verified(gateway: Gateway, server: RedisProcess) -> None:
    caught_up(gateway, server)
    words = "verify", "--redis-url", server.url, "--data-dir", gateway.folder
    ran = run(*words, TALLYGATE_PARTITIONS="8")
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("fast_lane", ["true", "false"])
def test_tracks_without_redis_are_counted_when_it_is_back(
    tmp_path: Path, own_redis: RedisProcess, fast_lane: str
) -> None:
    with running(spooling(tmp_path, own_redis, TALLYGATE_FAST_LANE=fast_lane)) as gateway:
        fill(gateway)
        track(gateway, ONE, 5)
        caught_up(gateway, own_redis)
        own_redis.kill()
        begun_ms = time.time_ns() // 10**6
        for number in range(10):
            answer = taken(gateway, ONE, value=2, properties={"call": f"kept-{number}"})
            assert answer.json() == {"customer_id": ONE, "value": 2, "balance": None}
        assert taken(gateway, OTHER).json() == {"customer_id": OTHER, "value": 1, "balance": None}
        shapes = []
        for version in "2.1", "2.2", "1.2":
            older = {"x-api-version": version}
            answer = gateway.post("balances.track", body_of(OTHER, value=32), **older)
            assert answer.status_code == 202, (version, answer.text)
            shapes.append(answer.json())
        whole = {"customer_id": OTHER, "entity_id": None, "event_name": None, "value": 32}
        assert shapes[:2] == [whole | {"balance": None, "balances": None}] * 2
        assert shapes[2]["code"] == "event_received"
        for _ in range(3):  # the same call
            taken(gateway, OTHER, value=4, idempotency_key="order-1")
        gateway.post("balances.track", body_of(OTHER, value=8), **{"idempotency-key": "order-2"})
        taken(gateway, OTHER, value=16, timestamp=begun_ms - 3_600_000)
        ended_ms = time.time_ns() // 10**6
        own_redis.start()
        wait_until(lambda: used(gateway, OTHER) == 1 + 3 * 32 + 4 + 8 + 16, RECOVERY_SECONDS)
        assert used(gateway, ONE) == 25
        again = gateway.post(
            "balances.track", body_of(OTHER, value=8), **{"idempotency-key": "order-2"}
        )
        assert again.headers["idempotency-replayed"] == "true"
        verified(gateway, own_redis)
        assert used_in_sql(gateway)[OTHER] == 125
        told = gateway.sql(
            "SELECT properties, timestamp_ms FROM events WHERE properties LIKE '%kept-%' "
            "ORDER BY recorded_at_ms, seq"
        )
        assert [f"kept-{number}" in text for number, (text, _) in enumerate(told)] == [True] * 10
        assert all(begun_ms <= at_ms <= ended_ms for _, at_ms in told)
        page = gateway.get("metrics").text
        assert 'tallygate_spooled_total{outcome="refused"} 0' not in page
        assert "tallygate_spool_waiting 0" in page


def test_what_needs_an_answer_is_refused_without_redis(
    tmp_path: Path, own_redis: RedisProcess
) -> None:
    with running(spooling(tmp_path, own_redis, TALLYGATE_SPOOL_MAX="2")) as gateway:
        fill(gateway)
        own_redis.kill()
        for more in (
            {"overage_behavior": "reject"},
            {"lock": {"lock_id": "mine"}},
            {"dry_run": True},
        ):
            assert gateway.refusal("balances.track", **body_of(ONE, **more))[0] == 503, more
        level = gateway.post("balances.track", body_of(ONE), **{"x-durability": "aof"})
        assert level.status_code == 503
        assert gateway.refusal("balances.track", **body_of(ONE, feature_id="none"))[0] == 404
        assert gateway.refusal("balances.track", **body_of(ONE, value="many"))[0] == 400
        assert gateway.refusal("customers.get", customer_id=ONE)[0] == 503
        taken(gateway, ONE)
        taken(gateway, "nobody")
        assert gateway.refusal("balances.track", **body_of(ONE)) == (503, "service_unavailable")
        (gateway.folder / "spool" / "kept_0.spool").write_text("+nonsense\n")
        own_redis.start()
        wait_until(lambda: used(gateway, ONE) == 1, RECOVERY_SECONDS)
        wait_until(
            lambda: 'spooled_total{outcome="refused"} 2' in gateway.get("metrics").text,
            RECOVERY_SECONDS,
        )
        assert "was kept, and is refused now: " in (gateway.folder / "stdout.log").read_text()


def test_what_was_taken_survives_the_gateway(tmp_path: Path, own_redis: RedisProcess) -> None:
    gateway = spooling(tmp_path, own_redis)
    with running(gateway):
        fill(gateway)
        caught_up(gateway, own_redis)
        own_redis.kill()
        for _ in range(300):
            taken(gateway, ONE)
        own_redis.start()
        for _ in range(3):  # in the midst of carrying them out
            gateway.kill()
            gateway.start()
        wait_until(lambda: used(gateway, ONE) == 300, RECOVERY_SECONDS)
        verified(gateway, own_redis)
        assert used_in_sql(gateway)[ONE] == 300
        assert len(gateway.sql("SELECT 1 FROM events")) == 300
