"""Commands packed in parts are those the coroutines send."""

from __future__ import annotations

from typing import Any, cast

import hiredis
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from gateway.keys import Key, customer_keys
from gateway.scripts import Context, Hold, Idempotency, Part, Pool, Scripts, Status, Use
from gateway.scripts import packed as module
from gateway.scripts.packed import (
    Packer,
    check_command,
    check_of,
    track_command,
    track_of,
    use_command,
)
from gateway.scripts.rates import TICKET, Limit, Limits, Ticket

ENV, PARTITIONS, KEY_ID = "sandbox", 64, "key_1"

ids = st.from_regex(r"[a-zA-Z0-9_:-]{1,40}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
units = st.integers(-(2**53), 2**53)
times = st.integers(0, 10**14)
systems = st.lists(st.builds(Pool, texts, units, units), max_size=3)
rates = st.builds(Limit, st.just("key"), st.integers(1, 10**7), st.sampled_from((1_000, 60_000)))
limited = st.builds(
    Limits, key=st.none() | rates, publishable_key=st.none(), customer=st.none() | rates
)
"""What binds calls with a secret key."""


class Told(Redis):
    """A client that keeps what it is asked."""

    def __init__(self, counts: bool) -> None:
        super().__init__()
        self.counts = counts
        self.words: tuple[Any, ...] = ()

    async def execute_command(self, *words: Any, **_: Any) -> Any:  # noqa: ANN401 - as inherited
        self.words = words
        missing = int(Status.CUSTOMER_MISSING)
        return [int(Status.DONE), [1, 1, 1, 1], missing] if self.counts else missing


def finish(coroutine: Any) -> None:  # noqa: ANN401 - a coroutine that waits for nothing
    try:
        coroutine.send(None)
    except StopIteration:
        TICKET.set(None)
        return
    raise AssertionError("it waits")


def packed_by_hiredis(client: Told) -> bytes:
    return cast("bytes", hiredis.pack_command(client.words))


def counting(scripts: Scripts, limits: Limits, now_ms: int) -> Packer:
    """Return a packer for what the next coroutine is to send, within limits."""
    TICKET.set(Ticket(limits, KEY_ID, now_ms, public=False))
    return Packer(scripts.functions, PARTITIONS, scripts.counted, limits)


@given(
    customer=ids,
    entity=texts | st.just(""),
    properties=texts,
    feature=texts,
    amount=units,
    pools=systems,
    now_ms=times,
    limits=limited,
)
def test_a_check_is_packed_as_the_coroutine_sends_it(  # noqa: PLR0917 - one for each argument
    customer: str,
    entity: str,
    properties: str,
    feature: str,
    amount: int,
    pools: list[Pool],
    now_ms: int,
    limits: Limits,
) -> None:
    client = Told(any(limits))
    scripts = Scripts(client)
    packer = counting(scripts, limits, now_ms)
    keys = customer_keys(ENV, customer, PARTITIONS)
    part = Part(feature, amount, pools)
    finish(scripts.check(keys, now_ms, entity, part, properties))
    head = packer.head(ENV, customer, KEY_ID)
    command = check_of(head, entity.encode(), properties.encode(), part)
    assert check_command(command, now_ms) == packed_by_hiredis(client)


@given(
    customer=ids,
    request_id=ids,
    entity=texts | st.just(""),
    properties=texts,
    feature=texts,
    amount=units,
    pools=systems,
    now_ms=times,
    limits=limited,
)
def test_a_track_is_packed_as_the_coroutine_sends_it(  # noqa: PLR0917 - one for each argument
    customer: str,
    request_id: str,
    entity: str,
    properties: str,
    feature: str,
    amount: int,
    pools: list[Pool],
    now_ms: int,
    limits: Limits,
) -> None:
    client = Told(any(limits))
    scripts = Scripts(client)
    packer = counting(scripts, limits, now_ms)
    keys = customer_keys(ENV, customer, PARTITIONS)
    part = Part(feature, amount, pools)
    use = Use(entity, [part], now_ms, properties=properties)
    finish(scripts.track(Context(keys, ENV, customer, request_id, now_ms), use))
    head = packer.head(ENV, customer, KEY_ID)
    command = track_of(head, entity.encode(), properties.encode(), part)
    sent = track_command(command, request_id.encode(), now_ms)
    assert sent == packed_by_hiredis(client)


keys = st.builds(Idempotency, texts.map(Key), texts, st.integers(1, 10**9))
uses = st.builds(
    Use,
    texts | st.just(""),
    st.lists(st.builds(Part, texts, units, systems), min_size=1, max_size=2),
    times,
    st.sampled_from(("cap", "reject", "overflow")),
    texts | st.just(""),
    texts,
    st.booleans(),
    st.none() | st.builds(Hold, texts, times, st.booleans()),
    st.none() | keys,
)


@given(customer=ids, request_id=ids, use=uses, now_ms=times, limits=limited)
def test_a_use_in_any_manner_is_packed_as_the_coroutine_sends_it(
    customer: str, request_id: str, use: Use, now_ms: int, limits: Limits
) -> None:
    client = Told(any(limits))
    scripts = Scripts(client)
    packer = counting(scripts, limits, now_ms)
    head = packer.head(ENV, customer, KEY_ID)
    context = Context(head.keys, ENV, customer, request_id, now_ms)
    finish(scripts.track(context, use))
    command = packer.use_of(head, context, use)
    sent = use_command(command, request_id.encode(), now_ms, use.idempotency)
    assert sent == packed_by_hiredis(client)


def test_a_use_is_packed_again_for_another_time_and_claim() -> None:
    client = Told(counts=False)
    scripts = Scripts(client)
    packer = counting(scripts, Limits(), 1)
    head = packer.head(ENV, "ada", KEY_ID)
    first = Idempotency(Key("a%"), "one", 10)
    use = Use("", [Part("calls", 1)], 5, "reject", "100%", '{"%b":1}', idempotency=first)
    command = packer.use_of(head, Context(head.keys, ENV, "ada", "", 5), use)
    again = first._replace(key=Key("b"), fingerprint="two")
    context = Context(head.keys, ENV, "ada", "req_2", 6)
    finish(scripts.track(context, use._replace(timestamp_ms=6, idempotency=again)))
    assert use_command(command, b"req_2", 6, again) == packed_by_hiredis(client)


def test_heads_are_remembered_by_environment_and_bounded(monkeypatch: Any) -> None:  # noqa: ANN401 - pytest's
    monkeypatch.setattr(module, "CUSTOMERS_MAX", 2)
    packer = Packer({"check": "c", "track": "t"}, PARTITIONS)
    assert packer.known(ENV, "ada") is None
    head = packer.head(ENV, "ada")
    assert packer.known(ENV, "ada") is head
    assert packer.known("live", "ada") is None
    packer.head(ENV, "bob")
    packer.head(ENV, "eve")
    assert packer.known(ENV, "ada") is None
    assert packer.known(ENV, "eve") is not None


def test_heads_differ_by_key_only_where_calls_of_keys_are_counted() -> None:
    functions = {"check": "c", "track": "t"}
    counted = {"check": "cc", "track": "tt"}
    by_customer = Limits(customer=Limit("customer", 5, 1_000))
    by_key = Limits(key=Limit("key", 5, 1_000), publishable_key=Limit("publishable_key", 5, 1_000))
    public = Limits(publishable_key=Limit("publishable_key", 5, 1_000))
    assert [
        Packer(functions, PARTITIONS, counted, limits).is_by_key
        for limits in (by_customer, by_key, public)
    ] == [False, True, False]
    packer = Packer(functions, PARTITIONS, counted, by_key)
    assert packer.head(ENV, "ada", "key_1") != packer.head(ENV, "ada", "key_2")
    assert packer.known(ENV, "ada", "key_1") != packer.known(ENV, "ada", "key_2")
    # A secret key is not bound by what is set for publishable ones.
    free = Packer(functions, PARTITIONS).head(ENV, "ada")
    assert Packer(functions, PARTITIONS, counted, public).head(ENV, "ada") == free
