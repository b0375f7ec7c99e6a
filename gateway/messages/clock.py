"""``clock.*``: the clock of the sandbox, an addition to the reference."""

from __future__ import annotations

import msgspec

from gateway.messages.common import Integer


class ClockGetRequest(msgspec.Struct, kw_only=True):
    """Nothing to say."""


class ClockAdvanceRequest(msgspec.Struct, kw_only=True):
    """Exactly one of a step, ``by``, and a time, ``to`` (Unix milliseconds)."""

    by: str | None = None
    to: Integer | None = None


class ClockView(msgspec.Struct, kw_only=True, frozen=True):
    """The time of the environment in Unix milliseconds, and how many of them it is ahead of the
    machine.
    """

    now: int
    offset: int
