"""Every Redis key, spelled once.

A customer belongs to the partition ``crc32(env ":" customer_id) mod P``; the hash tag ``{pNN}``
keeps all keys of the
customer and the partition's outbox in one cluster slot, so one script may touch them together.

Glossary (``E`` is ``sandbox`` or ``live``, ``C`` the customer id, always last, so that no id can
collide with a kind; ``F`` a feature id):

tg:{pNN}:E:customer:C   hash    identity, subscriptions, and per feature: ``r:F`` the rows, ``v:F``
                                their live numbers, ``h:F`` sums over entity-held rows, ``o:F``
                                the same over rollover rows entities hold, ``n:F`` band and count
                                of its entities, ``l:F`` rules of spending, ``x:F`` what they
                                count (open locks, usage windows); ``i:row`` feature and entity of
                                a row whose id a caller chose; ``z:row`` how far the rollover of
                                its slots has come
tg:{pNN}:E:entities:C   hash    all of the entities: ``e:entity`` band, number, feature, document;
                                ``p:F<tab>entity`` slots of per-entity rows; ``h:F<tab>entity`` rows
                                the entity holds itself; ``v:F<tab>entity`` their live numbers;
                                ``l:F<tab>entity``, ``x:F<tab>entity`` rules and counts of its own,
                                ``l:<tab>entity`` the features it ever had rules of
tg:{pNN}:E:order:C      zset    entity ids in creation order, one band of scores per entity feature
tg:{pNN}:E:marks:C      zset    entities that differ from full, one band per row period and class
tg:{pNN}:E:due:C        zset    ``F<tab>entity`` by when its entity-held rows next reset or expire
tg:{pNN}:outbox         stream  every change of the partition, drained by ``persistence.writer``
tg:{pNN}:locks          hash    receipts of the locks of the partition: ``E<tab>lock id``
tg:{pNN}:E:holds        zset    ``E<tab>C<tab>lock id`` by when the lock expires or, once it has
                                ended, by when to forget it
tg:{pNN}:E:reply:H:C    string  the reply of a call with an idempotency key, ``H`` its digest
tg:installation         hash    partition count of this installation, compared at start

No other module builds a key, and no script does: scripts get all of them in KEYS.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple, NewType
from zlib import crc32

Key = NewType("Key", str)

INSTALLATION = Key("tg:installation")


class CustomerKeys(NamedTuple):
    """The keys of one customer in the order every script declares them; the last three are
    shared by all customers of the partition.
    """

    customer: Key
    entities: Key
    order: Key
    marks: Key
    due: Key
    outbox: Key
    locks: Key
    holds: Key

    @property
    def own(self) -> tuple[Key, ...]:
        """The keys of a script that knows nothing of locks."""
        return self[:6]


def partition_of(env: str, customer_id: str, partitions: int) -> int:
    """Return the partition of a customer; fixed for the life of an installation."""
    return crc32(f"{env}:{customer_id}".encode()) % partitions


def reply_key(env: str, customer_id: str, partition: int, claim: str) -> Key:
    """Return where the reply of a call with an idempotency key is kept. The key of the caller may
    hold anything, so its digest stands for it.
    """
    digest = sha256(claim.encode()).hexdigest()[:32]
    return Key(f"tg:{{p{partition:02d}}}:{env}:reply:{digest}:{customer_id}")


def outbox_key(partition: int) -> Key:
    """Return the outbox stream of a partition."""
    return Key(f"tg:{{p{partition:02d}}}:outbox")


def locks_key(partition: int) -> Key:
    """Return the receipts of the locks of a partition."""
    return Key(f"tg:{{p{partition:02d}}}:locks")


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
        order=Key(f"{base}:order:{customer_id}"),
        marks=Key(f"{base}:marks:{customer_id}"),
        due=Key(f"{base}:due:{customer_id}"),
        outbox=outbox_key(partition),
        locks=locks_key(partition),
        holds=holds_key(env, partition),
    )
