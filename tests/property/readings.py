"""Replies of the scripts, brought into the shape they are compared in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.engine.views import parts_of
from gateway.rows import Kind, decode_live, decode_rows, encode_live
from gateway.scripts import CustomerReply, Description
from tests.property.portraits import Held, Part, View


class Totals(NamedTuple):
    """Units used and left of a feature, unlimited rows aside."""

    used: int = 0
    left: int = 0

    def plus(self, other: Totals) -> Totals:
        return Totals(self.used + other.used, self.left + other.left)


def view_of(
    seen: Description, labels: Mapping[str, str], *, entity_level: bool, now_ms: int
) -> View:
    """Return a described feature as the reference would show it, rollovers under its labels."""
    parts = [
        Part(labels.get(part.row.id, part.row.id), part.copies, part.used, part.over, part.due_ms)
        for part in parts_of(seen, entity_level=entity_level, now_ms=now_ms)
    ]
    if entity_level:
        return View(parts, None)
    return View(parts, _held(seen.held), _held(seen.rolled))


def _held(text: str) -> Held | None:
    if not text:
        return None
    _, granted, used, over, _, rows, unlimited, sunk = map(int, text.split())
    return Held(granted, used, over, rows, unlimited, sunk) if rows else None


class Shares(NamedTuple):
    """What a scope has of a feature, by who holds it."""

    of_customer: Totals
    of_entities: Totals


def shares_of(seen: Description, *, entity_level: bool, now_ms: int) -> Shares:
    """Return what a scope has of a feature; at entity level ``of_entities`` is this one's."""
    customer, entities = Totals(), Totals()
    shared = {row.id for row in decode_rows(seen.rows) if row.kind is Kind.SHARED}
    for part in parts_of(seen, entity_level=entity_level, now_ms=now_ms):
        if part.row.unlimited:
            continue
        if part.row.id in shared:
            customer = customer.plus(Totals(part.used, part.remaining))
        else:
            entities = entities.plus(Totals(part.used, part.remaining))
    for text in () if entity_level else (seen.held, seen.rolled):
        if text:
            _, granted, used, over, *_ = map(int, text.split())
            entities = entities.plus(Totals(used, granted - used + over))
    return Shares(customer, entities)


Counters = dict[str, tuple[int, int]]


def extras_of(text: str, now_ms: int) -> tuple[int, Counters]:
    """Return the units held by locks, and by key what usage windows have seen that still run."""
    held, counters = 0, {}
    for line in text.split("\n") if text else ():
        kind, *columns = line.split("\t")
        if kind == "k":
            held = int(columns[0])
        elif int(columns[1]) > now_ms and int(columns[2]):
            counters[columns[0]] = (int(columns[1]), int(columns[2]))
    return held, counters


def normal(reply: CustomerReply, now_ms: int) -> CustomerReply:
    """Return a reply without what is Redis' own affair: revision, bands, hints, sums of nothing."""
    described = [_normal_description(one, now_ms) for one in reply.descriptions]
    return reply._replace(
        revision="",
        entity=reply.entity.partition("\t")[2],
        descriptions=[
            one for one in described if one.rows or one.own_rows or one.held or one.rolled
        ],
    )


def _normal_description(seen: Description, now_ms: int) -> Description:
    live = [one._replace(first=0) for one in decode_live(seen.live)]
    return seen._replace(
        live=encode_live(live),
        held=_normal_sums(seen.held),
        rolled=_normal_sums(seen.rolled),
        extras=_normal_extras(seen.extras, now_ms),
        own_extras=_normal_extras(seen.own_extras, now_ms),
    )


def _normal_extras(text: str, now_ms: int) -> str:
    held, counters = extras_of(text, now_ms)
    return repr((held, sorted(counters.items())))  # lines are found by key, in whatever order


def _normal_sums(text: str) -> str:
    band, *sums = text.split() or ["0"] * 8
    return " ".join(sums) if band != "0" and sums[4] != "0" else ""
