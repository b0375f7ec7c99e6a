"""Is the Redis that answers the one SQL knows? Asked when a process starts, at every new connection
and once a second, and answered before the first call goes through.

``guard`` asks and acts, ``judgement`` decides, ``reseed`` and ``streams`` bring Redis up to SQL,
``server_facts`` tells one server process from another.
"""

from __future__ import annotations

from gateway.guard.guard import Greeting, Guard

__all__ = ["Greeting", "Guard"]
