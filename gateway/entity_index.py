"""The index of a customer's entities as Redis keeps it: numbers in creation order, and sets of them
that say which entities a walk has to visit.

A set is named by its band and its class: a band is a row period, the held rows of a feature, or the
entities of a feature, all of which are class 0; ``lua/include/index_set.lua`` lists the classes.
Fields of the hash::

    n:B    names of the numbers from 64 B on: a line feed, the number, a tab and the entity for each
    b:c:B  which of the numbers from 1,024 B on are in class c of band b, a digit each: 1 or 0
    b:c    how many are, three hex digits for each B

A missing field or digit is 0. So a walk finds the next member in a piece of text, whatever the
number of entities, and each costs the hash some bytes instead of a field of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

_NAMES = 64
_NUMBERS = 1024
_DIGITS = 3


class Set(NamedTuple):
    """Names a set of the index."""

    band: int
    place: int
    """Its class."""


class EntityIndex(msgspec.Struct):
    """Names and sets, decoded."""

    names: dict[int, str] = {}
    members: dict[Set, set[int]] = msgspec.field(default_factory=lambda: defaultdict(set))

    def fields(self) -> dict[str, str]:
        """Return the fields of the hash."""
        names: dict[str, str] = defaultdict(str)
        for number, entity_id in sorted(self.names.items()):
            names[f"n:{number // _NAMES}"] += f"\n{number}\t{entity_id}"
        texts = dict(names)
        for (band, place), numbers in self.members.items():
            if numbers:
                texts |= _set_fields(f"{band}:{place}", numbers)
        return texts


def decode_index(fields: Mapping[str, str]) -> EntityIndex:
    """Return the index of a hash; raises ``ValueError`` where a count is wrong."""
    index = EntityIndex()
    counts: dict[Set, str] = {}
    for field, text in fields.items():
        kind, *rest = field.split(":")
        if kind == "n":
            for line in text[1:].split("\n"):
                number, _, entity_id = line.partition("\t")
                index.names[int(number)] = entity_id
            continue
        named = Set(int(kind), int(rest[0]))
        if len(rest) == 1:
            counts[named] = text
        else:
            first = int(rest[1]) * _NUMBERS
            index.members[named] |= {first + at for at, digit in enumerate(text) if digit == "1"}
    for named in counts.keys() | index.members.keys():
        if counts.get(named, "").rstrip("0") != _counts(index.members[named]).rstrip("0"):
            raise ValueError(f"set {named.band}:{named.place} is counted wrongly")
    return index


def _set_fields(name: str, numbers: set[int]) -> dict[str, str]:
    blocks: dict[int, list[str]] = {}
    for number in numbers:
        block, at = divmod(number, _NUMBERS)
        digits = blocks.setdefault(block, ["0"] * _NUMBERS)
        digits[at] = "1"
    texts = {f"{name}:{block}": "".join(digits).rstrip("0") for block, digits in blocks.items()}
    return texts | {name: _counts(numbers)}


def _counts(numbers: Iterable[int]) -> str:
    counts: dict[int, int] = defaultdict(int)
    for number in numbers:
        counts[number // _NUMBERS] += 1
    return "".join(f"{counts[block]:0{_DIGITS}x}" for block in range(max(counts, default=-1) + 1))
