"""``billing.*``: giving a plan to a customer or an entity."""

from __future__ import annotations

from gateway import errors
from gateway.api import rules
from gateway.api.examples import EXAMPLES
from gateway.api.operation import Call, Operation, Services
from gateway.messages.billing import AttachRequest, AttachResponse


async def _attach(services: Services, call: Call, request: AttachRequest) -> AttachResponse:
    return await services.engine.attach(call.env, request)


OPERATIONS = (
    Operation(
        name="billing.attach",
        summary="Attach a plan",
        description=(
            "Gives a plan to a customer or, with `entity_id`, to one entity, at once and without "
            "payment. A main plan takes the place of the one of the same group; an add-on is "
            "added. Usage of non-consumable features carries over."
        ),
        request=AttachRequest,
        response=AttachResponse,
        handle=_attach,
        rule=rules.attach,
        errors=(
            errors.CustomerNotFoundError,
            errors.EntityNotFoundError,
            errors.PlanNotFoundError,
            errors.FeatureNotFoundError,
            errors.PlanAttachedError,
            errors.FeatureLimitError,
            errors.InvalidRequestError,
            errors.NotSupportedError,
        ),
        example=EXAMPLES["billing.attach"],
    ),
)
