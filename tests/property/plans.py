"""Made-up rows and controls: what plans could put on customers and entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import hypothesis.strategies as st
from msgspec.structs import replace

from gateway.cycles import next_boundary
from gateway.lifecycle.order import arrange
from gateway.rows import Flag, Kind, Row, RowDocument, encode_rows
from gateway.scripts import FeatureRows
from tests.property.balances import NewRow
from tests.property.rules import RuleText, Spend, Window

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SEAT = 10
"""Units one entity counts for."""

FEATURES = ("calls", "seats", "store", "coins", "gems")
CREDIT = {
    "calls": [("coins", 1, 5), ("gems", 10, 1)],
    "store": [("coins", 3, 2)],
    "seats": [("gems", 2, 3)],
}
"""Two credit systems in catalog order: units of theirs for so many of the feature's."""
_CAPPED = "C"  # in drafts only: the floor counts

features = st.sampled_from(FEATURES)
used_features = st.sampled_from(("calls", "calls", "store", "store", "seats", "coins"))
controlled = st.sampled_from(("calls", "calls", "store", "coins", "coins", "gems"))
properties: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    ({}, {"model": "big"}, {"model": "small", "n": 1}, {"model": "small", "n": True})
)
entity_features = st.sampled_from(("seats", "seats", "seats", "rooms"))
amounts = st.sampled_from((0, 1, 5, 10, 20, 50, 100)) | st.integers(0, 300)
uses = amounts | st.just(1000)
signed_amounts = st.builds(lambda amount, sign: amount * sign, uses, st.sampled_from((1, 1, 1, -1)))


class Draft(NamedTuple):
    """A row to be, before it has an id and a date."""

    entity_feature: str
    grant: int
    flags: str
    floor: int
    reset: tuple[str, int]
    lasts_ms: int
    rank: int
    roll: str
    planned: int | None
    document: RowDocument


# What rolls over or outlives a reset, by far not in every row.
ROLLS = ("", "", "", "30:1", ":1", "60:2", ":0")
KEEPING = ("k", "ok")

drafts = st.builds(
    Draft,
    entity_feature=st.sampled_from(("", "", "seats", "seats", "rooms")),
    grant=amounts,
    flags=st.sampled_from(
        (
            "",
            "",
            "",
            "",
            "",
            "u",
            "o",
            "o",
            "oC",
            "oC",
            "oC",
            "a",
            "af",
            "af",
            "oa",
            "oCa",
            "f",
            *KEEPING,
        )
    ),
    floor=st.sampled_from((0, 1, 5, 20, 50)),
    reset=st.sampled_from((("", 0), ("", 0), ("f", HOUR_MS), ("m", 1), ("m", 3))),
    lasts_ms=st.sampled_from((0, 0, 0, HOUR_MS, 40 * DAY_MS)),
    rank=st.integers(0, 9),
    roll=st.sampled_from(ROLLS),
    planned=st.none() | st.sampled_from((None, None, 0, 30, 70)),
    document=st.builds(
        RowDocument,
        subscription_id=st.sampled_from((None, "sub_1")),
        apart=st.sampled_from((False, False, True)),
    ),
)
Plan = dict[str, list[Draft]]
several = st.lists(drafts, min_size=2, max_size=4)
first_plans = st.fixed_dictionaries({}, optional=dict.fromkeys(FEATURES, several))
plans = st.dictionaries(features, st.lists(drafts, max_size=3), min_size=1, max_size=2)


_windows = st.builds(
    lambda limit, span, anchor_ms, only: Window(limit, span[0], span[1], anchor_ms, only),
    limit=amounts,
    span=st.sampled_from((("f", HOUR_MS), ("f", DAY_MS), ("m", 1))),
    anchor_ms=st.sampled_from((0, 1_706_690_000_000)),
    only=st.sampled_from(
        ("{}", "{}", '{"model":"big"}', '{"model":["big","small"],"n":1}', '{"n":["1","true"]}')
    ),
)
controls = st.builds(
    RuleText,
    overage=st.sampled_from(("", "", "1", "0")),
    spend=st.none()
    | st.builds(Spend, st.integers(0, 60))
    | st.builds(Spend, st.integers(0, 2_500_000), st.just(True)),
    windows=st.lists(_windows, max_size=2, unique_by=lambda window: window.key),
)


def fitting(feature: str, draft: Draft) -> Draft:
    """Return a draft as a plan or a grant may have it: what counts entities is not consumable, so
    all of it is continuous use, which neither resets nor rolls over (cold-path section 2.3).
    """
    if feature != "seats":
        return draft
    flags = draft.flags.replace(Flag.KEEPS_OVERAGE, "").replace(Flag.ALLOCATED, "")
    return draft._replace(roll="", reset=("", 0), flags=flags + Flag.ALLOCATED)


def make_row(draft: Draft, number: int, scope: str, now_ms: int) -> Row:
    """Return the row of a draft. Continuous use neither resets nor expires."""
    flags = draft.flags.replace(_CAPPED, "")
    lasting = Flag.ALLOCATED in flags or Flag.FREE_OVERAGE in flags
    unit, every = ("", 0) if lasting else draft.reset
    kind = Kind.PER_ENTITY if draft.entity_feature and not scope else Kind.SHARED
    grant = 0 if Flag.UNLIMITED in flags else draft.grant
    by_hand = unit and kind is Kind.SHARED and Flag.UNLIMITED not in flags
    return Row(
        id=f"cus_ent_{number}",
        kind=kind,
        grant=grant,
        flags=flags,
        unit=unit,
        every=every,
        anchor_ms=now_ms,
        expires_ms=now_ms + draft.lasts_ms if draft.lasts_ms and not lasting else 0,
        floor=draft.floor if _CAPPED in draft.flags else None,
        rank=f"{draft.rank}{number:05d}",
        entity_feature=draft.entity_feature,
        roll=draft.roll if unit and not draft.lasts_ms and Flag.UNLIMITED not in flags else "",
        document=replace(
            draft.document, included=grant, planned=draft.planned if by_hand else None
        ),
    )


def in_order(kept: Sequence[NewRow], made: Sequence[Row], now_ms: int) -> list[NewRow]:
    """Return rows that stay and new ones together, with the first reset of each."""
    dues = {row.id: due_ms for row, due_ms in kept}
    for row in made:
        dues[row.id] = next_boundary(row.anchor_ms, row.unit, row.every, now_ms)
    rows = arrange([row for row, _ in kept] + list(made))
    return [(row, dues[row.id]) for row in rows]


def feature_rows(rows: Mapping[str, Sequence[NewRow]]) -> list[FeatureRows]:
    """Return rows as the scripts take them."""
    return [
        FeatureRows(
            feature,
            encode_rows([row for row, _ in made]),
            " ".join(str(due_ms) for _, due_ms in made),
            SEAT,
        )
        for feature, made in rows.items()
    ]
