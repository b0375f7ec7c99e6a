"""A plain check or track as the bytes of its command: one feature, nothing asked but its units, and
the credit systems that pay for it.

A general packer spends more on the arguments of a track than its reply takes to read. What
does not change between two calls for a customer, the function and the keys, is packed by hiredis
once; nor does the rest change where the same is asked again, but for the time and the request id,
which are put between its parts. The arguments are those of
``Scripts.check`` and ``Scripts.track``, and a test compares the bytes with what hiredis makes of
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import hiredis
import msgspec

from gateway.keys import CustomerKeys, Key, customer_keys, partition_of
from gateway.scripts.calls import Context, Idempotency, Part, Pool, Use, track_words
from gateway.scripts.rates import Limit, Limits, terms_of

CUSTOMERS_MAX = 20_000
"""Customers whose keys are remembered, 1 to 2 KiB each; beyond it the memory starts anew."""

NO_LIMITS = Limits()

_CHECK_VALUES = 7
_TRACK_VALUES = 9


class Head(NamedTuple):
    """The beginnings of both commands for one customer: all that is the same each time."""

    check: bytes
    track: bytes
    terms: bytes
    """What follows the time in the argument of a call that is counted; else empty."""
    keys: CustomerKeys
    counters: tuple[Key, ...]
    """Where a call is counted."""
    partition: int


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
            keys,
            terms.keys,
            partition_of(env, customer_id, self._partitions),
        )
        if len(self._heads) >= CUSTOMERS_MAX:
            self._heads = {}
        self._heads[env, customer_id, key_id] = made
        return made

    def pack_use(self, head: Head, context: Context, use: Use) -> bytes:
        """Return a track in any manner as it is sent."""
        keys, values = track_words(context, use)
        keys = (*keys, *head.counters)
        if head.terms:
            values = (*values, f"{context.now_ms}{head.terms.decode()}")
        return _packed("FCALL", self._track, len(keys), *keys, *values)

    def use_of(self, head: Head, context: Context, use: Use) -> UseCommand:
        """Return a track in any manner; of the context neither the request counts nor, where it is
        when the units were used, the time.
        """
        keys, (told, _, _, entity, properties, manner, *part) = track_words(context, use)
        count = len(keys) + len(head.counters)
        named = keys[:-1] if use.idempotency else keys
        form = (
            b"*%d\r\n" % (9 + count + len(part) + bool(head.terms)),
            _closed(_joined("FCALL", self._track, count, *named)),
            b"%b" if use.idempotency else b"",
            _closed(_joined(*head.counters, told)),
            b"%b%b",
            _closed(_joined(entity, properties)),
            b"%b",
            _closed(_joined(*part)),
            b"%b" if head.terms else b"",
        )
        manner_form = _manner_form(use, context.now_ms) if manner else b""
        return UseCommand(b"".join(form), manner_form, head.terms)


class Command(msgspec.Struct, frozen=True, gc=False):
    """A command but for what differs from call to call: its parts, between which the time comes,
    after the request id in that of a track.
    """

    before: bytes
    after: bytes
    terms: bytes


class UseCommand(msgspec.Struct, frozen=True, gc=False):
    """A track in any manner but for what differs from call to call."""

    words: bytes
    """Open are, each an argument: where its reply is kept, if it is claimed, request id, time,
    manner and, if there are limits, what it is counted by.
    """
    manner: bytes
    """Open are the time, if the units are used now, and what identifies a claimed call."""
    terms: bytes


def check_of(head: Head, entity: bytes, properties: bytes, part: Part) -> Command:
    """Return the parts of a check of so many units."""
    after = (entity, properties, b"", *_words(part))
    return Command(_before(head.check, part), b"".join(map(_argument, after)), head.terms)


def track_of(head: Head, entity: bytes, properties: bytes, part: Part) -> Command:
    """Return the parts of a track of so many units, used now, in mode cap."""
    after = (entity, properties, b"", *_words(part))
    return Command(_before(head.track, part), b"".join(map(_argument, after)), head.terms)


def _words(part: Part) -> Iterable[bytes]:
    return (str(value).encode() for value in part.values)


def _before(begun: bytes, part: Part) -> bytes:
    """Return the beginning of a command, which counts its words, for one with credit systems."""
    if not part.pools:
        return begun
    count, _, rest = begun.partition(b"\r\n")
    return b"*%d\r\n%b" % (int(count[1:]) + len(part.pools) * len(Pool._fields), rest)


def check_command(command: Command, now_ms: int) -> bytes:
    """Return a check as it is sent at a time."""
    packed = command.before + _time(now_ms) + command.after
    return packed + _count(now_ms, command.terms) if command.terms else packed


def track_command(command: Command, request_id: bytes, now_ms: int) -> bytes:
    """Return a track as it is sent at a time."""
    packed = command.before + _argument(request_id) + _time(now_ms) + command.after
    return packed + _count(now_ms, command.terms) if command.terms else packed


def use_command(
    command: UseCommand, request_id: bytes, now_ms: int, kept: Idempotency | None
) -> bytes:
    """Return a track in any manner as it is sent at a time."""
    call = kept.fingerprint.encode() if kept else b""
    manner = command.manner % {b"now": b"%d" % now_ms, b"call": call}
    told = [_argument(request_id), _time(now_ms), _argument(manner)]
    if kept:
        told.insert(0, _argument(kept.key.encode()))
    if command.terms:
        told.append(_count(now_ms, command.terms))
    return command.words % tuple(told)


@lru_cache(maxsize=8)
def _time(now_ms: int) -> bytes:
    """Return the time as an argument, which all calls within a millisecond share."""
    return _argument(b"%d" % now_ms)


def _count(now_ms: int, terms: bytes) -> bytes:
    return _argument(b"%d%b" % (now_ms, terms))


def _argument(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


def _closed(text: bytes) -> bytes:
    """Return a part of a form with nothing open."""
    return text.replace(b"%", b"%%")


def _manner_form(use: Use, now_ms: int) -> bytes:
    before, after, keep_ms = use.manner_words
    at = b"%(now)b" if use.timestamp_ms == now_ms else b"%d" % use.timestamp_ms
    call = b"%(call)b" if use.idempotency else b""
    return b"%b%b%b%b\1%d" % (_closed(before.encode()), at, _closed(after.encode()), call, keep_ms)


def _packed(*words: str | bytes | int) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return packed


def _joined(*words: str | int) -> bytes:
    """Pack some words of a command."""
    _, _, rest = _packed(*words).partition(b"\r\n")
    return rest


def _begin(words: tuple[str | int, ...], values: int) -> bytes:
    """Pack the first words of a command that has so many more."""
    return b"*%d\r\n%b" % (len(words) + values, _joined(*words))
