"""Figures, bars, and what two runs say of each other."""

from __future__ import annotations

import sys

import msgspec
import pytest

from bench.results import Bar, Figure, Outcome, Record, compare, figures_of, grid, record


def run_of(*figures: Figure, answers: str = "same") -> Record:
    outcome = Outcome(about="", answers=answers, figures=list(figures))
    return Record(date="", commit="", machine="", command="", outcomes={"track": outcome})


def changes(before: list[float], after: list[float], column: str = "p99 µs") -> str:
    (line,) = compare(run_of(Figure("lane", column, before)), run_of(Figure("lane", column, after)))
    return line


def test_rounds_that_overlap_have_not_changed() -> None:
    line = changes([10, 12, 14], [13, 15, 16])
    assert line.split()[-3:] == ["12", "15", "1.25"]


@pytest.mark.parametrize(
    ("column", "verdict"), [("p99 µs", "worse"), ("a second", "better"), ("CPU µs", "worse")]
)
def test_rounds_apart_have_changed_for_better_or_worse(column: str, verdict: str) -> None:
    assert changes([10, 11, 12], [20, 21, 22], column).endswith(verdict)


def test_less_time_is_better() -> None:
    assert changes([20, 21, 22], [10, 11, 12]).endswith("better")


def test_a_small_difference_is_noise_however_sharp() -> None:
    assert changes([100, 100, 100], [102, 102, 102]).endswith("1.02  ")


def test_one_sample_tells_nothing() -> None:
    assert changes([10], [20]).endswith("one sample: no telling")


def test_a_median_of_zero_has_no_ratio() -> None:
    assert changes([0, 0, 0], [0, 0, 0]).split()[-1] == "-"


def test_columns_stand_below_their_heads_however_long_a_row_is_named() -> None:
    lines = grid([Figure("lane", "p50 µs", [1]), Figure("entities " * 5, "p50 µs", [2])])
    assert len({len(line) for line in lines.splitlines()}) == 1


def test_other_answers_are_told() -> None:
    found = list(compare(run_of(answers="a"), run_of(answers="b")))
    assert found == ["track: the answers changed (a, b)"]


@pytest.mark.parametrize("words", [("--key", "am_sk_live_1"), ("--key=am_sk_live_1",)])
def test_the_command_of_a_run_is_kept_without_its_key(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *words, "--seconds", "3"])
    kept = record({})
    assert "am_sk" not in msgspec.json.encode(kept).decode()
    assert kept.command.endswith("... --seconds 3")


def test_only_what_both_runs_have_is_compared() -> None:
    before = run_of(Figure("lane", "p50 µs", [1, 1, 1]))
    after = run_of(Figure("asgi", "p50 µs", [1, 1, 1]))
    assert list(compare(before, after)) == []
    assert (
        list(compare(Record(date="", commit="", machine="", command="", outcomes={}), after)) == []
    )


@pytest.mark.parametrize(
    ("bar", "verdict"),
    [
        (Bar("rate", 0.59, 0.6, 0.7), "missed"),
        (Bar("rate", 0.60, 0.6, 0.7), "met"),
        (Bar("rate", 0.71, 0.6, 0.7), "stretch"),
        (Bar("cost", 1.6, 1.5, 1.2), "missed"),
        (Bar("cost", 1.5, 1.5, 1.2), "met"),
        (Bar("cost", 1.1, 1.5, 1.2), "stretch"),
        (Bar("bytes", 200, 200), "at most 200          met"),
        (Bar("bytes", 201, 200), "at most 200          missed"),
    ],
)
def test_a_bar_says_whether_it_is_met(bar: Bar, verdict: str) -> None:
    assert str(bar).endswith(verdict)


def test_the_table_shows_medians_by_row_and_column() -> None:
    figures = [
        Figure("lane", "a second", [10_000, 12_000, 11_000]),
        Figure("lane", "p50 µs", [2.5]),
        Figure("asgi", "p50 µs", [0]),
    ]
    table = Outcome(about="rounds", answers="abc", figures=figures).table()
    assert [line.split() for line in table.splitlines()] == [
        ["rounds"],
        ["a", "second", "p50", "µs"],
        ["lane", "11,000", "2.5"],
        ["asgi", "0"],
        ["answers", "abc"],
    ]


class Line(msgspec.Struct):
    sql: str
    entries: int


class Own(msgspec.Struct):
    seconds: float
    lines: list[Line]
    answers: str


def test_a_result_of_its_own_shape_has_figures_too() -> None:
    found = list(figures_of(Own(1.5, [Line("sqlite", 7)], "abc")))
    assert found == [Figure("all", "seconds", [1.5]), Figure("lines sqlite", "entries", [7])]


def test_a_run_survives_its_file() -> None:
    kept = run_of(Figure("lane", "p50 µs", [1, 2]))
    assert msgspec.json.decode(msgspec.json.encode(kept), type=Record) == kept
