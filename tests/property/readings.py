"""Replies of the scripts, brought into the shape they are compared in."""

from __future__ import annotations

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


def view_of(seen: Description, *, entity_level: bool, now_ms: int) -> View:
    """Return a described feature as the reference would show it."""
    parts = [
        Part(part.row.id, part.copies, part.used, part.over, part.due_ms)
        for part in parts_of(seen, entity_level=entity_level, now_ms=now_ms)
    ]
    if entity_level or not seen.held:
        return View(parts, None)
    _, granted, used, over, _, rows, unlimited, sunk = map(int, seen.held.split())
    return View(parts, Held(granted, used, over, rows, unlimited, sunk) if rows else None)


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
    if seen.held and not entity_level:
        _, granted, used, over, *_ = map(int, seen.held.split())
        entities = entities.plus(Totals(used, granted - used + over))
    return Shares(customer, entities)


def normal(reply: CustomerReply) -> CustomerReply:
    """Return a reply without what is Redis' own affair: revision, bands, hints, sums of nothing."""
    described = [_normal_description(one) for one in reply.descriptions]
    return reply._replace(
        revision="",
        entity=reply.entity.partition("\t")[2],
        descriptions=[one for one in described if one.rows or one.own_rows or one.held],
    )


def _normal_description(seen: Description) -> Description:
    live = [one._replace(first=0) for one in decode_live(seen.live)]
    band, *sums = seen.held.split() or ["0"] * 8
    return seen._replace(
        live=encode_live(live), held=" ".join(sums) if band != "0" and sums[4] != "0" else ""
    )
