"""The Lua scripts as typed coroutines: what they are asked (``calls``), how they come to the server
(``composition``, ``server``), and one coroutine for each (``scripts``).

Beside them: the connection checks and tracks share (``pipe``, or ``pipes`` to a Cluster, both
``asking`` alike), with its ``faults``, the commands ``packed`` for it and those that every process
``looks`` around with, what errors mean to callers (``outcomes``), the ``breaker``, what is counted
(``rates``), what is waited for (``barrier``), the customers there are (``residents``) and those who
come from SQL (``restores``), and what Redis is cleared of before a feature is rescaled
(``clearance``).
"""

from __future__ import annotations

from gateway.scripts.calls import (
    GAVE_ALL,
    CheckReply,
    Context,
    CustomerReply,
    Description,
    Ending,
    FeatureRows,
    Hold,
    HoldDue,
    Idempotency,
    Move,
    Part,
    Pool,
    PooledGroups,
    RowEdit,
    Status,
    Target,
    TrackReply,
    Use,
    check_reply,
    lone_row,
    track_reply,
)
from gateway.scripts.scripts import Scripts

__all__ = [
    "GAVE_ALL",
    "CheckReply",
    "Context",
    "CustomerReply",
    "Description",
    "Ending",
    "FeatureRows",
    "Hold",
    "HoldDue",
    "Idempotency",
    "Move",
    "Part",
    "Pool",
    "PooledGroups",
    "RowEdit",
    "Scripts",
    "Status",
    "Target",
    "TrackReply",
    "Use",
    "check_reply",
    "lone_row",
    "track_reply",
]
