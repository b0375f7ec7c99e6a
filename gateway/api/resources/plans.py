"""``plans.*``: kept in the catalog; Redis is asked only what a customer has."""

from __future__ import annotations

from gateway import errors
from gateway.api.operation import Call, Operation, Services, always
from gateway.api.resources import billing_rules, rules
from gateway.documents import EXPIRED
from gateway.lifecycle.catalog import StoredPlan
from gateway.lifecycle.plan_rules import plan_view
from gateway.messages.common import ACKNOWLEDGED, Acknowledged, integer
from gateway.messages.plan_changes import PlanDeleteRequest, PlanUpdateRequest
from gateway.messages.plans import (
    PlanCreateRequest,
    PlanGetRequest,
    PlanListRequest,
    PlanListResponse,
    PlanView,
)


async def _create(services: Services, call: Call, request: PlanCreateRequest) -> PlanView:
    return plan_view(await services.catalog.create_plan(call.env, request))


async def _get(services: Services, call: Call, request: PlanGetRequest) -> PlanView:
    version = integer(request.version, field="version")
    return plan_view(await services.catalog.plan(call.env, request.plan_id, version))


async def listed(services: Services, call: Call, request: PlanListRequest) -> list[StoredPlan]:
    """Return the plans a list shows."""
    await services.catalog.refresh()
    plans = services.catalog.plans(call.env, all_versions=bool(request.all_versions))
    return [plan for plan in plans if request.include_archived or not plan.record.archived]


async def _list(services: Services, call: Call, request: PlanListRequest) -> PlanListResponse:
    views = [plan_view(plan) for plan in await listed(services, call, request)]
    if request.customer_id is not None:
        found = await services.engine.eligibilities(call.env, request)
        for view in views:
            view.customer_eligibility = found[view.id]
    return PlanListResponse(list=views)


async def update(services: Services, call: Call, request: PlanUpdateRequest) -> StoredPlan:
    """Change a plan, as another version of it where customers hold the one before."""
    statuses = await services.engine.plan_statuses(call.env, request.plan_id)
    return await services.catalog.update_plan(
        call.env, request, is_held=not statuses <= {EXPIRED}, was_held=bool(statuses)
    )


async def _update(services: Services, call: Call, request: PlanUpdateRequest) -> PlanView:
    return plan_view(await update(services, call, request))


async def _delete(services: Services, call: Call, request: PlanDeleteRequest) -> Acknowledged:
    if await services.engine.plan_statuses(call.env, request.plan_id):
        raise errors.InvalidRequestError(
            f"plan {request.plan_id} has or had customers; archive it instead"
        )
    await services.catalog.delete_plan(call.env, request.plan_id)
    return ACKNOWLEDGED


OPERATIONS = (
    Operation(
        name="plans.create",
        summary="Create a plan",
        description=(
            "A plan is a list of items: so many units of a feature, how often they start anew, and "
            "what more of them costs. An item with `entity_feature_id` is given to each entity of "
            "that feature. Prices are kept and shown; nothing is charged."
        ),
        request=PlanCreateRequest,
        response=PlanView,
        handle=_create,
        rule=rules.plan_create,
        errors=(
            errors.PlanExistsError,
            errors.FeatureNotFoundError,
            errors.InvalidItemError,
            errors.InvalidPriceError,
            errors.InvalidRequestError,
            errors.NotSupportedError,
        ),
    ),
    Operation(
        name="plans.get",
        summary="Get a plan",
        description="Returns the latest version of a plan, or the one that is named.",
        request=PlanGetRequest,
        response=PlanView,
        handle=_get,
        rule=rules.plan_named,
        errors=(errors.PlanNotFoundError,),
        reads=always,
    ),
    Operation(
        name="plans.list",
        summary="List plans",
        description=(
            "Returns plans, oldest first, in their latest versions or, with `all_versions`, in "
            "all; archived ones only with `include_archived`. With a customer it says of each "
            "what attaching it would be."
        ),
        request=PlanListRequest,
        response=PlanListResponse,
        handle=_list,
        rule=rules.plan_list,
        errors=(errors.CustomerNotFoundError, errors.EntityNotFoundError),
        reads=always,
    ),
    Operation(
        name="plans.update",
        summary="Update a plan",
        description=(
            "Changes the fields that are sent. When a customer holds the plan, other items, "
            "prices, trials or controls make a new version of it and customers keep theirs; "
            "`disable_version` edits it in place all the same, `all_versions` every version. The "
            "id can change only if no customer ever had the plan."
        ),
        request=PlanUpdateRequest,
        response=PlanView,
        handle=_update,
        rule=billing_rules.plan_update,
        errors=(
            errors.PlanNotFoundError,
            errors.PlanExistsError,
            errors.FeatureNotFoundError,
            errors.InvalidItemError,
            errors.InvalidPriceError,
            errors.InvalidRequestError,
            errors.VersionFlagsError,
            errors.HistoricalDefaultError,
            errors.PropagationError,
            errors.NotSupportedError,
        ),
    ),
    Operation(
        name="plans.delete",
        summary="Delete a plan",
        description="Only a plan that no customer ever had, in all its versions; else archive it.",
        request=PlanDeleteRequest,
        response=Acknowledged,
        handle=_delete,
        rule=billing_rules.plan_delete,
        errors=(errors.PlanNotFoundError, errors.InvalidRequestError),
    ),
)
