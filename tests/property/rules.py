"""Billing controls as the reference reads them: the rules text of a feature, line by line.

A text is written here by ``RuleText.text`` for the scripts and read here again for the reference,
so the machine needs no gateway to set controls. Windows follow hot-path section 3.6.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha1
from typing import Any, NamedTuple

from gateway.cycles import next_boundary
from gateway.lifecycle.rules import BEHIND_MS_MAX

Properties = Mapping[str, Any]


@dataclass(frozen=True)
class Window:
    """A usage limit: so many units until the next boundary; ``owner`` is whose counter counts."""

    limit: int
    unit: str
    every: int
    anchor_ms: int
    only: str = "{}"
    """JSON of the properties it is about."""
    owner: str = ""

    @property
    def key(self) -> str:
        if self.only == "{}":
            return ""
        return sha1(self.only.encode(), usedforsecurity=False).hexdigest()[:8]

    def end_ms(self, now_ms: int) -> int:
        return next_boundary(self.anchor_ms, self.unit, self.every, now_ms)

    def current_end_ms(self, now_ms: int, counted_ms: int) -> int:
        """Return the end of the cycle a use counts in: shortly before a boundary that of the next
        one, where that has been counted in by somebody whose clock is ahead.
        """
        ends_ms = self.end_ms(now_ms)
        begun = counted_ms == self.end_ms(ends_ms) and ends_ms - now_ms <= BEHIND_MS_MAX
        return counted_ms if begun else ends_ms

    def matches(self, properties: Properties) -> bool:
        """Whether an event is what the limit is about: equal JSON, or one of a list; a text is also
        the number or the boolean it spells.
        """
        for name, wanted in json.loads(self.only).items():
            if name not in properties:
                return False
            choices = wanted if isinstance(wanted, list) else [wanted]
            value = properties[name]
            spelled = isinstance(value, bool | int | float) and json.dumps(value) in choices
            if not spelled and json.dumps(value) not in map(json.dumps, choices):
                return False
        return True

    def line(self) -> str:
        columns = (self.limit, self.unit, self.every, self.anchor_ms, self.only)
        return "\t".join(("w", self.key, *map(str, columns)))


class Spend(NamedTuple):
    """A spend limit: units below zero, or millionths of what main plans include in sight."""

    amount: int
    share: bool = False


class RuleText(NamedTuple):
    """The rules one scope has for one feature; ``overage`` is 1, 0 or empty for no say."""

    overage: str = ""
    spend: Spend | None = None
    windows: Sequence[Window] = ()

    @property
    def text(self) -> str:
        lines = [f"o\t{self.overage}"] if self.overage else []
        lines += [f"s\t{self.spend.amount}\t{int(self.spend.share)}"] if self.spend else []
        return "\n".join([*lines, *(window.line() for window in self.windows)])


NONE = RuleText()


def in_force(customer: RuleText, entity: RuleText, scope: str) -> RuleText:
    """Return what holds for a call: the entity's own rules win, filter by filter for windows."""
    own = [replace(window, owner=scope) for window in entity.windows]
    replaced = {window.key for window in own}
    return RuleText(
        entity.overage or customer.overage,
        entity.spend or customer.spend,
        [*own, *(one for one in customer.windows if one.key not in replaced)],
    )


class Counter(NamedTuple):
    """What a window has seen of the cycle that ends then."""

    end_ms: int
    used: int

    def at(self, end_ms: int) -> int:
        return self.used if self.end_ms == end_ms else 0
