"""OpenAPI 3.1 said in the words of 3.0."""

from __future__ import annotations

from gateway.api.docs import say_in_3_0


def test_a_null_choice_becomes_nullable() -> None:
    said = say_in_3_0({"a": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}})

    assert said == {"a": {"anyOf": [{"type": "string"}], "nullable": True, "default": None}}


def test_everything_else_stays() -> None:
    document = {"a": [1, {"anyOf": [{"type": "string"}, {"type": "number"}]}], "b": None}

    assert say_in_3_0(document) == document
