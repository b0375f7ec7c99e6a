"""Every bench runs, tiny, so that none rots; its figures mean nothing here."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from bench import any_gateway, traffic
from bench.__main__ import BENCHES, SHORT_TABLE, main
from bench.lateness import lateness
from bench.measure import SMOKE
from bench.results import Record
from bench.stage import KEY, Api, gateway, stage, writer

IN_SHORT_TABLE = {*SHORT_TABLE, *traffic.NAMES}


@pytest.mark.parametrize("name", sorted(BENCHES.keys() - IN_SHORT_TABLE))
async def test_bench_runs(name: str) -> None:
    outcome = await BENCHES[name].run(SMOKE)
    assert f"answers {outcome.answers}" in outcome.table()
    assert outcome.figures


def test_the_short_table_is_kept_and_compared(tmp_path: Path) -> None:
    stem = str(tmp_path / "run")
    runner = CliRunner()
    run = runner.invoke(main, ["--smoke", "--save", stem], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    kept = msgspec.json.decode(Path(f"{stem}.json").read_bytes(), type=Record)
    assert kept.outcomes.keys() == SHORT_TABLE.keys()
    page = Path(f"{stem}.html").read_text()
    assert all(outcome.answers in page for outcome in kept.outcomes.values())
    compared = runner.invoke(main, ["compare", f"{stem}.json", f"{stem}.json"])
    assert compared.exit_code == 0, compared.output
    assert "1.00" in compared.output
    alone = asyncio.run(BENCHES["track"].run(SMOKE))
    assert alone.answers == kept.outcomes["traffic"].answers
    assert {curve.plot for curve in alone.curves} == {
        "Latency",
        "Throughput and latency, open loop",
    }


async def test_any_gateway_is_loaded_and_left_as_it_was() -> None:
    async with (
        stage() as place,
        gateway(place) as served,
        writer(place),
        lateness(place) as late,
        Api(served.base) as api,
    ):
        await api.call("customers.get_or_create", customer_id="acme")
        for _ in range(2):
            outcome = await any_gateway.run(served.base, KEY, seconds=0.3, connections=4, rate=0)
            assert outcome.answers.startswith("add up")
            assert {one.median for one in outcome.figures if one.column == "failed"} == {0}
        await late.carried()
        customers = await api.call("customers.list")
        features = await api.call("features.list")
    assert [one["id"] for one in customers["list"]] == ["acme"]
    assert {one["id"]: one["archived"] for one in features["list"]} == {any_gateway.FEATURE: True}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--url", "http://127.0.0.1:1"], 2, "--url needs --key"),
        (["--url", "127.0.0.1:1", "--key", KEY], 2, "--url begins with http:// or https://"),
        (["--url", "http://127.0.0.1:1", "--key", KEY], 1, "http://127.0.0.1:1: "),
    ],
)
def test_a_url_that_cannot_be_loaded_is_told(words: list[str], code: int, told: str) -> None:
    run = CliRunner().invoke(main, words)
    assert run.exit_code == code
    assert told in run.output
