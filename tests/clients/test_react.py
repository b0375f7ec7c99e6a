"""Pages with Autumn's React hooks and its ``autumnHandler``, unmodified, in front of a gateway."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.clients.shop import MONTHLY, new_id
from tests.fixtures.gateways import KEY, Gateway
from tests.fixtures.sdks import FOLDER, NODE
from tests.fixtures.webpages import Browser

MESSAGES = {"feature_id": "ai-messages"}
SEAT = {"entity_id": "user_abc", **MESSAGES}
README = Path(__file__).parents[2] / "README.md"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def team_plan(shared_gateway: Gateway) -> Gateway:
    """The gateway with what the pages sell: fifty messages a month for each seat."""
    for feature_id, name, consumable in (
        ("seats", "Seats", False),
        ("ai-messages", "AI messages", True),
    ):
        shared_gateway.call(
            "features.create",
            feature_id=feature_id,
            name=name,
            type="metered",
            consumable=consumable,
        )
    shared_gateway.call("features.create", feature_id="page_sso", name="SSO", type="boolean")
    shared_gateway.call(
        "plans.create", plan_id="page_sso", name="SSO", items=[{"feature_id": "page_sso"}]
    )
    shared_gateway.call(
        "plans.create",
        plan_id="page_team",
        name="Team plan",
        items=[
            {"feature_id": "seats", "included": 5},
            {**MESSAGES, "included": 50, "reset": MONTHLY, "entity_feature_id": "seats"},
        ],
    )
    return shared_gateway


def left(gateway: Gateway, customer: str) -> list[object]:
    """What the gateway says is left: to the seat, and to the whole team."""
    named = ({"customer_id": customer, **SEAT}, {"customer_id": customer, **MESSAGES})
    return [gateway.call("balances.check", **each)["balance"]["remaining"] for each in named]


@pytest.fixture
def customer(team_plan: Gateway) -> str:
    """Somebody nobody has heard of yet."""
    return new_id("page")


@pytest.mark.parametrize("version", ["0.0", "0.1", "1.3"])
def test_a_page_creates_a_seat_with_fifty_and_uses_ten_after_ten(
    browser: Browser, team_plan: Gateway, customer: str, version: str
) -> None:
    browser.open(version, customer)
    browser.sees("Acme")
    browser.click("Buy the team plan")
    browser.sees("Team plan")
    browser.click("Add a seat")
    browser.sees("John Doe")
    browser.sees("50 left")
    browser.sees("User has access to AI messages")
    assert left(team_plan, customer) == [50, 50]

    browser.click("Use 10")
    browser.sees("40 left")
    picture = browser.shoot(f"react-{version}")
    assert left(team_plan, customer) == [40, 40]
    assert picture.startswith(PNG)
    assert struct.unpack(">II", picture[16:24]) == (640, 480)
    assert len(picture) > 5_000  # there is something on it

    for remaining in (30, 20, 10, 0):
        browser.click("Use 10")
        browser.sees(f"{remaining} left")
    browser.sees("No access to AI messages")
    assert left(team_plan, customer) == [0, 0]
    assert browser.errors() == []


@pytest.mark.parametrize("version", ["0.1", "1.3"])
def test_a_page_knows_what_the_whole_team_may_use(
    browser: Browser, team_plan: Gateway, customer: str, version: str
) -> None:
    named = {"customer_id": customer}
    team_plan.call("customers.get_or_create", **named)
    team_plan.call("billing.attach", **named, plan_id="page_team")
    browser.open(version, customer)
    browser.sees("The team may not use 20 more")
    browser.click("Add a seat")

    browser.sees("The team may use 20 more")
    if version == "1.3":
        browser.sees("AI messages are counted")  # the balance brings its feature


def test_a_page_of_today_shows_plans_and_events(
    browser: Browser, team_plan: Gateway, customer: str
) -> None:
    named = {"customer_id": customer}
    team_plan.call("customers.get_or_create", **named)
    team_plan.call("balances.create", **named, **MESSAGES, included_grant=50)
    for value in (3, 4):
        team_plan.call("balances.track", **named, **MESSAGES, value=value)
    browser.open("1.3", customer)

    browser.sees("2 features for sale")
    browser.sees("Used 2 times, 7 today")


def test_a_page_of_today_can_check_for_somebody_who_has_flags_alone(
    browser: Browser, team_plan: Gateway, customer: str
) -> None:
    team_plan.call("customers.get_or_create", customer_id=customer)
    team_plan.call("billing.attach", customer_id=customer, plan_id="page_sso")
    browser.open("1.3", customer)

    browser.sees("The team may not use 20 more")


def test_the_backend_of_the_readme_answers_the_hooks(team_plan: Gateway) -> None:
    found = re.search(r"^```js\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    shown = found[1]
    for there, here in (
        ("autumn-js/express", "autumn-js-1.3/express"),
        ("http://127.0.0.1:8080", team_plan.url),
        ("process.env.TALLYGATE_KEY", f'"{KEY}"'),
        ("app.listen(3000)", "const on = app.listen(0, () => console.log(on.address().port))"),
    ):
        assert there in shown
        shown = shown.replace(there, here)
    command = [NODE, "--input-type=module", "--eval", shown]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=FOLDER) as backend:
        try:
            assert backend.stdout is not None
            url = f"http://127.0.0.1:{int(backend.stdout.readline())}/api/autumn"
            answer = httpx.post(f"{url}/getOrCreateCustomer", json={}, timeout=20)
        finally:
            backend.kill()

    assert (answer.status_code, answer.json()["id"]) == (200, "org_123")
