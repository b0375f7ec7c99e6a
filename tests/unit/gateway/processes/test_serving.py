"""How serving ends: when it is told to, and not because somebody looks whether it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvicorn

from gateway.processes.serving import HttpServer
from tests.waiting import one_turn


@pytest.mark.parametrize("told", [HttpServer.stop, HttpServer.leave])
async def test_serving_ends_in_the_turn_in_which_it_is_told_to(
    told: Callable[[HttpServer], None],
) -> None:
    server = HttpServer(uvicorn.Config("unused:app", log_config=None), lambda: None)
    serving = asyncio.create_task(server.main_loop())
    await one_turn()
    assert not serving.done()
    told(server)
    await one_turn()
    assert serving.done()


async def test_what_was_told_before_it_served_ends_it_too() -> None:
    server = HttpServer(uvicorn.Config("unused:app", log_config=None), lambda: None)
    server.stop()
    await server.main_loop()
