"""Every bench runs, tiny, so that none rots; its figures mean nothing here."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec
import psutil
import pytest
from click.testing import CliRunner

from bench import any_gateway, traffic
from bench.__main__ import BENCHES, SHORT_TABLE, main
from bench.lateness import Lateness, lateness
from bench.measure import SMOKE
from bench.results import Outcome, Record
from bench.stage import KEY, Api, CallError, Served, Stage, gateway, stage, writer
from tests.commands import run_process
from tests.waiting import until, wait_until

ONE_SECOND = ["--url", "http://127.0.0.1:1", "--key", KEY, "--seconds", "1"]
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


async def test_settings_of_the_shell_change_nothing_that_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TALLYGATE_DURABILITY", "sql")  # Nobody writes here.
    monkeypatch.setenv("TALLYGATE_DURABILITY_TIMEOUT_MS", "10")
    async with stage() as place, gateway(place) as served, Api(served.base) as api:
        assert await api.call("customers.get_or_create", customer_id="org_1")


async def test_any_gateway_is_loaded_and_left_as_it_was() -> None:
    async with _whole_gateway() as (_, served, late, api):
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
        (["--url", "http://127.0.0.1:99999", "--key", KEY], 2, "Port out of range"),
        (["--url", "http://[::1", "--key", KEY], 2, "Invalid IPv6 URL"),
        (["--url", "http://", "--key", KEY], 2, "a scheme, a host"),
        (["--url", "http://me:word@127.0.0.1:1", "--key", KEY], 2, "a scheme, a host"),
        (["--url", "http://127.0.0.1:1", "--key", f"{KEY}…"], 2, "that no key has"),
        (["--url", "http://127.0.0.1:1", "--key", "am_sk_live_1234"], 2, "say --live"),
        (["--url", "http://127.0.0.1:1", "--key", "am_sk_live_1234", "--live"], 1, ":1: "),
        ([*ONE_SECOND, "--rate", "0.5"], 2, "nothing is due"),
        ([*ONE_SECOND, "--rate", "nan"], 2, "'nan' is not a number"),
        ([*ONE_SECOND, "--smoke"], 2, "--smoke does not go with --url"),
        (["--seconds", "3"], 2, "--seconds goes with --url"),
        (["--smoke", "track"], 2, "--smoke has no effect before track"),
        (["soak", "--minutes", "nan"], 2, "'nan' is not a number"),
        (["track", "--save", "/nowhere/run"], 2, "there is no folder /nowhere"),
        (["track", "--save", "/tmp/"], 2, "the beginning of two files' names"),  # noqa: S108
    ],
)
def test_what_cannot_be_loaded_or_kept_is_told_at_once(
    words: list[str], code: int, told: str
) -> None:
    run = CliRunner().invoke(main, words)
    assert run.exit_code == code
    assert told in run.output
    assert isinstance(run.exception, SystemExit)


@pytest.mark.parametrize("text", ["{", "{}", '{"date": 1}', "<html>"])
def test_a_file_that_is_no_run_is_not_compared(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    run = CliRunner().invoke(main, ["compare", str(path), str(path)])
    assert run.exit_code == 1
    assert f"{path} is not what --save keeps" in run.output


def test_runs_of_different_benches_have_nothing_to_compare(tmp_path: Path) -> None:
    paths = []
    for name in ("check", "url"):
        outcomes = {name: Outcome(about="", answers="")}
        kept = Record(date="", commit="", machine="", command="", outcomes=outcomes)
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_bytes(msgspec.json.encode(kept))
    run = CliRunner().invoke(main, ["compare", *map(str, paths)])
    assert run.exit_code == 1
    assert "no figure is in both: check against url" in run.output


async def test_a_page_that_is_no_gateway_is_told() -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ok>"

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(page)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        load = any_gateway.run(f"http://127.0.0.1:{port}", KEY, seconds=1, connections=1, rate=0)
        with pytest.raises(CallError, match="is no gateway's"):
            await load


async def test_any_gateway_is_left_as_it_was_whatever_ends_the_load(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with _whole_gateway() as (place, served, late, api):
        scopes = ("--scope", "features:write", "--scope", "balances:write")
        made = run_process("keys", "create", *scopes, "--database-url", place.database_url)
        secret = made.stdout.split()[-1]
        await until(partial(_is_known, served, secret))
        with pytest.raises(CallError, match="customers:write"):
            await any_gateway.run(served.base, secret, seconds=1, connections=2, rate=0)
        assert capsys.readouterr().err == ""
        running = any_gateway.run(served.base, KEY, seconds=600, connections=2, rate=0)
        outcome, _ = await asyncio.gather(running, _interrupted(place))
        assert "Ended early" in outcome.text
        assert outcome.answers.startswith("add up")
        await late.carried()
        features = await api.call("features.list")
        customers = await api.call("customers.list")
    assert customers["list"] == []
    assert {one["id"]: one["archived"] for one in features["list"]} == {any_gateway.FEATURE: True}


async def test_a_gateway_that_dies_takes_no_figures_with_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with stage() as place, gateway(place) as served:
        running = any_gateway.run(served.base, KEY, seconds=1, connections=2, rate=0)
        outcome, _ = await asyncio.gather(running, _killed(place, served))
    assert outcome.answers.startswith("NOT ADDED UP")
    assert {one.row for one in outcome.figures} == {"closed loop", "open loop"}
    assert "left behind, by the name tgbench" in capsys.readouterr().err


def test_a_bench_that_is_ended_leaves_no_process() -> None:
    bench = subprocess.Popen([sys.executable, "-m", "bench", "soak"])
    started: list[psutil.Process] = []

    def is_loading() -> bool:
        started[:] = psutil.Process(bench.pid).children(recursive=True)
        with contextlib.suppress(psutil.Error):  # one of them has just ended
            return any("bench.load" in one.cmdline() for one in started)
        return False

    wait_until(is_loading, seconds=60)
    bench.terminate()
    assert bench.wait(timeout=60) == 1
    assert psutil.wait_procs(started, timeout=60)[1] == []


async def _is_known(served: Served, key: str) -> bool:
    async with Api(served.base, key) as api:
        try:
            await api.call("features.list")
        except CallError:
            return False
        return True


async def _loaded(place: Stage) -> bool:
    tracks = (await place.client.info("commandstats")).get("cmdstat_fcall", {"calls": 0})
    return int(tracks["calls"]) > 50


async def _interrupted(place: Stage) -> None:
    await until(partial(_loaded, place))
    signal.raise_signal(signal.SIGINT)


async def _killed(place: Stage, served: Served) -> None:
    await until(partial(_loaded, place))
    psutil.Process(served.pid).kill()


@contextlib.asynccontextmanager
async def _whole_gateway() -> AsyncIterator[tuple[Stage, Served, Lateness, Api]]:
    async with (
        stage() as place,
        gateway(place) as served,
        writer(place),
        lateness(place) as late,
        Api(served.base) as api,
    ):
        yield place, served, late, api
