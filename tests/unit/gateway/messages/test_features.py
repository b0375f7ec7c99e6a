"""Stored feature documents."""

from __future__ import annotations

from gateway.messages.features import (
    FeatureDisplay,
    FeatureDocument,
    StoredCost,
    decode_feature_document,
    encode_feature_document,
)


def test_a_document_survives_its_text() -> None:
    document = FeatureDocument(
        display=FeatureDisplay(singular="message"),
        credit_schema=[StoredCost(metered_feature_id="m", credit_cost="0.3")],
        precision_chosen=True,
    )

    assert decode_feature_document(encode_feature_document(document)) == document


def test_an_empty_document_is_what_sql_starts_with() -> None:
    assert decode_feature_document("{}") == FeatureDocument()
    assert encode_feature_document(FeatureDocument()) == "{}"
