"""What every process looks for again and again, in all partitions: made once, then only sent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from gateway.keys import Key, holds_key, outbox_key
from gateway.scripts.asking import Command


@cache
def lengths(partitions: int) -> Sequence[Command]:
    """Return how to ask how many entries each outbox holds."""
    return [Command("XLEN", outbox_key(at)) for at in range(partitions)]


@cache
def held(env: str, partitions: int, together: int) -> Sequence[Command]:
    """Return how to ask whether there are any ``holds`` sets of an environment, so many of which a
    command may name ``together``.
    """
    places = [holds_key(env, at) for at in range(partitions)]
    return [Command("EXISTS", *some) for some in apart(places, together)]


def apart(keys: Sequence[Key], together: int) -> list[Sequence[Key]]:
    """Return the keys by those that one command may name."""
    return [keys[at : at + together] for at in range(0, len(keys), together)]
