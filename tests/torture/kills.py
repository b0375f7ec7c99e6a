"""The kills: which process, when, and how long until it is started again, all from one seed. Some
processes are not killed but stand still for a while, as on a machine that is paused.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.torture.processes import Part, pause

BETWEEN = (0.1, 1.0)
"""Time between two kills, as a share of the pace."""
PACE_SECONDS = (4.0, 12.0)
STARTS_IN_PACE = 2
DOWN_SECONDS = (0.0, 2.5)
TOGETHER_SHARE = 0.15
"""Share of kills that are followed by another one at once."""


STALL_SHARE = 0.25
STALL_SECONDS = (0.2, 4.0)
"""Up to more than what a writer's lease lasts, and what a gateway waits for Redis."""


class Kill(NamedTuple):
    """One kill, ``at`` seconds after the begin; the process is down for ``pause_seconds``."""

    at: float
    target: str
    pause_seconds: float


class Killer:
    """Kills processes until it is stopped.

    ``start_seconds`` is what the processes took to start: where that is long, because the machine
    is busy, kills are fewer, else nothing would ever be up.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        seed: int,
        tell: Callable[[str], None],
        *,
        start_seconds: float,
    ) -> None:
        least, most = PACE_SECONDS
        self._pace = min(max(least, STARTS_IN_PACE * start_seconds), most)
        self._parts = parts
        self._dice = random.Random(f"{seed}/kills")
        self._tell = tell
        self.kills: list[Kill] = []

    async def run(self, stopping: asyncio.Event) -> None:
        """Kill one process after the other, of each kind as often as of any other kind."""
        began = time.monotonic()
        kinds = sorted({part.kind for part in self._parts})
        left: list[str] = []
        while True:
            if self._dice.random() >= TOGETHER_SHARE:
                await pause(stopping, self._pace * self._dice.uniform(*BETWEEN))
            if stopping.is_set():
                return
            left = left or self._dice.sample(kinds, len(kinds))
            kind = left.pop()
            part = self._dice.choice([one for one in self._parts if one.kind == kind])
            down = self._dice.uniform(*DOWN_SECONDS)
            stalls = self._dice.random() < STALL_SHARE
            seconds = self._dice.uniform(*STALL_SECONDS)
            if part.can_be_killed and stalls:
                at = time.monotonic() - began
                self._tell(f"{at:8.1f} s  {part.name} stands still for {seconds:.1f} s")
                await part.stall(stopping, seconds)
            elif part.can_be_killed:
                part.kill(down)
                kill = Kill(time.monotonic() - began, part.name, down)
                self.kills.append(kill)
                self._tell(f"{kill.at:8.1f} s  kill -9 {kill.target}, down for {down:.1f} s")

    def counts(self) -> Counter[str]:
        """Return how often each kind of process was killed."""
        return Counter(kill.target.partition("-")[0] for kill in self.kills)
