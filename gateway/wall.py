"""The one clock of the machine; everything else is handed a time or a clock."""

from __future__ import annotations

import time


class SystemClock:
    """The time of this machine."""

    def now_ms(self) -> int:
        """Return Unix milliseconds."""
        return time.time_ns() // 1_000_000
