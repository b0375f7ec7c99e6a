"""Metrics of several processes as one page: what each has counted, added up.

Counters never go back: what a process had counted when it ended goes on being part of the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import isnan

import msgspec
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.metrics import ADDING_UP, REGISTRY

Sample = tuple[str, dict[str, str], float]


class Family(msgspec.Struct, frozen=True, array_like=True):
    """One metric of one process, as Prometheus prints it."""

    name: str
    kind: str
    meaning: str
    adds_up: bool
    samples: list[Sample]

    @property
    def outlives(self) -> bool:
        """Whether what it says still counts when its process has ended."""
        return self.kind != "gauge"


def counted() -> list[Family]:
    """Return what this process has counted so far."""
    return [
        Family(
            family.name,
            family.type,
            family.documentation,
            family.type != "gauge" or family.name in ADDING_UP,
            [(sample.name, sample.labels, sample.value) for sample in family.samples],
        )
        for family in REGISTRY.collect()
    ]


def together(processes: Iterable[Iterable[Family]]) -> list[Family]:
    """Return the metrics of some processes as those of one."""
    first: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in (family for families in processes for family in families):
        first.setdefault(family.name, family)
        known = values.setdefault(family.name, {})
        for name, labels, value in family.samples:
            place = (name, tuple(labels.items()))
            known[place] = _both(known.get(place), value, adds_up=family.adds_up)
    return [
        msgspec.structs.replace(
            family,
            samples=[
                (name, dict(labels), value) for (name, labels), value in values[name_].items()
            ],
        )
        for name_, family in first.items()
    ]


def _both(known: float | None, value: float, *, adds_up: bool) -> float:
    # A gauge nobody has measured is no number, and says nothing against those who have.
    if known is None or isnan(known):
        return value
    if isnan(value):
        return known
    return known + value if adds_up else max(known, value)


def page_of(families: Iterable[Family]) -> bytes:
    """Return metrics in the text format of Prometheus."""
    return generate_latest(_Shown(families))


class _Shown(Collector):
    """What a registry is to the printer."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.meaning, family.kind)
            for name, labels, value in family.samples:
                metric.add_sample(name, labels, value)
            yield metric
