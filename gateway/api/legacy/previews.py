"""``balances.check`` with what a preview suggests: products in the shape of 1.2, whatever version
asks (hot-path section 1.1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable

import msgspec
from msgspec import UNSET

from gateway.api.legacy.products import product
from gateway.api.operation import Call, Services
from gateway.api.resources import balances
from gateway.engine.verdicts import suggesting
from gateway.errors import GatewayError
from gateway.messages.balances import CheckPreview, CheckRequest, CheckResponse

_encode = msgspec.json.Encoder().encode


def check(services: Services, call: Call, request: CheckRequest) -> Awaitable[CheckResponse]:
    """``balances.check``."""
    if request.with_preview:
        return _previewed(services, call, request)
    return balances.check(services, call, request)


async def _previewed(services: Services, call: Call, request: CheckRequest) -> CheckResponse:
    response = await balances.check(services, call, request)
    if response.preview is not UNSET:
        with contextlib.suppress(GatewayError):  # the verdict stands without products
            response.preview = await _suggested(services, call, request, response.preview)
    return response


async def _suggested(
    services: Services, call: Call, request: CheckRequest, preview: CheckPreview
) -> CheckPreview:
    found = await services.engine.suggestions(
        call.env, request.customer_id, request.entity_id, request.feature_id
    )
    products = []
    for one in found:
        shown = await product(services.catalog, one.plan)
        shown.scenario = one.scenario
        products.append(msgspec.Raw(_encode(shown)))
    return suggesting(preview, [one.plan for one in found], products)
