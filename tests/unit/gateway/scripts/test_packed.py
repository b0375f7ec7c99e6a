"""Commands packed in parts are those the coroutines send."""

from __future__ import annotations

from typing import Any, cast

import hiredis
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from gateway.keys import customer_keys
from gateway.scripts import Context, Part, Scripts, Status, Use
from gateway.scripts import packed as module
from gateway.scripts.packed import Packer, check_command, track_command

ENV, PARTITIONS = "sandbox", 64

ids = st.from_regex(r"[a-zA-Z0-9_:-]{1,40}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)
units = st.integers(-(2**53), 2**53)
times = st.integers(0, 10**14)


class Told(Redis):
    """A client that keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.words: tuple[Any, ...] = ()

    async def execute_command(self, *words: Any, **_: Any) -> Any:  # noqa: ANN401 - as inherited
        self.words = words
        return [int(Status.CUSTOMER_MISSING), [], [], []]


def finish(coroutine: Any) -> None:  # noqa: ANN401 - a coroutine that waits for nothing
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def packed_by_hiredis(client: Told) -> bytes:
    return cast("bytes", hiredis.pack_command(client.words))


@given(customer=ids, entity=texts | st.just(""), feature=texts, amount=units, now_ms=times)
def test_a_check_is_packed_as_the_coroutine_sends_it(
    customer: str, entity: str, feature: str, amount: int, now_ms: int
) -> None:
    client = Told()
    scripts = Scripts(client)
    keys = customer_keys(ENV, customer, PARTITIONS)
    finish(scripts.check(keys, now_ms, entity, Part(feature, amount)))
    head = Packer(scripts.functions, PARTITIONS).head(ENV, customer)
    command = check_command(head, now_ms, entity.encode(), feature.encode(), amount)
    assert command == packed_by_hiredis(client)


@given(
    customer=ids,
    request_id=ids,
    entity=texts | st.just(""),
    properties=texts,
    feature=texts,
    amount=units,
    now_ms=times,
)
def test_a_track_is_packed_as_the_coroutine_sends_it(  # noqa: PLR0917 - one for each argument
    customer: str,
    request_id: str,
    entity: str,
    properties: str,
    feature: str,
    amount: int,
    now_ms: int,
) -> None:
    client = Told()
    scripts = Scripts(client)
    keys = customer_keys(ENV, customer, PARTITIONS)
    use = Use(entity, [Part(feature, amount)], now_ms, properties=properties)
    finish(scripts.track(Context(keys, ENV, customer, request_id, now_ms), use))
    head = Packer(scripts.functions, PARTITIONS).head(ENV, customer)
    told = (request_id.encode(), now_ms, entity.encode(), properties.encode())
    assert track_command(head, told, feature.encode(), amount) == packed_by_hiredis(client)


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
