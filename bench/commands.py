"""The very commands the gateway sends for a check and a track, for who asks Redis without one."""

from __future__ import annotations

from typing import Any, cast

import hiredis

from bench.stage import PARTITIONS
from gateway.keys import customer_keys
from gateway.scripts.composition import compose

OPERATIONS = ("check", "track")
NOW_MS = 1_795_000_000_000


def command(operation: str, customer: str) -> bytes:
    """Return the command as it is sent."""
    return cast("bytes", hiredis.pack_command(cast("Any", tuple(words(operation, customer)))))


def words(operation: str, customer: str) -> list[str | int]:
    """Return the words of a command, with the arguments the gateway gives the script."""
    function = compose().functions[operation]
    keys = customer_keys("sandbox", customer, PARTITIONS)
    part = ("calls", 1_000_000, 0)
    if operation == "check":
        names = (keys.customer, keys.entities, keys.due)
        return ["FCALL_RO", function, len(names), *names, NOW_MS, "seat", "{}", "", *part]
    head = f"sandbox\t{customer}"
    use = (head, "req", NOW_MS, "seat", "{}", "")
    return ["FCALL", function, len(keys.own), *keys.own, *use, *part]
