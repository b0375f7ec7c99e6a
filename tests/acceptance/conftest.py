"""What the scenario tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.store import Store
from tests.acceptance.world import World
from tests.fixtures.gateways import Gateway


@pytest.fixture(scope="package")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for tests that keep to customers and features of their own. It ends with the last
    of them here: one that idles takes a thirtieth of a core.
    """
    yield from _started(tmp_path_factory)


@pytest.fixture
def world(shared_gateway: Gateway) -> World:
    return World(shared_gateway)


@pytest.fixture(scope="module")
def clock_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway for tests that move its clock; its time is ahead by what others moved it."""
    yield from _started(tmp_path_factory)


def _started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    started = Gateway(tmp_path_factory.mktemp("gateway") / "data")
    try:
        yield started.start()
    finally:
        started.stop()


@pytest.fixture
def later(clock_gateway: Gateway) -> World:
    """A customer on a gateway whose clock may be moved."""
    return World(clock_gateway)


@pytest.fixture
def store(clock_gateway: Gateway) -> Iterator[Store]:
    """A customer, and plans that switch, on a gateway whose clock may be moved."""
    opened = Store(clock_gateway)
    try:
        yield opened
    finally:
        opened.close()
