"""What a rule tidies; what it refuses is tested over HTTP, request by request."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.operation import Call
from gateway.api.resources import rules, shapes
from gateway.api.versions import Version
from gateway.errors import InvalidInputsError, NotSupportedError
from gateway.messages.balances import TrackRequest
from gateway.messages.customers import CreatedAtRange, CustomerListRequest
from gateway.messages.entities import EntityListRequest
from gateway.messages.features import FeatureCreateRequest

CALL = Call(request_id="r", env="sandbox", now_ms=1_000_000)


def track(**fields: object) -> TrackRequest:
    body = {"customer_id": "c", "feature_id": "f", **fields}
    return msgspec.json.decode(msgspec.json.encode(body), type=TrackRequest)


def test_numbers_of_the_python_client_become_integers() -> None:
    request = track(timestamp=1000.0)

    rules.track(CALL, request)

    assert request.timestamp == 1000
    assert isinstance(request.timestamp, int)


def test_a_clock_may_run_ahead_a_little() -> None:
    rules.track(CALL, track(timestamp=1_000_000 + rules.FUTURE_MS_MAX))
    with pytest.raises(InvalidInputsError, match="future"):
        rules.track(CALL, track(timestamp=1_000_001 + rules.FUTURE_MS_MAX))


def test_properties_lose_their_line_breaks_and_nothing_else() -> None:
    request = track()
    request.properties = msgspec.Raw(b'{"a":\n\t1.50, "b": "x\\ny"}')

    rules.track(CALL, request)

    assert bytes(request.properties) == b'{"a":1.50,"b":"x\\ny"}'


@given(st.text(min_size=1, max_size=300))
def test_an_id_never_holds_a_separator(text: str) -> None:
    try:
        rules.track(CALL, track(feature_id=text, entity_id=text))
    except InvalidInputsError:
        return
    assert not set("\t\n\r\0") & set(text)
    assert len(text) <= 255


@given(st.text(max_size=20))
def test_a_customer_id_is_safe_in_a_key(text: str) -> None:
    try:
        rules.track(CALL, track(customer_id=text))
    except InvalidInputsError:
        return
    assert text.isascii()
    assert text.replace("_", "").replace("-", "").replace(":", "").isalnum() or set(text) <= set(
        "_-:"
    )


@pytest.mark.parametrize(("version", "most"), [(Version.V2_2, 1_000), (Version.V2_3, 5_000)])
def test_a_page_is_as_large_as_its_version_allows(version: Version, most: int) -> None:
    call = msgspec.structs.replace(CALL, version=version)
    rules.customer_list(call, CustomerListRequest(limit=most))
    with pytest.raises(InvalidInputsError, match=f"limit: must be 1 to {most}"):
        rules.customer_list(call, CustomerListRequest(limit=most + 1))


def test_a_range_of_creation_is_of_integers_and_open_where_nothing_is_said() -> None:
    request = CustomerListRequest(created_at_range=CreatedAtRange(start=5.0))

    rules.customer_list(CALL, request)

    assert request.created_at_range == CreatedAtRange(start=5, end=None)
    assert isinstance(request.created_at_range.start, int)


@pytest.mark.parametrize(("start", "end"), [(None, None), (7, 7), (0, shapes.TIME_MS_MAX)])
def test_both_ends_of_a_range_of_creation_are_in_it(start: int | None, end: int | None) -> None:
    asked = CreatedAtRange(start=start, end=end)
    rules.customer_list(CALL, CustomerListRequest(created_at_range=asked))


def test_a_processor_is_one_of_those_there_are() -> None:
    rules.customer_list(CALL, CustomerListRequest(processors=[*rules.PROCESSORS]))
    rules.entity_list(CALL, EntityListRequest(processors=[*rules.PROCESSORS]))
    with pytest.raises(InvalidInputsError, match=r"processors\.1: must be one of stripe"):
        rules.entity_list(CALL, EntityListRequest(processors=["vercel", "paper"]))


def credit_system(**cost: object) -> None:
    costs = [{"metered_feature_id": "f", "credit_cost": 2, **cost}]
    body = {"feature_id": "c", "name": "C", "type": "credit_system", "credit_schema": costs}
    request = msgspec.json.decode(msgspec.json.encode(body), type=FeatureCreateRequest)
    rules.feature_create(CALL, request)


def test_a_credit_cost_is_that_of_one_unit() -> None:
    credit_system(billing_units=1.0, dimensions={}, multipliers=None)
    refused: dict[str, object] = {
        "billing_units": 1_000,
        "dimensions": {"fast": {"match": {"model": "x"}, "credit_cost": 3}},
        "multipliers": {"night": {"match": {"at": "night"}, "factor": 2}},
    }
    for field, value in refused.items():
        with pytest.raises(NotSupportedError, match=rf"^credit_schema\.0\.{field}: "):
            credit_system(**{field: value})
    with pytest.raises(InvalidInputsError, match=r"^credit_schema\.0\.billing_units: "):
        credit_system(billing_units="1")


def test_data_of_an_entity_says_what_an_entity_may() -> None:
    topup = {"feature_id": "f", "threshold": 1, "quantity": 5}
    data = {"feature_id": "seats", "billing_controls": {"auto_topups": [topup]}}
    with pytest.raises(InvalidInputsError, match=r"^entity_data\.billing_controls\.auto_topups: "):
        rules.track(CALL, track(entity_data=data))
