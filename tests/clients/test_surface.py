"""Nothing a published client can call is forgotten: each of its methods has a case or is refused
by name, and each path it knows is known here.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from gateway.api.operations import OPERATIONS
from tests.clients import test_billing, test_legacy_clients, test_methods
from tests.clients.test_legacy_clients import JAVASCRIPT_REFUSED, PYTHON_REFUSED
from tests.fixtures.gateways import Gateway
from tests.fixtures.sdks import FOLDER, Client, OldClient, snake

NAMED = {"entities", "customers", "features", "plans", "balances", "billing", "events", "keys"}
"""Namespaces of 2.x of which each method works, but for those below."""

NOT_SERVED = {
    "track_tokens",
    "billing.create_schedule",
    "billing.import",
    "billing.import_",
    "billing.multi_update",
    "billing.open_customer_portal",
    "billing.preview_multi_update",
    "billing.setup_payment",
    "billing.verify",
    "customers.advance_test_clock",
    "customers.list_purchases",
    "customers.list_subscriptions",
}
"""What needs a payment provider, or is not there yet."""

SENDS = {"get", "post", "delete", "post_with_version"}
"""Methods of npm autumn-js 0.1 that send a request to any path."""

SOURCES = (
    *(
        FOLDER / "node_modules" / f"autumn-js-{version}" / "dist" / "sdk"
        for version in ("1.3", "1.2", "1.0")
    ),
    *(
        FOLDER / "installed" / f"autumn_sdk_{version}" / "autumn_sdk"
        for version in ("1_2", "1_1", "1_0")
    ),
)


def cases(*modules: ModuleType) -> set[str]:
    """Return the methods that have a case."""
    functions = [one for module in modules for one in vars(module).values()]
    marks = [mark for one in functions for mark in getattr(one, "pytestmark", ())]
    return {method for mark in marks if mark.name == "calls" for method in mark.args}


def test_each_method_of_2_has_a_case(sdk: Client) -> None:
    ours = {one for one in sdk.methods if "." not in one or one.partition(".")[0] in NAMED}

    assert ours - cases(test_methods, test_billing) == ours & NOT_SERVED
    assert len(ours) > 20


def test_each_method_of_javascript_1_2_has_a_case(js: OldClient) -> None:
    refused = {snake(method) for method in JAVASCRIPT_REFUSED}

    assert js.methods - SENDS - refused == js.methods & cases(test_legacy_clients)


def test_each_method_of_python_1_2_has_a_case(autumn_py: Client) -> None:
    refused = PYTHON_REFUSED.keys()

    assert autumn_py.methods - refused == autumn_py.methods & cases(test_legacy_clients)


@pytest.mark.parametrize("folder", SOURCES, ids=lambda folder: folder.parts[-3])
def test_each_path_is_served_or_refused_by_name(folder: Path, shop: Gateway) -> None:
    files = [*folder.glob("*.py"), *folder.glob("*.mjs")]
    paths = {
        name
        for file in files
        for name in re.findall(r'"/v1/([a-zA-Z_]+\.[a-zA-Z_]+)"', file.read_text())
    }
    foreign = paths - {operation.name for operation in OPERATIONS}

    assert len(paths) > 25
    assert {shop.refusal(name) for name in foreign} == {(400, "not_supported")}
