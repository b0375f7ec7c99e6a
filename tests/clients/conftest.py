"""What the clients' tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.shop import define_shop, new_id
from tests.fixtures.gateways import Gateway
from tests.fixtures.sdks import Client, OldClient, Process


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "calls(*methods): the methods a test is a case of, in clients that have them"
    )


@pytest.fixture(autouse=True)
def calls_what_it_says(request: pytest.FixtureRequest) -> Iterator[None]:
    """A case of a method has called it."""
    marker = request.node.get_closest_marker("calls")
    if marker is None:
        yield
        return
    (name,) = {"sdk", "js", "autumn_py"}.intersection(request.fixturenames)
    client: Client = request.getfixturevalue(name)
    client.called.clear()
    yield
    assert client.methods.intersection(marker.args) <= client.called


@pytest.fixture(scope="package")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of their own: what other tests give every new customer would show here."""
    started = Gateway(tmp_path_factory.mktemp("clients") / "data")
    try:
        yield started.start()
    finally:
        started.stop()


@pytest.fixture(scope="package")
def shop(shared_gateway: Gateway) -> Gateway:
    """The shared gateway with the shop defined."""
    define_shop(shared_gateway)
    return shared_gateway


@pytest.fixture(scope="package")
def js(node: Process, shop: Gateway) -> OldClient:
    """The npm client of 1.2, autumn-js 0.1."""
    return OldClient("js-0.1", node)


@pytest.fixture
def customer(shop: Gateway, sdk: Client) -> str:
    """A customer with a hundred messages a month, made and attached by the client itself."""
    customer_id = new_id("customer")
    sdk.call("customers.get_or_create", customer_id=customer_id, name="Ada")
    sdk.call("billing.attach", customer_id=customer_id, plan_id="sdk_pro")
    return customer_id


@pytest.fixture
def team(shop: Gateway, sdk: Client) -> str:
    """A customer with two seats of fifty notes each."""
    customer_id = new_id("team")
    sdk.call("customers.get_or_create", customer_id=customer_id)
    sdk.call("billing.attach", customer_id=customer_id, plan_id="sdk_team")
    for name in ("first", "second"):
        sdk.call(
            "entities.create",
            customer_id=customer_id,
            entity_id=f"{customer_id}-{name}",
            feature_id="sdk_seats",
            name=name,
        )
    return customer_id
