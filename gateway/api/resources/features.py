"""``features.*``: kept in the catalog, so these never touch Redis."""

from __future__ import annotations

from gateway import errors
from gateway.api.operation import Call, Operation, Services, always
from gateway.api.resources import rules
from gateway.lifecycle.catalog import feature_view
from gateway.messages.common import ACKNOWLEDGED, Acknowledged
from gateway.messages.features import (
    FeatureCreateRequest,
    FeatureDeleteRequest,
    FeatureGetRequest,
    FeatureListRequest,
    FeatureListResponse,
    FeatureUpdateRequest,
    FeatureView,
)


async def _create(services: Services, call: Call, request: FeatureCreateRequest) -> FeatureView:
    return feature_view(await services.catalog.create_feature(call.env, request))


async def _get(services: Services, call: Call, request: FeatureGetRequest) -> FeatureView:
    return feature_view(await services.catalog.feature(call.env, request.feature_id))


async def _list(services: Services, call: Call, _: FeatureListRequest) -> FeatureListResponse:
    await services.catalog.refresh()
    features = services.catalog.features(call.env)
    return FeatureListResponse(list=[feature_view(feature) for feature in features])


async def _update(services: Services, call: Call, request: FeatureUpdateRequest) -> FeatureView:
    return feature_view(await services.catalog.update_feature(call.env, request))


async def _delete(services: Services, call: Call, request: FeatureDeleteRequest) -> Acknowledged:
    await services.catalog.delete_feature(call.env, request.feature_id)
    return ACKNOWLEDGED


OPERATIONS = (
    Operation(
        name="features.create",
        summary="Create a feature",
        description=(
            "Boolean features are on or off, metered ones are counted, credit systems pay for "
            "metered ones. `precision` is the number of decimal places amounts keep (0 to 9); "
            "left out, it is 6, and 9 for credit systems, and gets lower by itself while the "
            "feature is unused if a plan grants more than it holds. `on_outage` says what a check "
            "answers that cannot be decided: no (`closed`), yes (`open`) or the `last_known` "
            "answer; left out, the gateway's own setting does."
        ),
        request=FeatureCreateRequest,
        response=FeatureView,
        handle=_create,
        rule=rules.feature_create,
        errors=(
            errors.FeatureExistsError,
            errors.InvalidFeatureError,
            errors.NotSupportedError,
        ),
    ),
    Operation(
        name="features.get",
        summary="Get a feature",
        description="Returns one feature.",
        request=FeatureGetRequest,
        response=FeatureView,
        handle=_get,
        rule=rules.feature_named,
        errors=(errors.FeatureNotFoundError,),
        reads=always,
    ),
    Operation(
        name="features.list",
        summary="List features",
        description="Returns every feature, oldest first, archived ones too.",
        request=FeatureListRequest,
        response=FeatureListResponse,
        handle=_list,
        rule=rules.nothing,
        errors=(),
        reads=always,
    ),
    Operation(
        name="features.update",
        summary="Update a feature",
        description=(
            "Name, display, event names, credit costs, `on_outage` and `archived` can always "
            "change; id, type, "
            "`consumable` and `precision` only while no customer has the feature (after that, "
            "`tallygate rescale` changes its precision). A new id is "
            "carried into the plans and credit systems that name it."
        ),
        request=FeatureUpdateRequest,
        response=FeatureView,
        handle=_update,
        rule=rules.feature_update,
        errors=(
            errors.FeatureNotFoundError,
            errors.FeatureExistsError,
            errors.InvalidFeatureError,
            errors.InvalidRequestError,
            errors.NotSupportedError,
        ),
    ),
    Operation(
        name="features.delete",
        summary="Delete a feature",
        description="Only a feature that no plan, credit system or customer has; else archive it.",
        request=FeatureDeleteRequest,
        response=Acknowledged,
        handle=_delete,
        rule=rules.feature_named,
        errors=(errors.FeatureNotFoundError, errors.FeatureInUseError),
    ),
)
