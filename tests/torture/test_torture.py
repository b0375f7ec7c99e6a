"""A minute of torture; ``make torture MINUTES=30`` is the long one."""

from __future__ import annotations

import asyncio

from tests.torture.ledger import Outcome, shown
from tests.torture.run import Plan, run

SEED = 4
SECONDS = 60.0
REST_SECONDS = 0.16
"""Leaves some 4,000 operations; flat out they would take all of the machine from other tests."""
ACKNOWLEDGED_MIN = 200
KINDS = {"gateway", "postgres", "redis", "writer"}


def test_kills_at_random_moments_lose_and_double_no_acknowledged_operation() -> None:
    told: list[str] = []
    result = asyncio.run(run(Plan(SEED, SECONDS, rest_seconds=REST_SECONDS), told.append))
    story = "\n".join([*told, *shown(result.faults), result.line])
    assert result.faults == [], story
    assert result.kills.keys() == KINDS, story
    assert result.ledger.totals()[Outcome.ACKNOWLEDGED] >= ACKNOWLEDGED_MIN, story
