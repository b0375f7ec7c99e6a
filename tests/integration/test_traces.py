"""Spans of a whole gateway, as they arrive at a collector over HTTP."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import redis
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.app import Runtime, build_app, started
from gateway.config import Settings
from gateway.keys import customer_keys
from tests.fixtures.app import KEY, Api
from tests.waiting import PATIENT, until

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector:
    """Takes what is sent to it, and answers with a status."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.status = 200
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.paths.append(self.path)
                collector.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def spans(self) -> list[Span]:
        requests = map(ExportTraceServiceRequest.FromString, self.bodies)
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on a free port."""
    found = Collector()
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def traced_settings(valkey: str, migrated_sqlite: str, collector: Collector) -> Settings:
    """Settings of a gateway that traces, on an empty server and a new database."""
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
        client.config_set("maxmemory-policy", "noeviction")
    return Settings(
        redis_url=valkey,
        database_url=migrated_sqlite,
        partitions=4,
        otlp_endpoint=collector.url,
        drain_seconds=1,
        **PATIENT,
    )


async def play(settings: Settings, *, traceparent: str) -> str:
    """Track on a customer that is in SQL alone; return the request id of the answer."""
    async with started(Runtime(settings)) as runtime:
        await runtime.store.create_key("sandbox", "test", KEY)
        await runtime.catalog.refresh()
        api = Api(build_app(runtime))
        feature = {"feature_id": "words", "name": "Words", "type": "metered", "consumable": True}
        await api.call("features.create", **feature)
        created = await api.call("customers.get_or_create", customer_id="org_trace")
        assert created.status == 200, created.body

        async def is_in_sql() -> bool:
            found = await runtime.reader.load("sandbox", "org_trace", 0)
            return found.customer is not None

        await until(is_in_sql)
        own = customer_keys("sandbox", "org_trace", settings.partitions).own
        await runtime.redis.delete(*own)
        body = b'{"customer_id": "org_trace", "feature_id": "words", "value": 1}'
        answer = await api.send("balances.track", body, traceparent=traceparent)
        assert answer.status == 200, answer.body
        await api.client.aclose()
    return str(answer.headers["x-request-id"])


async def test_a_collector_gets_the_request_its_scripts_and_its_reads(
    traced_settings: Settings, collector: Collector
) -> None:
    request_id = await play(traced_settings, traceparent=f"00-{TRACE}-{PARENT}-01")

    mine = [span for span in collector.spans if span.trace_id.hex() == TRACE]
    (request,) = [span for span in mine if span.parent_span_id.hex() == PARENT]
    inside = {span.name for span in mine if span.parent_span_id == request.span_id}
    told = {one.key: one.value for one in request.attributes}
    assert set(collector.paths) == {"/v1/traces"}
    assert request.name == "balances.track"
    assert told["tallygate.request_id"].string_value == request_id
    assert told["tallygate.env"].string_value == "sandbox"
    assert told["http.response.status_code"].int_value == 200
    assert {"redis track", "sqlite load", "redis restore_customer"} <= inside


async def test_spans_show_no_customer_and_no_key(
    traced_settings: Settings, collector: Collector
) -> None:
    await play(traced_settings, traceparent="")

    sent = b"".join(collector.bodies)
    assert b"balances.track" in sent
    for hidden in (b"org_trace", KEY.encode(), b"words"):
        assert hidden not in sent


async def test_a_collector_that_fails_costs_no_request(
    traced_settings: Settings, collector: Collector
) -> None:
    collector.status = 500

    await play(traced_settings, traceparent="")

    assert collector.paths


def test_a_gateway_without_a_collector_does_not_load_the_library() -> None:
    # The Redis client loads parts of it for metrics of its own, where it finds it installed.
    program = "import sys, gateway.processes.alone; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    loaded = set(run.stdout.split())
    assert "gateway.telemetry" in loaded
    assert not loaded & {"opentelemetry.sdk.trace", "opentelemetry.exporter"}
