"""What a bench found, one shape for all of them: figures with a sample from each round, the bars
they are held against, curves to plot; and how two runs compare.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

NOISE = 1.05
"""Medians closer than this are the same, however little the rounds differ among themselves."""

RATE = "a second"
"""The column of a figure of which more is better; of any other less is."""

SECRET = "--key"
"""What is kept of a command tells not what stands after it."""

_CELL, _HEAD = 13, 30


class Figure(msgspec.Struct, frozen=True):
    """One number of the table, with what each round measured."""

    row: str
    column: str
    samples: list[float]

    @property
    def median(self) -> float:
        """The number that counts."""
        return statistics.median(self.samples)


class Bar(msgspec.Struct, frozen=True):
    """A ratio and what it has to reach; ``ambitious`` must be met, ``stretch`` is aimed at, and
    without one there is nothing to aim at beyond a limit.
    """

    name: str
    ratio: float
    ambitious: float
    stretch: float | None = None

    @property
    def is_floor(self) -> bool:
        """Whether the ratio must be at least, not at most, as large."""
        return self.stretch is not None and self.stretch >= self.ambitious

    def __str__(self) -> str:
        """Say the ratio, the bar and the verdict."""
        sign = 1 if self.is_floor else -1
        verdict = "missed"
        if sign * (self.ratio - self.ambitious) >= 0:
            verdict = "met"
            if self.stretch is not None and sign * (self.ratio - self.stretch) >= 0:
                verdict = "stretch"
        word = "at least" if self.is_floor else "at most"
        bar = f"{word} {self.ambitious:g}"
        if self.stretch is not None:
            bar += f" / {self.stretch:g}"
        return f"{self.name:<58}{self.ratio:>8.2f}  {bar:<20} {verdict}"


class Curve(msgspec.Struct, frozen=True):
    """One line of a plot; curves that name the same plot share its axes."""

    plot: str
    x: str
    y: str
    name: str
    points: list[tuple[float, float]]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one bench found, with a hash of what was answered."""

    about: str
    answers: str
    figures: list[Figure] = []
    bars: list[Bar] = []
    curves: list[Curve] = []
    text: str = ""
    """The table of a bench that draws its own."""

    def table(self) -> str:
        """Return the figures and bars as text."""
        lines = [self.about, self.text or grid(self.figures), *map(str, self.bars)]
        return "\n".join([*lines, f"answers {self.answers}"])


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as it is kept in a file."""

    date: str
    commit: str
    machine: str
    command: str
    outcomes: dict[str, Outcome]


def record(outcomes: dict[str, Outcome]) -> Record:
    """Return a run with where and when it was made."""
    return Record(
        date=dt.datetime.now(dt.UTC).isoformat(" ", "seconds"),
        commit=_commit(),
        machine=_machine(),
        command=" ".join(["python -m bench", *_shown(sys.argv[1:])]),
        outcomes=outcomes,
    )


def _shown(words: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command without its key: files are passed on."""
    before = ""
    for word in words:
        name, sign, _ = word.partition("=")
        yield "..." if before == SECRET else f"{name}=..." if sign and name == SECRET else word
        before = word


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        run = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return run.stdout.strip()


def _machine() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
        model = text.partition("model name")[2].partition("\n")[0].lstrip("\t: ")
    except OSError:
        model = ""
    about = f"{os.cpu_count()} cores of {model or platform.machine()}"
    return f"{about}, {platform.system()}, Python {platform.python_version()}"


def grid(figures: Sequence[Figure]) -> str:
    """Return figures as a table."""
    columns = list(dict.fromkeys(one.column for one in figures))
    rows: dict[str, dict[str, float]] = {}
    for one in figures:
        rows.setdefault(one.row, {})[one.column] = one.median
    head = max([_HEAD, *map(len, rows)])
    lines = [" " * head + "".join(f"{column:>{_CELL}}" for column in columns)]
    for row, found in rows.items():
        cells = (_cell(found[name]) if name in found else "" for name in columns)
        lines.append(f"{row:<{head}}" + "".join(f"{cell:>{_CELL}}" for cell in cells))
    return "\n".join(lines)


def _cell(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def figures_of(result: msgspec.Struct) -> Iterator[Figure]:
    """Yield the numbers of a result that has a shape of its own: rows are its lists of structs."""
    for name in result.__struct_fields__:
        found = getattr(result, name)
        for each in found if isinstance(found, list) else ():
            facts = msgspec.structs.asdict(each)
            row = " ".join([name, *(fact for fact in facts.values() if isinstance(fact, str))])
            for column, number in facts.items():
                if isinstance(number, int | float):
                    yield Figure(row, column, [float(number)])
        if isinstance(found, int | float):
            yield Figure("all", name, [float(found)])


def compare(before: Record, after: Record) -> Iterator[str]:
    """Yield a line for each figure of both runs, and what changed beyond noise."""
    for name, outcome in after.outcomes.items():
        if name not in before.outcomes:
            continue
        old = before.outcomes[name]
        if old.answers != outcome.answers:
            yield f"{name}: the answers changed ({old.answers}, {outcome.answers})"
        known = {(one.row, one.column): one for one in old.figures}
        for figure in outcome.figures:
            if other := known.get((figure.row, figure.column)):
                label = f"{name}: {figure.row}, {figure.column}"
                numbers = f"{_cell(other.median):>10}{_cell(figure.median):>10}"
                yield f"{label:<58}{numbers}{_ratio(other, figure):>8}  {_change(other, figure)}"


def _ratio(before: Figure, after: Figure) -> str:
    return f"{after.median / before.median:.2f}" if before.median else "-"


def _change(before: Figure, after: Figure) -> str:
    """Say whether the rounds of two runs differ more than among themselves."""
    if min(len(before.samples), len(after.samples)) < 3:
        return "one sample: no telling"
    low, high = sorted((before, after), key=lambda one: one.median)
    if max(low.samples) >= min(high.samples) or high.median < low.median * NOISE:
        return ""
    return "better" if (high is after) == (after.column.endswith(RATE)) else "worse"
