"""Schemathesis against the document: every check, and chains of calls along its links.

``SCHEMATHESIS_SECONDS=600`` is the long run, ``SCHEMATHESIS_SEED`` repeats one. What a failed run
prints names its seed, and each call that failed as a command line.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.gateways import KEY, Gateway

CONFIG = Path(__file__).with_name("schemathesis.toml")
SECONDS = int(os.environ.get("SCHEMATHESIS_SECONDS", "60"))
SEED = int(os.environ.get("SCHEMATHESIS_SEED", random.randrange(2**32)))

# A machine that runs many tests may stand still for longer than callers should wait.
PATIENCE = {"TALLYGATE_SQL_TIMEOUT_MS": "10000", "TALLYGATE_DURABILITY_TIMEOUT_MS": "30000"}


@pytest.fixture
def stocked(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with something of everything that ``schemathesis.toml`` names."""
    gateway = Gateway(tmp_path / "data", environment=PATIENCE)
    try:
        _stock(gateway.start())
        yield gateway
    finally:
        gateway.stop()


def _stock(gateway: Gateway) -> None:
    for feature_id, consumable in (("messages", True), ("reports", True), ("seats", False)):
        gateway.call(
            "features.create",
            feature_id=feature_id,
            name=feature_id,
            type="metered",
            consumable=consumable,
            event_names=["message.sent"] if feature_id == "messages" else [],
        )
    gateway.call("features.create", feature_id="sso", name="SSO", type="boolean")
    costs = [{"metered_feature_id": "messages", "credit_cost": 0.5}]
    gateway.call(
        "features.create",
        feature_id="credits",
        name="Credits",
        type="credit_system",
        credit_schema=costs,
    )
    month = {"interval": "month"}
    items = [
        {"feature_id": "messages", "included": 1000, "reset": month},
        {"feature_id": "seats", "included": 100},
        {"feature_id": "reports", "included": 50, "reset": month, "entity_feature_id": "seats"},
        {"feature_id": "sso"},
    ]
    gateway.call("plans.create", plan_id="team", name="Team", items=items)
    price = {"amount": 20, **month}
    gateway.call("plans.create", plan_id="pro", name="Pro", items=items, price=price)
    for customer_id in ("cus_123", "acme"):
        gateway.call("customers.get_or_create", customer_id=customer_id)
        gateway.call("billing.attach", customer_id=customer_id, plan_id="team")
        gateway.call(
            "entities.create", customer_id=customer_id, entity_id="seat_42", feature_id="seats"
        )


def test_no_answer_contradicts_the_document(stocked: Gateway, tmp_path: Path) -> None:
    # The first phases go through what they know once; the others go on until their time is up.
    for phases in ("examples,coverage", "fuzzing,stateful"):
        ran = _run(stocked, phases, tmp_path)
        assert ran.returncode == 0, f"SCHEMATHESIS_SEED={SEED}\n{ran.stdout}\n{ran.stderr}"
    assert "Traceback" not in (stocked.folder / "stdout.log").read_text()


def _run(gateway: Gateway, phases: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
            *("run", f"{gateway.url}/openapi.json", "--header", f"Authorization: Bearer {KEY}"),
            *("--checks", "all", "--phases", phases, "--max-time", str(SECONDS // 2)),
            *("--seed", str(SEED), "--suppress-health-check", "all", "--warnings", "off"),
            # Nothing of a test is secret, and a command line has to work as it is.
            *("--output-sanitize", "false", "--no-color", "--generation-database", "none"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS + 120,
    )
