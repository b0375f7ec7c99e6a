"""OpenAPI 3.1 said in the words of 3.0."""

from __future__ import annotations

import asyncio
import json

from gateway.api.docs import PATHS, Files, say_in_3_0


async def test_the_document_is_made_once_and_not_before_somebody_asks() -> None:
    made: list[int] = []

    def document() -> dict[str, object]:
        made.append(len(made))
        return {"openapi": "3.1.0", "info": {"license": {"identifier": "MIT"}}, "paths": {}}

    files = Files(document)
    assert made == []
    found = dict(zip(PATHS, await asyncio.gather(*map(files.at, PATHS)), strict=True))
    assert made == [0]
    assert json.loads(found["/openapi.json"].body)["openapi"] == "3.1.0"
    assert json.loads(found["/docs/openapi.json"].body)["openapi"] == "3.0.3"
    assert all(file.body for file in found.values())


def test_a_null_choice_becomes_nullable() -> None:
    said = say_in_3_0({"a": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}})

    assert said == {"a": {"anyOf": [{"type": "string"}], "nullable": True, "default": None}}


def test_everything_else_stays() -> None:
    document = {"a": [1, {"anyOf": [{"type": "string"}, {"type": "number"}]}], "b": None}

    assert say_in_3_0(document) == document
