"""The time of each environment: live time is the machine's, the sandbox's may be ahead of it."""

from __future__ import annotations

from gateway.lifecycle.clock import SANDBOX
from gateway.messages.clock import ClockView
from gateway.ports import WallClock


class EnvironmentClock:
    """``gateway.ports.Clock``; ``offset_ms`` is how far the sandbox is ahead, as the catalog knows
    it.
    """

    def __init__(self, wall: WallClock) -> None:
        self._wall = wall
        self.offset_ms = 0

    def now_ms(self, env: str) -> int:
        """Return Unix milliseconds."""
        now_ms = self._wall.now_ms()
        return now_ms + self.offset_ms if env == SANDBOX else now_ms

    def view(self, env: str) -> ClockView:
        """Return the time of an environment and how far it is ahead of the machine's."""
        offset_ms = self.offset_ms if env == SANDBOX else 0
        return ClockView(now=self._wall.now_ms() + offset_ms, offset=offset_ms)
