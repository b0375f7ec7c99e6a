r"""The *rules text* of a feature: what billing controls come to, as scripts obey it. Pure.

``gateway.lifecycle.controls`` writes it whenever controls, plans or rows of a scope change. One
line per rule, columns separated by tabs::

    o 1|0                                  whether rows may go below zero, whatever their plan says
    s amount 0|1                           spend limit: units below zero or, 1, millionths of what
                                           main recurring plans include of what a call may spend
    w key limit unit every anchor filter   usage limit: units of one window of ``gateway.cycles``
    a kind threshold name                  usage alert
    c 1                                    windows count what leaves the rows, rollovers apart
    d 1                                    entities may not spend from the customer's rows
    h s, or h w key                        an entity is free of a spend limit, or window, above it

``key`` is empty without a filter, else 8 digits of its hash; ``filter`` is ``{}`` or the properties
as JSON. ``anchor`` has a c in front where an entity's window goes along with the balance of its
customer, if that resets. A threshold is in units, or in hundredths of a percent; ``name`` is JSON
or empty. What rules have counted is the *extras* text beside them::

    k held                                 units of open locks
    w key end used                         one window: it counts until ``end``

Amounts are units of the feature's precision, times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1
from typing import NamedTuple

import msgspec

from gateway.cycles import MINUTE_MS, next_boundary
from gateway.lifecycle.order import arrange
from gateway.rows import Row

ALONE_LINE = "d\t1"
CREDITS_LINE = "c\t1"
"""A credit system's: whatever is tracked, its windows bound its rows and leave rollovers alone."""

BEHIND_MS_MAX = 2 * MINUTE_MS
"""How far a clock may be behind another one and still count in the window that one has begun, as
``lua/include/read_rules.lua`` has it.
"""


class Spend(NamedTuple):
    """A spend limit: units that rows may be below zero together, or millionths of what main
    recurring plans include.
    """

    amount: int
    share: bool = False

    @property
    def line(self) -> str:
        """The line of the rules text."""
        return f"s\t{self.amount}\t{int(self.share)}"


class Window(NamedTuple):
    """A usage limit."""

    key: str
    limit: int
    unit: str
    every: int
    anchor_ms: int
    filter: str
    follows: bool = False
    """Whether cycles are those of the customer's balance, if there is one that resets."""

    @property
    def line(self) -> str:
        """The line of the rules text."""
        *columns, anchor_ms, properties, follows = self
        anchor = f"c{anchor_ms}" if follows else anchor_ms
        return "\t".join(("w", *map(str, columns), str(anchor), properties))


class Alert(NamedTuple):
    """A usage alert."""

    kind: str
    threshold: int
    name: str

    @property
    def line(self) -> str:
        """The line of the rules text."""
        name = msgspec.json.encode(self.name).decode() if self.name else ""
        return f"a\t{self.kind}\t{self.threshold}\t{name}"


class Rules(NamedTuple):
    """A rules text."""

    overage: bool | None = None
    spend: Spend | None = None
    windows: tuple[Window, ...] = ()
    alerts: tuple[Alert, ...] = ()


class Extras(NamedTuple):
    """An extras text; ``windows`` is key -> (end, used)."""

    held: int
    windows: dict[str, tuple[int, int]]


def filter_key(text: str) -> str:
    """Return the key of a usage limit from the canonical text of its filter."""
    return "" if text == "{}" else sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]


def hiding_line(letter: str, *columns: str) -> str:
    """Return the line by which an entity is free of a rule of the customer."""
    return "\t".join(("h", letter, *columns))


def overage_line(*, allowed: bool) -> str:
    """Return the line that allows or forbids overage."""
    return f"o\t{int(allowed)}"


def is_alone(rules: str) -> bool:
    """Whether entities may not spend from the rows the customer's rules text belongs to."""
    return rules.endswith(ALONE_LINE)


def overage_control(*texts: str) -> bool | None:
    """Return what the first rules text with a say in it says of overage; None when none does."""
    for text in texts:
        if text.startswith("o\t"):
            return text[2] == "1"
    return None


def decode_rules(text: str) -> Rules:
    """Return the rules of a rules text."""
    spend: Spend | None = None
    windows: list[Window] = []
    alerts: list[Alert] = []
    for line in text.split("\n") if text else ():
        letter, *columns = line.split("\t")
        if letter == "s":
            spend = Spend(int(columns[0]), columns[1] == "1")
        elif letter == "w":
            key, limit, unit, every, anchor, properties = columns
            counted = (key, int(limit), unit, int(every), int(anchor.lstrip("c")), properties)
            windows.append(Window(*counted, follows=anchor.startswith("c")))
        elif letter == "a":
            kind, threshold, name = columns
            alerts.append(Alert(kind, int(threshold), msgspec.json.decode(name) if name else ""))
    return Rules(overage_control(text), spend, tuple(windows), tuple(alerts))


def decode_extras(text: str) -> Extras:
    """Return what the rules of a feature have counted."""
    held = 0
    windows: dict[str, tuple[int, int]] = {}
    for line in text.split("\n") if text else ():
        letter, *columns = line.split("\t")
        if letter == "k":
            held = int(columns[0])
        else:
            key, end, used = columns
            windows[key] = int(end), int(used)
    return Extras(held, windows)


def cycle_anchor(rows: Iterable[Row]) -> int | None:
    """Return where the cycles of a balance are counted from: of one of a main plan before that of
    another plan before one of none. None: no row resets, apart from those that end by themselves,
    of which nothing would tell a window.
    """
    lasting = arrange([row for row in rows if row.unit and not row.expires_ms])
    return min(lasting, key=_distance).anchor_ms if lasting else None


def _distance(row: Row) -> int:
    if row.document.subscription_id and not row.document.apart:
        return 0
    return 1 if row.document.subscription_id or row.pooled else 2


def window_usage(
    rules: str, extras: str, key: str, now_ms: int, followed: Iterable[Row] = ()
) -> int:
    """Return the units counted in the current window of a usage limit; 0 when no rule counts them,
    or none were since the window began. ``followed`` are the customer's rows that an entity sees.
    """
    end, used = decode_extras(extras).windows.get(key, (0, 0))
    for window in decode_rules(rules).windows:
        if window.key == key:
            cycle = cycle_anchor(followed) if window.follows else None
            anchor_ms = window.anchor_ms if cycle is None else cycle
            cycles = (anchor_ms, window.unit, window.every)
            current = next_boundary(*cycles, now_ms)
            if end > current and current - now_ms <= BEHIND_MS_MAX:
                current = next_boundary(*cycles, current)
            return used if current == end else 0
    return 0
