"""Every Redis key, spelled once.

A customer belongs to the partition ``crc32(env ":" customer_id) mod P``; the hash tag ``{pNN}``
keeps all keys of the
customer and the partition's outbox in one cluster slot, so one script may touch them together.

Glossary (``E`` is ``sandbox`` or ``live``, ``C`` the customer id, always last, so that no id can
collide with a kind; ``F`` a feature id):

tg:{pNN}:E:customer:C   hash    identity, subscriptions, and per feature: ``r:F`` the rows, ``v:F``
                                their live numbers, ``h:F`` sums over entity-held rows, ``n:F``
                                band and count of its entities
tg:{pNN}:E:entities:C   hash    all of the entities: ``e:entity`` band, number, feature, document;
                                ``p:F<tab>entity`` slots of per-entity rows; ``h:F<tab>entity`` rows
                                the entity holds itself; ``v:F<tab>entity`` their live numbers
tg:{pNN}:E:order:C      zset    entity ids in creation order, one band of scores per entity feature
tg:{pNN}:E:marks:C      zset    entities that differ from full, one band per row period and class
tg:{pNN}:E:due:C        zset    ``F<tab>entity`` by when its entity-held rows next reset or expire
tg:{pNN}:outbox         stream  every change of the partition, drained by ``persistence.writer``
tg:installation         hash    partition count of this installation, compared at start

No other module builds a key, and no script does: scripts get all of them in KEYS.
"""

from __future__ import annotations

from typing import NamedTuple, NewType
from zlib import crc32

Key = NewType("Key", str)

INSTALLATION = Key("tg:installation")


class CustomerKeys(NamedTuple):
    """The keys of one customer in the order every script declares them."""

    customer: Key
    entities: Key
    order: Key
    marks: Key
    due: Key
    outbox: Key


def partition_of(env: str, customer_id: str, partitions: int) -> int:
    """Return the partition of a customer; fixed for the life of an installation."""
    return crc32(f"{env}:{customer_id}".encode()) % partitions


def outbox_key(partition: int) -> Key:
    """Return the outbox stream of a partition."""
    return Key(f"tg:{{p{partition:02d}}}:outbox")


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
    )
