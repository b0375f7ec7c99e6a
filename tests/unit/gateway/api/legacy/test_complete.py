"""What 2.1 adds to an answer, and what it leaves alone."""

from __future__ import annotations

import msgspec

from gateway.api.legacy.complete import Shape, completed
from gateway.api.operation import Call, Services
from gateway.api.operations import OPERATIONS

BODY = b'{"id":"f","list":[{"a":0.1234567890123456789,"b":{"x":{"y":1}}}]}'


async def test_every_missing_key_is_null_and_no_digit_is_lost() -> None:
    async def answer(*_: object) -> msgspec.Raw:
        return msgspec.Raw(BODY)

    get = next(each for each in OPERATIONS if each.name == "features.get")._replace(handle=answer)  # type: ignore[arg-type]
    call = Call(request_id="r", env="sandbox")
    services: Services = None  # type: ignore[assignment]  # nobody asks for it

    shown = msgspec.json.encode(await completed(get).handle(services, call, None))

    assert shown == BODY[:-1] + b',"event_names":null,"credit_schema":null,"display":null}'


def test_shapes_reach_into_lists_objects_and_maps() -> None:
    inner = Shape(("z",))
    value = {"list": [{"b": {"x": {"y": 1}}, "c": None}]}

    Shape((), {"list": Shape(("a",), {"b": Shape(each=inner), "c": inner})}).complete(value)

    assert value == {"list": [{"b": {"x": {"y": 1, "z": None}}, "c": None, "a": None}]}


def test_a_map_holds_no_null() -> None:
    value = {"balances": {"messages": {"granted": 1}, "credits": None}, "flags": {"sso": None}}

    held = {name: Shape(each=Shape(("feature",))) for name in value}
    Shape((), held).complete(value)

    assert value == {"balances": {"messages": {"granted": 1, "feature": None}}, "flags": {}}


def test_what_has_no_shape_is_the_operation_of_today() -> None:
    delete = next(each for each in OPERATIONS if each.name == "features.delete")

    assert completed(delete) is delete
