"""A body with an idempotency key is known by what stands around that, and so is what it says."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.plain.manners import around_key, said_around
from gateway.engine.claims import said_of
from gateway.messages.balances import TrackRequest

TRACK = "balances.track"

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
own_keys = st.from_regex(r"[ !#-\[\]-~]{1,12}", fullmatch=True)
requests = st.builds(
    TrackRequest,
    customer_id=texts,
    feature_id=texts,
    properties=st.sampled_from((b"", b'{"a":"k"}', b'{"k":"idempotency_key"}')).map(msgspec.Raw),
    overage_behavior=st.none() | texts,
    idempotency_key=own_keys | st.just("k"),
)


@given(request=requests, key=own_keys, blank=st.booleans())
def test_what_is_sure_of_one_body_holds_for_the_next(
    request: TrackRequest, key: str, *, blank: bool
) -> None:
    """What is made of the first body and the key of the next is what the next one says."""
    bodies = []
    for own in (request.idempotency_key, key):
        told = msgspec.json.encode(msgspec.structs.replace(request, idempotency_key=own))
        spaced = told.replace(b'"idempotency_key":', b'"idempotency_key": ')
        bodies.append(spaced if blank else told)
    first, again = map(around_key, bodies)
    assert first is not None
    assert again is not None
    assert request.idempotency_key is not None
    if first.is_sure(request.idempotency_key, bodies[0]):
        assert again == (first.around, key)
        said = said_around(TRACK, request, by_head=False)
        other = msgspec.structs.replace(request, idempotency_key=key)
        assert key.encode().join(said) == said_of(TRACK, other)


@given(request=requests, key=texts.filter(bool))
def test_whatever_the_key_it_identifies_its_call(request: TrackRequest, key: str) -> None:
    own = msgspec.structs.replace(request, idempotency_key=key)
    for by_head in (False, True):
        said = said_around(TRACK, own, by_head=by_head)
        assert key.encode().join(said) == said_of(TRACK, own)
    bare = msgspec.structs.replace(request, idempotency_key=None)
    assert said_around(TRACK, bare, by_head=False) == ()
    assert key.encode().join(said_around(TRACK, bare, by_head=True)) == said_of(TRACK, bare)


@pytest.mark.parametrize(
    ("body", "own"),
    [
        (b'{"properties":{"idempotency_key":"k"}}', ""),
        (b'{"properties":{"idempotency_key":"k"},"idempotency_key":"k"}', "k"),
        (b'{"idempotency_key":"j","idempotency_key":"k"}', "k"),
        (b'{"idempotency\\u005fkey":"k","properties":{"idempotency_key":"k"}}', "k"),
        (b'{"idempotency_key":"k","feature_id":"\\u0061"}', "k"),
    ],
)
def test_a_body_whose_key_may_stand_elsewhere_is_not_sure(body: bytes, own: str) -> None:
    found = around_key(body)
    assert found is not None
    assert not found.is_sure(own, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"idempotency_key":""}',
        b'{"idempotency_key":null}',
        b'{"idempotency_key":"a\\u0062"}',
        '{"idempotency_key":"é"}'.encode(),
        b'{"idempotency_key":"%b"}' % (b"k" * 256),
        b'{"customer_id":"idempotency_key"}',
    ],
)
def test_a_key_that_may_be_written_in_two_ways_is_not_looked_for(body: bytes) -> None:
    assert around_key(body) is None
