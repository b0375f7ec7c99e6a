"""How long the writer waits for a batch to fill."""

from __future__ import annotations

import pytest

from persistence.sync.lingering import Lingering

_LINGER = 0.02
_BATCH_MAX = 4_000


def _left(entries: int, *, since: float, linger: float = _LINGER) -> float:
    lingering = Lingering(linger, _BATCH_MAX)
    lingering.note(1, 100.0)
    lingering.note(entries, 100.0 + since)
    return lingering.left(100.0 + since)


def test_first_read_is_due() -> None:
    assert Lingering(_LINGER, _BATCH_MAX).left(0.5) == 0


@pytest.mark.parametrize(
    ("a_second", "seconds"),
    [(100, 0.02), (2_500, 0.02), (5_000, 0.04), (12_500, 0.1), (39_000, 0.1)],
)
def test_the_more_comes_the_longer_the_next_read_waits(a_second: int, seconds: float) -> None:
    assert _left(a_second // 10, since=0.1) == pytest.approx(seconds)


def test_wait_counts_from_the_read() -> None:
    lingering = Lingering(_LINGER, _BATCH_MAX)
    lingering.note(5, 100.0)
    assert lingering.left(100.015) == pytest.approx(0.005)
    assert lingering.left(100.02) == pytest.approx(0)
    assert lingering.left(103.0) == 0


def test_few_entries_at_once_are_no_load() -> None:
    assert _left(50, since=0.0001) == pytest.approx(_LINGER)


@pytest.mark.parametrize("entries", [0, _BATCH_MAX])
def test_nothing_waits_after_nothing_and_after_a_full_batch(entries: int) -> None:
    assert _left(entries, since=0.03) == 0


def test_no_linger_is_none_under_load() -> None:
    assert _left(3_000, since=0.1, linger=0) == 0
