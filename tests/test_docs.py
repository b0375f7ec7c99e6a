"""What the documents say of the code: every setting, operation and limit, as it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from gateway.amounts import ENTITIES_MAX
from gateway.api.operations import OPERATIONS
from gateway.api.resources.event_rules import MAX_GROUPS_MAX
from gateway.config import SETTINGS
from gateway.engine.aggregates import BINS_MAX, CELLS_MAX
from gateway.lifecycle.clock import OFFSET_DAYS_MAX
from gateway.messages.common import DOCUMENT_BYTES_MAX, ID_MAX, NAME_MAX
from gateway.messages.events import FILTERS_MAX
from gateway.messages.plans import ITEMS_MAX
from gateway.metrics import METRICS
from gateway.ports import GROUP_NAME_MAX
from gateway.webhooks.messages import RETRY_MS
from gateway.webhooks.records import ENDPOINTS_MAX, EventType
from gateway.webhooks.sender import TIMEOUT_SECONDS
from gateway.webhooks.urls import URL_MAX

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BENCHES = (ROOT / "bench" / "README.md").read_text()


def test_the_settings_table_has_every_setting_with_its_default_and_meaning() -> None:
    for setting in SETTINGS:
        default = f"`{setting.default_text}`" if setting.default_text else ""
        row = f"| `{setting.env}` | {default} | {setting.meaning} Allowed: {setting.allowed}. |"
        assert row in README
    assert len(re.findall(r"^\| `TALLYGATE_", README, re.MULTILINE)) == len(SETTINGS)


def test_the_metrics_table_has_every_metric_and_no_other() -> None:
    rows = re.findall(r"^\| `tallygate_.*\|$", README, re.MULTILINE)
    assert rows == [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{name}`' for name in metric.labels)} "
        f"| {metric.meaning} |"
        for metric in METRICS
    ]


def test_the_api_table_has_every_operation_and_no_other() -> None:
    shown: set[str] = set()
    for row in re.findall(r"^\| (`[a-z_]+\.[a-z_]+`.*?) \|", README, re.MULTILINE):
        names = re.findall(r"`([a-z_.]+)`", row)
        resource = names[0].split(".")[0]
        shown |= {name if not name.startswith(".") else f"{resource}{name}" for name in names}
    assert shown == {operation.name for operation in OPERATIONS}


def test_the_limits_table_has_the_limits() -> None:
    limits = README[README.index("### Limits") : README.index("## Running it")]
    sizes = (ID_MAX, NAME_MAX, ITEMS_MAX, ENTITIES_MAX, DOCUMENT_BYTES_MAX // 1024)
    sums = (BINS_MAX, CELLS_MAX, MAX_GROUPS_MAX, FILTERS_MAX, GROUP_NAME_MAX)
    for number in (*sizes, *sums, OFFSET_DAYS_MAX, ENDPOINTS_MAX, URL_MAX):
        assert f"{number:,}" in limits


def test_the_webhooks_section_has_the_events_and_the_schedule() -> None:
    section = README[README.index("### Webhooks") : README.index("### When something is down")]
    for event in EventType:
        assert f"`{event}`" in section
    assert f"within {TIMEOUT_SECONDS:g} seconds" in section
    units = {"s": 1_000, "min": 60_000, "h": 3_600_000}
    schedule = " ".join(section[section.index("tried again after") :].split())
    waits = re.findall(r"(\d+) (s|min|h)\b", schedule.partition("then")[0])
    assert [int(count) * units[unit] for count, unit in waits] == list(RETRY_MS)


def test_links_within_the_documents_lead_somewhere() -> None:
    anchors = {
        name: {_anchor(title) for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        for name, text in (("", README), ("bench/README.md", BENCHES))
    }
    links = re.findall(r"\]\((bench/README\.md)?#([\w-]+)\)", README)
    assert links
    assert [link for link in links if link[1] not in anchors[link[0]]] == []


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")


def test_a_package_that_names_its_modules_names_each() -> None:
    for package in [*ROOT.glob("gateway/**/__init__.py"), *ROOT.glob("persistence/**/__init__.py")]:
        said = ast.get_docstring(ast.parse(package.read_text())) or ""
        modules = {path.stem for path in package.parent.glob("*.py")} - {package.stem}
        named = {name for name in modules if f"``{name}``" in said}
        # A command, and a resource of the API, is a module of its own name.
        if named and package.parent.name not in {"commands", "resources"}:
            assert named == modules, package


def test_the_changelog_has_an_entry_for_what_is_not_released() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## Unreleased\n\n- \w", changelog, re.MULTILINE)
