"""``events.list``: what was tracked, from SQL."""

from __future__ import annotations

from gateway import errors
from gateway.api import rules
from gateway.api.examples import EXAMPLES
from gateway.api.operation import Call, Operation, Services
from gateway.messages.events import EventListRequest, EventListResponse


async def _list(services: Services, call: Call, request: EventListRequest) -> EventListResponse:
    return await services.engine.list_events(
        call.env, request, cursor_paging=call.version.cursor_paging
    )


OPERATIONS = (
    Operation(
        name="events.list",
        summary="List events",
        description=(
            "Usage events, newest first, each with what was asked for and what moved. From version "
            "2.3 on, pass `next_cursor` as `start_cursor` until it is null; before, use `offset`."
        ),
        request=EventListRequest,
        response=EventListResponse,
        handle=_list,
        rule=rules.event_list,
        errors=(errors.InvalidCursorError,),
        example=EXAMPLES["events.list"],
    ),
)
