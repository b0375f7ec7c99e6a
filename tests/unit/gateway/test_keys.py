"""Keys: spelled once, all of a customer in one slot, none mistaken for another."""

from __future__ import annotations

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from gateway.keys import (
    CustomerKeys,
    customer_keys,
    customer_of,
    holds_key,
    locks_key,
    outbox_key,
    partition_of,
)

ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
envs = st.sampled_from(("sandbox", "live"))


def test_keys_are_spelled_as_the_glossary_says() -> None:
    assert customer_keys("live", "ada", 64) == CustomerKeys(
        customer="tg:{p53}:live:customer:ada",  # type: ignore[arg-type]
        entities="tg:{p53}:live:entities:ada",  # type: ignore[arg-type]
        entity_index="tg:{p53}:live:index:ada",  # type: ignore[arg-type]
        due="tg:{p53}:live:due:ada",  # type: ignore[arg-type]
        outbox="tg:{p53}:outbox",  # type: ignore[arg-type]
        locks="tg:{p53}:locks",  # type: ignore[arg-type]
        holds="tg:{p53}:live:holds",  # type: ignore[arg-type]
    )


@given(envs, ids, st.integers(1, 1024))
def test_keys_of_a_customer_are_in_one_slot(env: str, customer: str, partitions: int) -> None:
    keys = customer_keys(env, customer, partitions)
    assert len({key_slot(key.encode()) for key in keys}) == 1
    partition = partition_of(env, customer, partitions)
    assert keys.outbox == outbox_key(partition)
    assert (keys.locks, keys.holds) == (locks_key(partition), holds_key(env, partition))
    assert keys.own == tuple(keys)[:-2]


@given(envs, ids, envs, ids)
def test_two_customers_share_nothing_but_what_is_of_a_partition(
    env: str, customer: str, other_env: str, other: str
) -> None:
    keys, others = customer_keys(env, customer, 8), customer_keys(other_env, other, 8)
    assert len(set(keys)) == len(keys)
    if (env, customer) != (other_env, other):
        assert not set(keys[:4]) & set(others)


@given(envs, ids, st.integers(1, 1024))
def test_a_partition_is_a_number_below_their_count(env: str, customer: str, count: int) -> None:
    partition = partition_of(env, customer, count)
    assert partition == crc32(f"{env}:{customer}".encode()) % count


def test_a_customer_named_like_a_key_stays_apart() -> None:
    keys = customer_keys("sandbox", "index:ada", 1)
    assert not set(keys[:4]) & set(customer_keys("sandbox", "ada", 1))


@given(envs, ids, st.integers(1, 1024))
def test_only_the_hash_of_a_customer_names_it(env: str, customer: str, count: int) -> None:
    keys = customer_keys(env, customer, count)
    assert customer_of(keys.customer.encode()) == (env, customer)
    assert {customer_of(key.encode()) for key in keys[1:]} == {None}
    nested = customer_keys(env, f"x:customer:{customer}", count)
    assert {customer_of(key.encode()) for key in nested[1:]} == {None}
