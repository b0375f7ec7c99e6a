"""``clock.*``: moving the time of the sandbox, so that a month can be tested in a second."""

from __future__ import annotations

from gateway import errors
from gateway.api.operation import Call, Operation, Services, always
from gateway.lifecycle.clock import OFFSET_DAYS_MAX, SANDBOX
from gateway.messages.clock import ClockAdvanceRequest, ClockGetRequest, ClockView
from gateway.messages.common import whole

TO_MS_MAX = 10**15
"""Far beyond any step the clock may take; a larger number is no time."""


async def _get(services: Services, call: Call, _: ClockGetRequest) -> ClockView:
    await services.catalog.refresh()
    return services.catalog.clock.view(call.env)


async def _advance(services: Services, _: Call, request: ClockAdvanceRequest) -> ClockView:
    view = await services.catalog.advance_clock(request)
    await services.engine.clock_moved()
    return view


def _sandbox_only(call: Call, _: ClockGetRequest) -> None:
    if call.env != SANDBOX:
        raise errors.SandboxOnlyError


def _advance_rule(call: Call, request: ClockAdvanceRequest) -> None:
    if call.env != SANDBOX:
        raise errors.SandboxOnlyError
    request.to = whole(request.to, "to", 0, TO_MS_MAX)


OPERATIONS = (
    Operation(
        name="clock.advance",
        summary="Advance the sandbox's clock",
        description=(
            "Moves the time of the sandbox forward: by a duration such as `30d`, `12h`, `90m`, "
            "`45s` or `1500ms`, or to a time. Balances reset, plans and locks expire and windows "
            "roll over as they would have by then. The clock never goes back, and all steps "
            f"together may be {OFFSET_DAYS_MAX:,} days. Plans switch before it is answered. Live "
            "time cannot be moved. Other processes follow within half a second."
        ),
        request=ClockAdvanceRequest,
        response=ClockView,
        handle=_advance,
        rule=_advance_rule,
        errors=(errors.SandboxOnlyError,),
    ),
    Operation(
        name="clock.get",
        summary="Get the sandbox's clock",
        description="Returns the time of the sandbox and how far it is ahead, in milliseconds.",
        request=ClockGetRequest,
        response=ClockView,
        handle=_get,
        rule=_sandbox_only,
        errors=(errors.SandboxOnlyError,),
        reads=always,
    ),
)
