"""What the scenario tests share."""

from __future__ import annotations

import pytest

from tests.acceptance.world import World
from tests.fixtures.gateways import Gateway


@pytest.fixture
def world(shared_gateway: Gateway) -> World:
    return World(shared_gateway)
