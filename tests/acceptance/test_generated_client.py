"""A client made from the served document by a generator: it calls, and reads what comes back."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.gateways import KEY, Gateway

PACKAGE = "made_from_the_document"
SECONDS = 120


class Made:
    """The generated package, and a client of it."""

    def __init__(self, url: str) -> None:
        self.models: Any = importlib.import_module(f"{PACKAGE}.models")
        client: Any = importlib.import_module(f"{PACKAGE}.client")
        self.client = client.AuthenticatedClient(
            base_url=url, token=KEY, raise_on_unexpected_status=True, timeout=20
        )

    def function(self, tag: str, name: str) -> Any:  # noqa: ANN401 - what was generated has no types
        """Return the module of an operation."""
        return importlib.import_module(f"{PACKAGE}.api.{tag}.{name}")

    def call(self, operation: str, body: object) -> Any:  # noqa: ANN401 - a model of the package
        """Call an operation and return the model of its answer."""
        made = self.function(operation.partition(".")[0], operation.replace(".", "_"))
        return made.sync(client=self.client, body=body)


@pytest.fixture(scope="module")
def made(shared_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """The client, made from what the gateway serves."""
    folder = tmp_path_factory.mktemp("client")
    plain = folder / "settings.yml"
    plain.write_text("post_hooks: []\n")
    said = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--url", f"{shared_gateway.url}/openapi.json", "--config", str(plain)),
            *("--output-path", str(folder / PACKAGE), "--fail-on-warning"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    sys.path.insert(0, str(folder))
    client = Made(shared_gateway.url)
    try:
        yield client
    finally:
        client.client.get_httpx_client().close()
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


def test_every_operation_is_a_function_of_the_client(made: Made, shared_gateway: Gateway) -> None:
    folder = Path(importlib.import_module(PACKAGE).__path__[0]) / "api"
    functions = {path.stem for path in folder.rglob("*.py")} - {"__init__"}
    document = shared_gateway.get("openapi.json").json()

    assert functions == {
        shown["operationId"].replace(".", "_")
        for methods in document["paths"].values()
        for shown in methods.values()
    }


def test_a_seat_is_created_checked_and_tracked(made: Made) -> None:
    models = made.models
    customer_id, summaries, chairs = "made_customer", "made_summaries", "made_chairs"
    for feature_id, consumable in ((summaries, True), (chairs, False)):
        feature = made.call(
            "features.create",
            models.FeatureCreateRequest(
                feature_id=feature_id,
                name=feature_id,
                type_=models.FeatureCreateRequestType("metered"),
                consumable=consumable,
            ),
        )
        assert feature.id == feature_id
    month = models.ItemResetRequest(interval=models.ItemResetRequestInterval("month"))
    items = [
        models.PlanItemRequest(feature_id=chairs, included=5),
        models.PlanItemRequest(
            feature_id=summaries, included=50, reset=month, entity_feature_id=chairs
        ),
    ]
    plan = models.PlanCreateRequest(plan_id="made_plan", name="Made", items=items)
    assert [item.included for item in made.call("plans.create", plan).items] == [5, 50]

    customer = models.CustomerCreateRequest(customer_id=customer_id)
    assert made.call("customers.get_or_create", customer).subscriptions == []
    attached = models.AttachRequest(customer_id=customer_id, plan_id="made_plan")
    assert made.call("billing.attach", attached).payment_url is None
    entity = models.EntityCreateRequest(customer_id=customer_id, entity_id="ada", feature_id=chairs)
    assert made.call("entities.create", entity).balances[summaries].remaining == 50

    asked = {"customer_id": customer_id, "feature_id": summaries, "entity_id": "ada"}
    checked = made.call("balances.check", models.CheckRequest(**asked))
    assert checked.allowed is True
    assert checked.balance.remaining == 50
    tracked = made.call("balances.track", models.TrackRequest(**asked, value=10))
    assert tracked.balance.remaining == 40
    assert tracked.deductions[0].value == 10
    too_many = models.CheckRequest(**asked, required_balance=41)
    assert made.call("balances.check", too_many).allowed is False


async def test_a_refusal_is_read_as_an_error_with_its_code(made: Made) -> None:
    models = made.models
    body = models.CheckRequest(customer_id="made_nobody", feature_id="made_nothing")
    async with made.client as client:
        check = made.function("balances", "balances_check").asyncio_detailed
        answer = await check(client=client, body=body)

    assert answer.status_code == 404
    assert isinstance(answer.parsed, models.ErrorBody)
    assert answer.parsed.code in ("customer_not_found", "feature_not_found")


def test_the_rest_routes_have_both_shapes(made: Made) -> None:
    models = made.models
    fetch = made.function("rest", "get_customers_customer_id").sync
    made.call("customers.get_or_create", models.CustomerCreateRequest(customer_id="made_both"))

    today = fetch("made_both", client=made.client)
    older = fetch("made_both", client=made.client, x_api_version="1.2")

    assert isinstance(today, models.CustomerView)
    assert isinstance(older, models.Customer)
    assert today.id == older.id == "made_both"
