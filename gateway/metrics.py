"""Every metric once: its name, its type, its labels and what it means.

``/metrics`` prints them, the table of the README is tested against them, and whoever counts
something imports its name from here. Labels have few values: never a customer, an entity or a key.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
"""What this process counts; the library's global registry stays empty."""

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"tallygate_{name}", meaning, labels, registry=REGISTRY)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(f"tallygate_{name}", meaning, labels, registry=REGISTRY)


def _histogram(name: str, meaning: str, *labels: str) -> Histogram:
    return Histogram(f"tallygate_{name}", meaning, labels, registry=REGISTRY, buckets=_SECONDS)


requests = _counter("requests", "Requests answered.", "operation", "status")
request_seconds = _histogram("request_seconds", "Time from headers to answer.", "operation")

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
restores_waiting = _gauge("restores_waiting", "Customers being brought back now.")
evictions = _counter("evictions", "Idle customers that left Redis.")

writer_applied = _counter("writer_applied", "Outbox entries carried to SQL.")
writer_batches = _counter("writer_batches", "Transactions of the writer.")
writer_lag_seconds = _gauge("writer_lag_seconds", "Age of the oldest entry SQL has not got.")
writer_pending = _gauge("writer_pending", "Outbox entries SQL has not got.")
writer_partitions = _gauge("writer_partitions", "Partitions this process writes.")
writer_takeovers = _counter("writer_takeovers", "Partitions taken from a writer that fell silent.")
dead_letters = _counter("dead_letters", "Outbox entries set aside.")

fenced = _gauge("fenced", "1 while Redis is not trusted and no call goes to it.")
incidents = _counter("incidents", "Times Redis was not what SQL knows of it.", "kind")
drift_balances = _gauge("drift_balances", "Balances that differed when they were last compared.")
drift_checked = _counter("drift_checked", "Customers compared between Redis, SQL and events.")

denials = _counter("denials", "Checks and tracks answered with no.")
webhook_deliveries = _counter("webhook_deliveries", "Webhooks sent, by outcome.", "outcome")
