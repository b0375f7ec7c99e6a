"""What /metrics says after requests, and what it never says."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys

import httpx
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from gateway.config import Settings
from gateway.errors import UnavailableError
from gateway.metrics import METRICS
from gateway.release import package_version
from tests.fake_engine import CUSTOMER_ID
from tests.fixtures.app import KEY, Api, FakeApi
from tests.waiting import WAIT_SECONDS, wait_until

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def read(api: Api) -> str:
    """Return the page as text."""
    response = await api.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return response.text


async def samples(api: Api) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(await read(api))
        for sample in family.samples
    }


def growth(before: Samples, after: Samples, name: str, **labels: str) -> float:
    key = (f"tallygate_{name}", tuple(sorted(labels.items())))
    return after[key] - before.get(key, 0.0)


async def test_the_page_has_every_metric_and_needs_no_key(api: Api) -> None:
    page = await read(api)

    assert re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE) != []
    assert set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE)) == {one.name for one in METRICS}
    assert f'tallygate_build{{version="{package_version()}"}} 1.0' in page


async def test_requests_are_counted_by_operation_and_status(fake_api: FakeApi) -> None:
    api = fake_api.api
    before = await samples(api)

    await api.call("features.create", feature_id="f", name="F", type="boolean")
    await api.call("balances.check", customer_id=CUSTOMER_ID, feature_id="f")
    await api.call("balances.check", customer_id=CUSTOMER_ID)
    await api.send("balances.check", b"{}", key=None)
    fake_api.engine.failure = UnavailableError()
    await api.call("customers.get", customer_id=CUSTOMER_ID)
    await api.send("nowhere.at_all", b"{}")

    after, name = await samples(api), "balances.check"
    for status in ("200", "400", "401"):
        assert growth(before, after, "requests_total", operation=name, status=status) == 1
    assert growth(before, after, "requests_total", operation="customers.get", status="503") == 1
    assert growth(before, after, "request_seconds_count", operation=name) == 3
    assert growth(before, after, "request_seconds_sum", operation=name) > 0
    assert growth(before, after, "requests_total", operation="none", status="404") == 1


async def test_the_page_names_no_customer_no_key_and_no_address(api: Api) -> None:
    await api.call("balances.check", customer_id=CUSTOMER_ID, feature_id="f")
    await api.send("balances.check", b"{}", idempotency_key="idem-123", x_request_id="seen-456")

    page = await read(api)
    for hidden in (CUSTOMER_ID, KEY, "am_sk_", "idem-123", "seen-456", "://", "sqlite"):
        assert hidden not in page


def test_a_writer_apart_shows_its_metrics(valkey: str, migrated_sqlite: str) -> None:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        client.config_set("maxmemory-policy", "noeviction")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.listen()
        refused = start_writer(valkey, migrated_sqlite, port)
        _, errors = refused.communicate(timeout=WAIT_SECONDS)
    process = start_writer(valkey, migrated_sqlite, port)

    def is_shown() -> bool:
        with contextlib.suppress(httpx.TransportError):
            text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
            return f"tallygate_writer_partitions {Settings().partitions}.0" in text
        return False

    try:
        wait_until(is_shown)
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0
    finally:
        process.kill()
        process.communicate()
    assert refused.returncode == 1
    assert f"tallygate: cannot listen on 127.0.0.1:{port}: " in errors


def start_writer(redis_url: str, database_url: str, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "writer"],
        env=os.environ
        | {
            "TALLYGATE_REDIS_URL": redis_url,
            "TALLYGATE_DATABASE_URL": database_url,
            "TALLYGATE_METRICS_PORT": str(port),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("path", ["/metrics", "/health", "/ready"])
async def test_an_operators_page_is_for_reading(api: Api, path: str) -> None:
    answer = await api.fetch(path, "POST")

    assert answer.error == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"
