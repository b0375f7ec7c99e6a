"""Shapes of single values; each refusal is also met over HTTP."""

from __future__ import annotations

import msgspec
import pytest

from gateway.api.resources import shapes
from gateway.errors import InvalidInputsError
from gateway.messages.common import DOCUMENT_BYTES_MAX


def test_a_document_is_bounded_in_size_and_depth() -> None:
    nested: object = 1
    for _ in range(shapes.DOCUMENT_DEPTH_MAX - 1):
        nested = [nested]
    shapes.documents(metadata={"a": nested}, config=None)

    for metadata in ({"a": [nested]}, {"a": "x" * DOCUMENT_BYTES_MAX}):
        with pytest.raises(InvalidInputsError, match="metadata: "):
            shapes.documents(metadata=metadata)


@pytest.mark.parametrize(
    "entity_id",
    ["..", ".", "a/../b", "../../org_123", "..?a", "..#", "..\\..\\org_123", "%2E%2e", ".%2e/a"],
)
def test_no_new_entity_leads_elsewhere(entity_id: str) -> None:
    with pytest.raises(InvalidInputsError, match="entity_id: must not have"):
        shapes.new_entity_id(entity_id)


@pytest.mark.parametrize("entity_id", ["a..b", "...", ".a", "a.", "a/b", "%2e%2e%2e", "v1.2/..3"])
def test_dots_and_slashes_are_fine(entity_id: str) -> None:
    shapes.new_entity_id(entity_id)


def test_ids_end_at_255_characters() -> None:
    shapes.customer_id("c" * 255)
    shapes.text_id("é" * 255, "feature_id")
    with pytest.raises(InvalidInputsError, match="customer_id: "):
        shapes.customer_id("c" * 256)
    with pytest.raises(InvalidInputsError, match="feature_id: "):
        shapes.text_id("é" * 256, "feature_id")


@pytest.mark.parametrize("text", ["a\n", "\u0085", "\x7f", ""])
def test_a_control_character_is_no_part_of_an_id(text: str) -> None:
    with pytest.raises(InvalidInputsError):
        shapes.text_ids(entity_id=text, feature_id=None)


@pytest.mark.parametrize("raw", [b"", b"null", b"-1", b"0.5"])
def test_a_number_may_be_left_out(raw: bytes) -> None:
    shapes.number(msgspec.Raw(raw), "value")


@pytest.mark.parametrize("raw", [b'"1"', b"true", b"[1]", b"{}"])
def test_another_type_is_no_number(raw: bytes) -> None:
    with pytest.raises(InvalidInputsError, match="value: must be a number"):
        shapes.number(msgspec.Raw(raw), "value")


def test_a_number_that_is_required_is_missed_by_name() -> None:
    with pytest.raises(InvalidInputsError, match="value: is required"):
        shapes.number(msgspec.Raw(), "value", required=True)
