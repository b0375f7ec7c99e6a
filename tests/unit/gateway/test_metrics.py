"""What /metrics prints of what was counted."""

from __future__ import annotations

import math
import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import metrics
from gateway.metrics import METRICS, REGISTRY, RequestCount


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"tallygate_{name}", labels)


def test_every_metric_is_on_the_page_with_its_type_and_meaning() -> None:
    page = metrics.page().decode()

    for metric in METRICS:
        assert f"# HELP {metric.name} {metric.meaning}\n" in page
        assert f"# TYPE {metric.name} {metric.kind}\n" in page
    assert page.count("# TYPE") == len(METRICS)


def test_the_page_is_the_text_format() -> None:
    families = list(text_string_to_metric_families(metrics.page().decode()))

    assert len(families) == len(METRICS)


def test_names_and_labels_are_those_prometheus_allows() -> None:
    for metric in METRICS:
        assert re.fullmatch(r"tallygate_[a-z_]+", metric.name)
        assert metric.meaning.endswith(".")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        # Each of these would have a value for every customer, or show what is nobody's business.
        assert not {"customer", "customer_id", "entity", "env", "key", "url"} & set(metric.labels)
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_an_operation_is_counted_by_status_and_time() -> None:
    count = metrics.requests.of("metrics.test")
    for status, seconds in ((200, 0.0004), (200, 0.0005), (200, 0.002), (503, 7.0)):
        count.add(status, seconds)

    assert metrics.requests.of("metrics.test") is count
    assert sample("requests_total", operation="metrics.test", status="200") == 3
    assert sample("requests_total", operation="metrics.test", status="503") == 1
    buckets = {
        bound: sample("request_seconds_bucket", operation="metrics.test", le=bound)
        for bound in ("0.0005", "0.001", "0.0025", "5.0", "+Inf")
    }
    assert buckets == {"0.0005": 2, "0.001": 2, "0.0025": 3, "5.0": 3, "+Inf": 4}
    assert sample("request_seconds_count", operation="metrics.test") == 4
    assert sample("request_seconds_sum", operation="metrics.test") == pytest.approx(7.0029)


def test_what_reached_no_operation_has_no_time() -> None:
    metrics.requests.of("metrics.none").add_untimed(404)

    assert sample("requests_total", operation="metrics.none", status="404") == 1
    assert sample("request_seconds_count", operation="metrics.none") is None


def test_a_count_begins_empty() -> None:
    count = RequestCount()

    assert (count.statuses, sum(count.buckets), count.seconds) == ({}, 0, 0.0)


def test_the_page_can_be_shown_without_a_gateway() -> None:
    with metrics.serving("127.0.0.1", 0) as port:
        response = httpx.get(f"http://127.0.0.1:{port}/metrics")
        with pytest.raises(OSError, match="in use"), metrics.serving("127.0.0.1", port):
            pass

    assert "# TYPE tallygate_writer_pending gauge" in response.text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")


def test_what_was_never_measured_is_no_number() -> None:
    unmeasured = metrics._measured("test_only", "Nobody has looked.")  # noqa: SLF001 - as a module does
    try:
        assert math.isnan(metrics.value_of(unmeasured))
        unmeasured.set(3)
        assert metrics.value_of(unmeasured) == 3
    finally:
        REGISTRY.unregister(unmeasured)
        METRICS.pop()


def test_a_value_can_be_read_back() -> None:
    before = metrics.value_of(metrics.evictions)
    metrics.evictions.inc(2)

    assert metrics.value_of(metrics.evictions) - before == 2
