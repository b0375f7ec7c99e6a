"""Which answers get a line; all of them are counted."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import NamedTuple

import pytest

from gateway import metrics
from gateway.api.access import FAULT_LINES_MAX, AccessLog, FaultLines

OPERATION = "access.test"


def answered() -> int:
    return sum(metrics.requests.of(OPERATION).statuses.values())


@pytest.mark.parametrize(("sample", "lines"), [(0, 0), (1, 100), (10, 10), (101, 0)])
def test_one_answer_in_so_many_gets_a_line(
    sample: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    access, before = AccessLog(OPERATION, FaultLines(), sample=sample), answered()
    for _ in range(100):
        access.note(200, perf_counter())

    assert len(caplog.records) == lines
    assert answered() - before == 100


def test_a_line_says_what_was_answered_and_how_fast(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    AccessLog(OPERATION, FaultLines(), sample=1).note(404, perf_counter() - 0.25)

    (record,) = caplog.records
    assert record.getMessage().startswith("access.test 404 in 25")
    assert vars(record)["operation"] == OPERATION
    assert vars(record)["status"] == 404
    assert vars(record)["milliseconds"] == pytest.approx(250, abs=200)


class Asked(NamedTuple):
    """A call, as far as a line tells of it."""

    env: str


@pytest.mark.parametrize("status", [200, 503])
def test_a_line_names_the_request_it_is_given(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    note = AccessLog(OPERATION, FaultLines(), sample=1).note
    note(status, perf_counter(), b"mine", Asked("sandbox"))

    (record,) = caplog.records
    assert (vars(record)["request_id"], vars(record)["env"]) == ("mine", "sandbox")


def test_faults_get_lines_without_a_sample(caplog: pytest.LogCaptureFixture) -> None:
    access = AccessLog(OPERATION, FaultLines(), sample=0)
    for status in (500, 200, 503, 404):
        access.note(status, perf_counter())

    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_the_lines_of_faults_are_bounded_in_each_second() -> None:
    faults = FaultLines()

    first = [faults.take(now=12.0 + part / 1000) for part in range(500)]
    second = [faults.take(now=13.0) for _ in range(500)]

    assert sum(first) == sum(second) == FAULT_LINES_MAX
    assert first[0]
    assert second[0]
