"""Every metric once: its name, its type, its labels and what it means.

``/metrics`` prints them, the table of the README is tested against them, and whoever counts
something imports its name from here. Labels have few values: never a customer, an entity or a key.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from math import nan
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()
"""What this process counts; the library's global registry stays empty."""

MEDIA_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
"""Of what ``page`` returns."""

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

# When a series began is of no use to anybody, and would double the page.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library types the rest


class Metric(NamedTuple):
    """One row of the table of metrics, as Prometheus spells the name."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


METRICS: list[Metric] = []

ADDING_UP: set[str] = set()
"""Gauges of which several processes have a share each."""


def _named(name: str, kind: str, meaning: str, labels: tuple[str, ...]) -> str:
    shown = f"tallygate_{name}_total" if kind == "counter" else f"tallygate_{name}"
    METRICS.append(Metric(shown, kind, labels, meaning))
    return f"tallygate_{name}"


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(_named(name, "counter", meaning, labels), meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str, adds_up: bool = False) -> Gauge:
    """Return a gauge; that of several processes is their sum if it adds up, else the greatest."""
    shown = _named(name, "gauge", meaning, labels)
    if adds_up:
        ADDING_UP.add(shown)
    return Gauge(shown, meaning, labels, registry=REGISTRY)


def _measured(name: str, meaning: str, *, adds_up: bool = False) -> Gauge:
    """Return a gauge that is no number until somebody has looked; 0 would be an answer."""
    gauge = _gauge(name, meaning, adds_up=adds_up)
    gauge.set(nan)
    return gauge


def _histogram(name: str, meaning: str, *labels: str) -> Histogram:
    shown = _named(name, "histogram", meaning, labels)
    return Histogram(shown, meaning, labels, registry=REGISTRY, buckets=_SECONDS)


class RequestCount:
    """What is counted of one operation. The event loop alone writes it, so it needs no lock."""

    __slots__ = ("buckets", "seconds", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(_SECONDS) + 1)
        self.seconds = 0.0

    def add(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.buckets[bisect_left(_SECONDS, seconds)] += 1
        self.seconds += seconds

    def add_untimed(self, status: int) -> None:
        """Count an answer to what never reached an operation."""
        self.statuses[status] = self.statuses.get(status, 0) + 1


class RequestCounts(Collector):
    """Requests by operation and status, and how long they took.

    The library's own counters would cost each request ten times as much as these, in look-ups and
    locks; here the sums are made when somebody asks for them.
    """

    def __init__(self) -> None:
        self._counted = "Requests answered."
        self._timed = "Time to answer one."
        self._count = _named("requests", "counter", self._counted, ("operation", "status"))
        self._time = _named("request_seconds", "histogram", self._timed, ("operation",))
        self._operations: dict[str, RequestCount] = {}
        REGISTRY.register(self)

    def of(self, operation: str) -> RequestCount:
        """Return the count of an operation, which whoever answers it keeps."""
        return self._operations.setdefault(operation, RequestCount())

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """Return what was counted so far."""
        requests = CounterMetricFamily(self._count, self._counted, labels=["operation", "status"])
        times = HistogramMetricFamily(self._time, self._timed, labels=["operation"])
        bounds = [*map(str, _SECONDS), "+Inf"]
        for operation, count in self._operations.items():
            for status, answers in count.statuses.items():
                requests.add_metric([operation, str(status)], answers)
            if not any(count.buckets):
                continue
            sums = zip(bounds, accumulate(count.buckets), strict=True)
            times.add_metric([operation], list(sums), count.seconds)
        yield requests
        yield times


def page() -> bytes:
    """Return everything in the text format of Prometheus."""
    return generate_latest(REGISTRY)


@contextmanager
def serving(host: str, port: int) -> Iterator[int]:
    """Show the page from a thread for the block, in a process that has no other HTTP.

    Yields the port, which is a free one for 0. Raises ``OSError`` when it cannot be taken.
    """
    server, thread = start_http_server(port, host, REGISTRY)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def value_of(metric: Counter | Gauge) -> float:
    """Return what a metric without labels stands at; for who shows it elsewhere."""
    return next(iter(metric.collect())).samples[0].value


build = _gauge("build", "Always 1; the label says which release this is.", "version")

requests = RequestCounts()

redis_faults = _counter("redis_faults", "Calls Redis did not answer as it should.", "kind")
breaker_open = _gauge("breaker_open", "1 while calls to Redis are not even tried.")
degraded_answers = _counter(
    "degraded_answers", "Checks answered without Redis, by the policy that decided.", "policy"
)
refused = _counter("refused", "Calls refused to protect what is there, by reason.", "reason")
durability_seconds = _histogram(
    "durability_seconds", "Time a call waited for the level it asked for.", "level"
)
durability_unconfirmed = _counter(
    "durability_unconfirmed", "Calls whose level was not reached in time.", "level"
)

restores = _counter("restores", "Customers brought back from SQL.")
restores_waiting = _gauge("restores_waiting", "Customers being brought back now.", adds_up=True)
evictions = _counter("evictions", "Idle customers that left Redis.")

writer_applied = _counter("writer_applied", "Outbox entries carried to SQL.")
writer_batches = _counter("writer_batches", "Transactions of the writer.")
writer_lag_seconds = _measured("writer_lag_seconds", "Age of the oldest entry SQL has not got.")
writer_pending = _measured("writer_pending", "Outbox entries SQL has not got.", adds_up=True)
writer_partitions = _gauge("writer_partitions", "Partitions written here.", adds_up=True)
writer_takeovers = _counter("writer_takeovers", "Partitions taken from a writer that fell silent.")
dead_letters = _counter("dead_letters", "Outbox entries set aside.")

fenced = _gauge("fenced", "1 while Redis is not trusted and no call goes to it.")
incidents = _counter("incidents", "Times Redis was not what SQL knows of it.", "kind")
drift_balances = _measured("drift_balances", "Balances that differed when they were last compared.")
drift_checked = _counter("drift_checked", "Customers compared between Redis, SQL and events.")

spooled = _counter(
    "spooled", "Tracks taken without Redis: kept, then carried or refused.", "outcome"
)
spool_waiting = _gauge("spool_waiting", "Tracks that are kept until Redis is back.", adds_up=True)
denials = _counter("denials", "Checks and tracks answered with no.")
webhook_deliveries = _counter(
    "webhook_deliveries", "Webhooks sent: delivered, retry or failed.", "outcome"
)
