"""Every Redis key, spelled once.

A customer belongs to the partition ``crc32(env ":" customer_id) mod P``; the hash tag ``{pNN}``
keeps all keys of the customer and the partition's outbox in one cluster slot, so one script may
touch them together.

Glossary (``E`` is ``sandbox`` or ``live``, ``C`` the customer id, always last, so that no id can
collide with a kind; ``F`` a feature id):

tg:{pNN}:E:customer:C   hash    identity, subscriptions, and per feature: ``r:F`` the rows, ``v:F``
                                their live numbers, ``h:F`` sums over entity-held rows, ``o:F``
                                the same over rollover rows entities hold, ``n:F`` band and count
                                of its entities, ``l:F`` rules of spending, ``x:F`` what they
                                count (open locks, usage windows); ``i:row`` feature and entity of
                                a row whose id a caller chose; ``z:row`` how far the rollover of
                                its slots has come; ``plain`` is 1 until the first ``l:``, ``x:``
                                or ``o:`` field of it or its entities, which nobody asks for before
tg:{pNN}:E:entities:C   hash    all of the entities: ``e:entity`` band, number, feature, document;
                                ``p:F<tab>entity`` slots of per-entity rows; ``h:F<tab>entity`` rows
                                the entity holds itself; ``v:F<tab>entity`` their live numbers;
                                ``l:F<tab>entity``, ``x:F<tab>entity`` rules and counts of its own,
                                ``l:<tab>entity`` the features it ever had rules of
tg:{pNN}:E:index:C      hash    the entities by number, and the sets of numbers a walk looks at: all
                                of an entity feature, those that differ from full, of each period
                                (gateway/entity_index.py)
tg:{pNN}:E:due:C        zset    ``F<tab>entity`` by when its entity-held rows next reset or expire
tg:{pNN}:E:staged:N:C   hash    ``entities``, ``index`` or ``due`` (a zset) on their way from SQL;
                                ``N`` names the restore, and they expire if it does not end
tg:{pNN}:outbox         stream  every change of the partition, drained by ``persistence.sync``
tg:{pNN}:locks          hash    receipts of the locks of the partition: ``E<tab>lock id``
tg:{pNN}:E:holds        zset    ``E<tab>C<tab>lock id`` by when the lock expires or, once it has
                                ended, by when to forget it
tg:{pNN}:denials:N      string  the last count of denials that process ``N`` put into the outbox
tg:{pNN}:E:reply:H:C    string  the reply of a call with an idempotency key, ``H`` its digest
tg:{pNN}:E:calls:C      string  when a window of the customer's rate limit ends, and the calls
                                counted in it
tg:calls:K              string  the same of the API key with the id ``K``, whoever it asks about, or
                                of all tokens of a customer, where ``K`` is ``token:E:C``
tg:{pNN}:seal           string  identity of the installation, once the partition was compared with
                                SQL: a Redis that was emptied is known by the seals it lost
tg:installation         hash    identity and partition count of this installation
tg:{pNN}:pulse          string  a write that nobody reads: whoever waits for a replica or the file
                                writes it first, so that everything before it is waited for too;
                                one on each server is enough

No other module builds a key, and no script does: scripts get all of them in KEYS.
"""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from typing import NamedTuple, NewType
from zlib import crc32

Key = NewType("Key", str)

ENVIRONMENTS = ("sandbox", "live")

INSTALLATION = Key("tg:installation")

SCAN_ALL = "tg:{p*}:*"
"""A pattern for SCAN that finds every key of any partition."""

CUSTOMERS = "tg:{p*}:*:customer:*"
"""A pattern for SCAN that finds every customer, and a few other keys: ``customer_of`` tells."""

REPLIES = "tg:{p*}:*:reply:*"
"""A pattern for SCAN that finds every kept reply, and a few other keys: ``env_of_reply`` tells."""

_PARTITION = re.compile(rb"tg:\{p(\d+)\}:")
_CUSTOMER = re.compile(rb"tg:\{p\d+\}:(sandbox|live):customer:(.+)", re.DOTALL)
_REPLY = re.compile(rb"tg:\{p\d+\}:(sandbox|live):reply:")


class CustomerKeys(NamedTuple):
    """The keys of one customer in the order every script declares them; the last three are
    shared by all customers of the partition.
    """

    customer: Key
    entities: Key
    entity_index: Key
    due: Key
    outbox: Key
    locks: Key
    holds: Key

    @property
    def seal(self) -> Key:
        """The seal of the partition."""
        return Key(self.outbox.removesuffix("outbox") + "seal")

    @property
    def own(self) -> tuple[Key, ...]:
        """The keys of a script that knows nothing of locks."""
        return self[:5]


def partition_of(env: str, customer_id: str, partitions: int) -> int:
    """Return the partition of a customer; fixed for the life of an installation."""
    return crc32(f"{env}:{customer_id}".encode()) % partitions


def customer_of(key: bytes) -> tuple[str, str] | None:
    """Return environment and id of the customer whose hash a key is; None for any other key."""
    found = _CUSTOMER.fullmatch(key)
    return (found[1].decode(), found[2].decode()) if found else None


def reply_key(env: str, customer_id: str, partition: int, claim: str) -> Key:
    """Return where the reply of a call with an idempotency key is kept. The key of the caller may
    hold anything, so its digest stands for it.
    """
    digest = sha256(claim.encode()).hexdigest()[:32]
    return Key(f"tg:{{p{partition:02d}}}:{env}:reply:{digest}:{customer_id}")


def env_of_reply(key: bytes) -> str | None:
    """Return the environment of a kept reply; None for any other key."""
    found = _REPLY.match(key)
    return found[1].decode() if found else None


def calls_key(customer: Key) -> Key:
    """Return where calls are counted of the customer whose hash a key is."""
    return Key(customer.replace(":customer:", ":calls:", 1))


def key_calls_key(key_id: str) -> Key:
    """Return where calls with an API key are counted."""
    return Key(f"tg:calls:{key_id}")


def denials_key(partition: int, process: str) -> Key:
    """Return where a partition keeps which counts of denials it has of a process."""
    return Key(f"tg:{{p{partition:02d}}}:denials:{process}")


def staged_keys(customer: Key, restore: str) -> tuple[Key, Key, Key]:
    """Return where entities, index and due wait that a restore brings to the customer whose hash a
    key is.
    """
    entities, index, due = (
        Key(customer.replace(":customer:", f":staged:{restore}-{slot}:", 1)) for slot in range(3)
    )
    return entities, index, due


@cache
def outbox_key(partition: int) -> Key:
    """Return the outbox stream of a partition."""
    return Key(f"tg:{{p{partition:02d}}}:outbox")


@cache
def seal_key(partition: int) -> Key:
    """Return what says that a partition was compared with SQL."""
    return Key(f"tg:{{p{partition:02d}}}:seal")


def partition_of_key(key: bytes) -> int | None:
    """Return the partition a key belongs to; None for one that belongs to none."""
    found = _PARTITION.match(key)
    return int(found[1]) if found else None


@cache
def pulse_key(partition: int) -> Key:
    """Return what is written before it is waited for everything written before."""
    return Key(f"tg:{{p{partition:02d}}}:pulse")


@cache
def locks_key(partition: int) -> Key:
    """Return the receipts of the locks of a partition."""
    return Key(f"tg:{{p{partition:02d}}}:locks")


@cache
def holds_key(env: str, partition: int) -> Key:
    """Return when the locks of an environment expire in a partition."""
    return Key(f"tg:{{p{partition:02d}}}:{env}:holds")


def customer_keys(env: str, customer_id: str, partitions: int) -> CustomerKeys:
    """Return every key of a customer."""
    partition = partition_of(env, customer_id, partitions)
    base = f"tg:{{p{partition:02d}}}:{env}"
    return CustomerKeys(
        customer=Key(f"{base}:customer:{customer_id}"),
        entities=Key(f"{base}:entities:{customer_id}"),
        entity_index=Key(f"{base}:index:{customer_id}"),
        due=Key(f"{base}:due:{customer_id}"),
        outbox=outbox_key(partition),
        locks=locks_key(partition),
        holds=holds_key(env, partition),
    )
