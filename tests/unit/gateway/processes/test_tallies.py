"""Metrics of several processes, as one page."""

from __future__ import annotations

from math import isnan, nan

from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import METRICS, page
from gateway.processes.tallies import Family, counted, page_of, together


def family(kind: str, *values: float, adds_up: bool = False) -> Family:
    samples = [(f"tallygate_x{at}", {"a": str(at)}, value) for at, value in enumerate(values)]
    return Family("tallygate_x", kind, "Meaning.", adds_up, samples)


def values(families: list[Family]) -> list[float]:
    return [value for one in families for _, _, value in one.samples]


def test_one_process_shows_what_it_would_show_alone() -> None:
    assert page_of(counted()) == page()
    assert len(counted()) == len(METRICS)


def test_counters_add_up_and_gauges_give_the_greatest() -> None:
    counters = [[family("counter", 1, 2, adds_up=True)], [family("counter", 10, adds_up=True)]]
    assert values(together(counters)) == [11, 2]
    assert values(together([[family("gauge", 1)], [family("gauge", 0)]])) == [1]
    shared = [[family("gauge", 30, adds_up=True)], [family("gauge", 34, adds_up=True)]]
    assert values(together(shared)) == [64]


def test_who_never_looked_says_nothing_against_who_did() -> None:
    for order in ((nan, 3.0), (3.0, nan)):
        processes = [[family("gauge", value, adds_up=True)] for value in order]
        assert values(together(processes)) == [3]
    (unknown,) = values(together([[family("gauge", nan)], [family("gauge", nan)]]))
    assert isnan(unknown)


def test_metrics_of_another_release_are_shown_as_well() -> None:
    newer = Family("tallygate_new", "counter", "New.", True, [("tallygate_new_total", {}, 1.0)])
    shown = page_of(together([counted(), [newer]])).decode()
    assert len(list(text_string_to_metric_families(shown))) == len(METRICS) + 1


def test_only_what_was_counted_outlives_a_process() -> None:
    assert {one.outlives for one in counted() if one.kind != "gauge"} == {True}
    assert {one.outlives for one in counted() if one.kind == "gauge"} == {False}
