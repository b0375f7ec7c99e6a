"""A plain check or track as the bytes of its command: one feature, nothing asked but its units.

A general packer spends more on the twenty arguments of a track than its reply takes to read. What
does not change between two calls for a customer, the function and the keys, is packed by hiredis
once; the rest is four to seven short texts put between fixed ones. The arguments are those of
``Scripts.check`` and ``Scripts.track``, and a test compares the bytes with what hiredis makes of
them.
"""

from __future__ import annotations

from typing import NamedTuple

import hiredis

from gateway.keys import customer_keys
from gateway.scripts.rates import Limit, Limits, terms_of

CUSTOMERS_MAX = 20_000
"""Customers whose keys are remembered, about 1 KiB each; beyond it the memory starts anew."""

NO_LIMITS = Limits()

_CHECK_VALUES = 7
_TRACK_VALUES = 15


class Head(NamedTuple):
    """The beginnings of both commands for one customer: all that is the same each time."""

    check: bytes
    track: bytes
    terms: bytes
    """What follows the time in the argument of a call that is counted; else empty."""


class Packer:
    """Packs commands for the functions of one library; those in ``counted`` where there are limits
    for calls with a secret key.
    """

    def __init__(
        self,
        functions: dict[str, str],
        partitions: int,
        counted: dict[str, str] | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.limits: tuple[Limit, ...] = tuple(filter(None, (limits.key, limits.customer)))
        """Those that bind every command, in the order of their counters."""
        self.is_by_key = limits.key is not None
        """Whether heads differ by API key."""
        chosen = functions if counted is None or not self.limits else counted
        self._of_key, self._of_customer = limits.key, limits.customer
        self._check, self._track = chosen["check"], chosen["track"]
        self._read = "FCALL" if self.limits else "FCALL_RO"
        self._partitions = partitions
        self._heads: dict[tuple[str, str, str], Head] = {}

    def known(self, env: str, customer_id: str, key_id: str = "") -> Head | None:
        """Return the head of a customer that was asked for before."""
        return self._heads.get((env, customer_id, key_id))

    def head(self, env: str, customer_id: str, key_id: str = "") -> Head:
        """Return the head of a customer; the id must be one. An API key is named where heads differ
        by it.
        """
        keys = customer_keys(env, customer_id, self._partitions)
        terms = terms_of(self._of_key, key_id, self._of_customer, keys.customer)
        looked_at = (keys.customer, keys.entities, keys.due, *terms.keys)
        changed = (*keys.own, *terms.keys)
        told = f"{env}\t{customer_id}"
        more = bool(terms.limits)
        made = Head(
            _begin((self._read, self._check, len(looked_at), *looked_at), _CHECK_VALUES + more),
            _begin(("FCALL", self._track, len(changed), *changed, told), _TRACK_VALUES - 1 + more),
            terms.suffix.encode(),
        )
        if len(self._heads) >= CUSTOMERS_MAX:
            self._heads = {}
        self._heads[env, customer_id, key_id] = made
        return made


def check_command(head: Head, now_ms: int, entity: bytes, feature: bytes, units: int) -> bytes:
    """Return the command of a check of so many units."""
    now, amount = b"%d" % now_ms, b"%d" % units
    command = (
        b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n$2\r\n{}\r\n$0\r\n\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$1\r\n0\r\n"
    ) % (
        head.check,
        *(len(now), now),
        *(len(entity), entity),
        *(len(feature), feature),
        *(len(amount), amount),
    )
    return command + _count(now, head.terms) if head.terms else command


def track_command(
    head: Head, told: tuple[bytes, int, bytes, bytes], feature: bytes, units: int
) -> bytes:
    """Return the command of a track of so many units, used now, in mode cap; ``told`` are request
    id, Unix milliseconds, entity and properties.
    """
    request_id, now_ms, entity, properties = told
    now, amount = b"%d" % now_ms, b"%d" % units
    command = (
        b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$3\r\ncap\r\n$0\r\n\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
        b"$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$1\r\n0\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$1\r\n0\r\n"
    ) % (
        head.track,
        *(len(request_id), request_id),
        *(len(now), now),
        *(len(entity), entity),
        *(len(now), now),
        *(len(properties), properties),
        *(len(feature), feature),
        *(len(amount), amount),
    )
    return command + _count(now, head.terms) if head.terms else command


def _count(now: bytes, terms: bytes) -> bytes:
    return b"$%d\r\n%b%b\r\n" % (len(now) + len(terms), now, terms)


def _begin(words: tuple[str | int, ...], values: int) -> bytes:
    """Pack the first words of a command that has so many more."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    _, _, rest = packed.partition(b"\r\n")
    return b"*%d\r\n%b" % (len(words) + values, rest)
