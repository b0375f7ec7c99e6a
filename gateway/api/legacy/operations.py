"""Which operation has which shape in an older version, and the operations only 1.2 has."""

from __future__ import annotations

from typing import Any

from gateway import errors
from gateway.api.legacy import billing, products, subjects, usage
from gateway.api.legacy import messages as old
from gateway.api.legacy import product_messages as wire
from gateway.api.legacy.complete import completed
from gateway.api.operation import Call, Example, Operation, Services
from gateway.api.operations import OPERATIONS
from gateway.api.resources import rules
from gateway.api.versions import Version
from gateway.errors import NotSupportedError
from gateway.messages.common import Acknowledged

_TODAY = {operation.name: operation for operation in OPERATIONS}

_SAME = (
    "balances.update",
    "balances.delete",
    "balances.list",
    "balances.batch_track",
    "balances.finalize",
    "customers.delete",
    "entities.delete",
    "features.delete",
    "plans.delete",
    "events.list",
    "clock.advance",
    "clock.get",
)
"""Operations that look today as they did."""


def _changed(name: str, **changes: Any) -> Operation:  # noqa: ANN401 - fields of an operation
    return _TODAY[name]._replace(name=f"{name}@1.2", **changes)


def _refused(name: str, reason: str) -> Operation:
    async def refuse(_: Services, __: Call, ___: object) -> Acknowledged:
        raise NotSupportedError(reason)

    return Operation(
        name=f"{name}@1.2",
        summary=reason,
        description=reason,
        request=old.UnsupportedRequest,
        response=Acknowledged,
        handle=refuse,
        rule=rules.nothing,
        errors=(NotSupportedError,),
    )


_PAYMENT = "there is no payment provider: products are attached without a checkout"

SET_BALANCES = Operation(
    name="balances.set@1.2",
    summary="Set balances",
    description="Sets what is left of features, or what is used of one.",
    request=old.BalancesRequest,
    response=Acknowledged,
    handle=usage.set_balances,
    rule=usage.balances_rule,
    errors=(errors.BalanceNotFoundError, errors.CustomerNotFoundError),
)

CANCEL = Operation(
    name="billing.cancel@1.2",
    summary="Cancel a product",
    description=(
        "Ends a product at the end of its billing cycle or, with `cancel_immediately`, at once."
    ),
    request=wire.CancelRequest,
    response=wire.ProductCanceled,
    handle=billing.cancel,
    rule=billing.cancel_rule,
    errors=_TODAY["billing.update"].errors,
    example=Example(
        {"customer_id": "cus_123", "product_id": "pro", "cancel_immediately": True},
        {"success": True, "customer_id": "cus_123", "product_id": "pro"},
    ),
)

CHECKOUT = _refused("billing.checkout", _PAYMENT)
SETUP_PAYMENT = _refused("billing.setup_payment", _PAYMENT)
PORTAL = _refused("billing.open_customer_portal", _PAYMENT)
TRANSFER = _refused("billing.transfer", "moving a product between entities is not supported")
REFERRALS = _refused("referrals", "referrals are not supported")
PRICING_TABLE = _refused("plans.pricing_table", "pricing tables are not supported")

OWN = (
    SET_BALANCES,
    CHECKOUT,
    SETUP_PAYMENT,
    PORTAL,
    CANCEL,
    TRANSFER,
    REFERRALS,
    PRICING_TABLE,
)
"""What 1.2 has and later versions have not."""

_CHANGED = (
    _changed(
        "balances.check",
        request=old.CheckOf,
        rule=usage.check_rule,
        handle=usage.check,
        claims=usage.spends,
        reads=lambda request: not usage.spends(request),
    ),
    _changed(
        "balances.track", response=old.TrackReceipt, rule=usage.track_rule, handle=usage.track
    ),
    _changed("usage", response=old.UsageReceipt, handle=usage.set_usage),
    _changed("balances.create", request=old.GrantOf, rule=usage.grant_rule),
    _changed(
        "customers.get_or_create",
        response=old.Customer,
        handle=subjects.get_or_create_customer,
    ),
    _changed("customers.get", response=old.Customer, handle=subjects.get_customer),
    _changed("customers.update", response=old.Customer, handle=subjects.update_customer),
    _changed("customers.list", response=old.CustomerPage, handle=subjects.list_customers),
    _changed(
        "entities.create",
        request=old.EntitiesCreateRequest,
        response=old.Entity,
        rule=subjects.create_rule,
        handle=subjects.create_entities,
    ),
    _changed(
        "entities.get",
        request=old.EntityGetOf,
        response=old.Entity,
        rule=subjects.get_rule,
        handle=subjects.get_entity,
    ),
    _changed("entities.update", response=old.Entity, handle=subjects.update_entity),
    _changed("entities.list", response=old.EntityPage, handle=subjects.list_entities),
    _changed("events.aggregate", response=old.UsageSeries, handle=usage.aggregate),
    _changed("features.get", response=wire.FeatureShape, handle=products.get_feature),
    _changed("features.list", response=wire.FeaturePage, handle=products.list_features),
    _changed(
        "plans.create",
        request=wire.ProductCreateRequest,
        response=wire.Product,
        rule=products.create_rule,
        handle=products.create,
    ),
    _changed("plans.get", response=wire.Product, handle=products.get),
    _changed(
        "plans.update",
        request=wire.ProductUpdateRequest,
        response=wire.Product,
        rule=products.update_rule,
        handle=products.update,
    ),
    _changed("plans.list", response=wire.ProductPage, handle=products.list_all),
    _changed(
        "billing.attach",
        request=wire.ProductAttachRequest,
        response=wire.ProductAttached,
        rule=billing.attach_rule,
        handle=billing.attach,
    ),
)

_COMPLETE = {
    **{each.name: completed(each) for each in OPERATIONS},
    **{each.name: each for each in OWN},
}
_COMPLETED = (Version.V2_1, Version.V2_2)

OLDER: dict[tuple[str, Version], Operation] = {
    **{(name, version): each for name, each in _COMPLETE.items() for version in _COMPLETED},
    **{(name, Version.V1_2): _TODAY[name] for name in _SAME},
    **{(each.name.removesuffix("@1.2"), Version.V1_2): each for each in _CHANGED},
    **{(each.name, Version.V1_2): each for each in OWN},
}
"""What each operation is in an older version."""
