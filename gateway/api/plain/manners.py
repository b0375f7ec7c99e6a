"""In which manner plain calls use units, where more is said than what and how much: in a check, on
hold, all or nothing, under an idempotency key.

A key is another one each time, so a body with one is known by what stands around it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from gateway.engine.claims import Claim, fingerprint, said_of
from gateway.engine.spending import Spending, kept_reply
from gateway.engine.verdicts import PlainUse
from gateway.scripts import Idempotency
from gateway.scripts.packed import Head, UseCommand

Around = tuple[bytes, bytes]

_NAME: Final = b'"idempotency_key"'
_KEYED = re.compile(rb'%b: ?"([ !#-\[\]-~]{1,255})"' % _NAME)
"""A key that JSON writes in one way only."""


class Keyed(NamedTuple):
    """The idempotency key of a body, and what stands around it."""

    around: Around
    key: str

    def is_sure(self, own: str, body: bytes) -> bool:
        """Whether whatever else stands there is the key of its body too: what was found is what
        was read, it is there once, and nothing is escaped.
        """
        return own == self.key and body.count(_NAME) == 1 and b"\\" not in body


class Manner(msgspec.Struct, gc=False):
    """What is asked in a manner of its own, and how it is sent."""

    request: Spending
    """As it was read; its own key may be another one by now."""
    said: tuple[bytes, ...]
    """What identifies the call, around the key of its body if it has one; nothing where there is no
    key.
    """
    head: Head
    was_sent: bool = False
    command: UseCommand | None = None
    """Made when it is sent for the second time: most of what is asked once is not asked again."""

    @property
    def key(self) -> str | None:
        """The key of the body."""
        return getattr(self.request, "idempotency_key", None)

    @property
    def is_once(self) -> bool:
        """Whether nobody will ask the same again, but for its key: it names what is its own."""
        return bool(self.request.lock or getattr(self.request, "timestamp", None))

    def kept(self, plain: PlainUse, key: str) -> Idempotency:
        """Return where the reply is kept under a key, which is that of the body if it has one."""
        claim = Claim(key=key, fingerprint=fingerprint(key.encode().join(self.said)))
        return kept_reply(claim, plain.env, plain.customer_id, self.head.partition)


def around_key(body: bytes) -> Keyed | None:
    """Return the key of a body, where it seems to have one."""
    found = _KEYED.search(body)
    if found is None:
        return None
    return Keyed((body[: found.start(1)], body[found.end(1) :]), found[1].decode())


def said_around(operation: str, request: Spending, *, by_head: bool) -> tuple[bytes, ...]:
    """Return what identifies a call; ``by_head`` says that its head has a key."""
    own = getattr(request, "idempotency_key", None)
    if own is None and not by_head:
        return ()
    said = said_of(operation, request)
    if own is not None:
        name = _NAME + b':"'
        before, found, behind = said.partition(b'%b%b"' % (name, own.encode()))
        if found:
            return before + name, b'"' + behind
    return (said,)
