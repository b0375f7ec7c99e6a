"""Features and plans as the rules see them, made with as little as a test needs to say."""

from __future__ import annotations

import msgspec

from gateway.lifecycle.catalog import CatalogView, StoredPlan
from gateway.messages.features import FeatureDocument, encode_feature_document
from gateway.messages.plans import PlanCreateRequest, PlanDocument, encode_plan_document
from gateway.ports import FeatureRecord, PlanRecord


def feature(feature_id: str = "messages", **fields: object) -> FeatureRecord:
    document = FeatureDocument(
        credit_schema=fields.pop("credit_schema", []),  # type: ignore[arg-type]  # of a test
        precision_chosen=bool(fields.pop("precision_chosen", False)),
    )
    values = {
        "env": "sandbox",
        "id": feature_id,
        "name": feature_id,
        "type": "metered",
        "consumable": True,
        "precision": 6,
        "in_use": False,
        "archived": False,
        "document": encode_feature_document(document),
        **fields,
    }
    return msgspec.convert(values, FeatureRecord)


SEATS = feature("seats", consumable=False)
SSO = feature("sso", type="boolean", consumable=False, precision=0)


def plan(plan_id: str, document: PlanDocument) -> StoredPlan:
    record = PlanRecord(
        env="sandbox",
        id=plan_id,
        version=1,
        group=document.group,
        add_on=document.add_on,
        auto_enable=document.auto_enable,
        archived=False,
        document=encode_plan_document(document),
        created_at=1,
    )
    return StoredPlan(record, document)


def view(*features: FeatureRecord, plans: tuple[StoredPlan, ...] = ()) -> CatalogView:
    return CatalogView(
        {each.id: each for each in features}, {each.record.id: each for each in plans}
    )


def plan_request(*items: dict[str, object], **fields: object) -> PlanCreateRequest:
    body = {"plan_id": "pro", "name": "Pro", "items": list(items), **fields}
    return msgspec.json.decode(msgspec.json.encode(body), type=PlanCreateRequest)
