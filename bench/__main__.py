"""``python -m bench``: the short table; ``python -m bench NAME``: one bench, longer.

``--smoke`` runs in a second or two, as the tests do; its figures mean nothing. ``--save STEM``
keeps the run as ``STEM.json`` and as a page with plots, ``STEM.html``; ``python -m bench compare
A.json B.json`` says what changed from one run to another. ``--url`` loads a running gateway.
"""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
import httpx
import msgspec
from click.core import ParameterSource

from bench import (
    any_gateway,
    cold,
    customers,
    exact_sums,
    http,
    kinds,
    lag,
    levels,
    lua_cost,
    memory,
    reports,
    soak,
    traffic,
    writer,
)
from bench.measure import FULL, SHORT, SMOKE, Effort
from bench.page import page
from bench.results import Outcome, Record, compare, figures_of, record
from bench.stage import CallError


class Bench(NamedTuple):
    """Something that can be measured."""

    run: Callable[..., Coroutine[Any, Any, Outcome]]
    about: str
    options: tuple[click.Option, ...] = ()


def _traffic(name: str, about: str) -> Bench:
    return Bench(partial(traffic.run, names=[name]), about)


def _own(run: Callable[[bool], Awaitable[Any]], about: str) -> Bench:
    """Take a bench that has a result of its own kind."""

    async def measure(effort: Effort) -> Outcome:
        result = await run(effort.is_smoke)
        text = result.table().rpartition("\nanswers ")[0]
        figures = list(figures_of(result))
        bars = list(result.bars()) if hasattr(result, "bars") else []
        return Outcome(about=about, answers=result.answers, figures=figures, bars=bars, text=text)

    return Bench(measure, about)


class _Number(click.FloatRange):
    """A number within bounds; "nan" is within any."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - what click has read
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


LIVE = "am_sk_live_"
DAY_SECONDS = 86_400.0
RATE_MAX = 1_000_000.0

_MILLION = click.Option(["--million"], is_flag=True, help="A million customers; takes 3 GB.")
_MINUTES = click.Option(
    ["--minutes"],
    type=_Number(0.01, DAY_SECONDS / 60),
    default=soak.MINUTES,
    show_default=True,
    help="How long.",
)

BENCHES: dict[str, Bench] = {
    "batch": _traffic("batch", "tracks in batches of 100"),
    "check": _traffic("check", "checks, closed and open loop"),
    "cold": Bench(cold.run, "the first call of a customer that only SQL knows"),
    "customers": Bench(customers.run, "few and many customers, by Zipf's law", (_MILLION,)),
    "entities": _traffic("entities", "1, 100 and 20,000 entities under a customer"),
    "exact_sums": _own(exact_sums.run, "whether a million random decimals sum exactly"),
    "hot": _traffic("hot", "one customer against many"),
    "http": Bench(http.run, "the gateway against hello, Redis and the naive way"),
    "kinds": Bench(kinds.run, "every kind of check and track beside a plain one"),
    "lag": Bench(lag.run, "what durability costs, and how late SQL is"),
    "levels": Bench(levels.run, "what a track waits for at each durability level"),
    "locks": _traffic("locks", "tracks that lock, and their ends"),
    "lua_cost": _own(lua_cost.run, "script time: few and many entities, and the least there is"),
    "memory": _own(memory.run, "bytes of Redis of a customer and of an entity"),
    "mixed": _traffic("mixed", "checks and tracks, half and half"),
    "reports": _own(reports.run, "reports over ten million events"),
    "soak": Bench(soak.run, "two gateways and a writer at full load", (_MINUTES,)),
    "track": _traffic("track", "tracks, closed and open loop"),
    "writer": _own(writer.run, "what the writer carries"),
}

SHORT_TABLE: dict[str, Callable[..., Coroutine[Any, Any, Outcome]]] = {
    "traffic": traffic.run,
    "cold": cold.run,
    "lag": lag.run,
}


def _stem(_context: click.Context, _option: click.Parameter, stem: str | None) -> str | None:
    """Refuse at once what could not be kept in the end."""
    if stem is not None:
        if not Path(f"{stem}.json").parent.is_dir():
            raise click.BadParameter(f"there is no folder {Path(stem).parent}")
        if stem.endswith("/") or not stem:
            raise click.BadParameter("it is the beginning of two files' names")
    return stem


def _url(_context: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    """Return where the gateway is, without the version that calls begin with."""
    if url is None:
        return None
    if not url.startswith(("http://", "https://")):
        raise click.UsageError("--url begins with http:// or https://")
    try:
        parts = urlsplit(url)
        is_plain = bool(parts.hostname) and parts.port != 0 and not parts.query + parts.fragment
    except ValueError as error:
        raise click.UsageError(f"--url {url}: {error}") from error
    if not is_plain or "@" in parts.netloc:
        raise click.UsageError(f"--url {url}: it is a scheme, a host and perhaps a port and a path")
    return url.rstrip("/").removesuffix("/v1")


def _key(_context: click.Context, _option: click.Parameter, key: str | None) -> str | None:
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise click.UsageError("--key has characters that no key has")
    return key


_SMOKE = click.option("--smoke", is_flag=True, help="A second or two; the figures mean nothing.")
_SAVE = click.option(
    "--save",
    metavar="STEM",
    callback=_stem,
    help="Keep the run as STEM.json, and as a page, STEM.html.",
)


@click.group(invoke_without_command=True, context_settings={"show_default": True})
@_SMOKE
@_SAVE
@click.option("--url", callback=_url, help="A running gateway to load, instead of one of ours.")
@click.option("--key", callback=_key, help="Its secret key; needs every scope.")
@click.option("--live", is_flag=True, help="Load the live environment, if the key is of it.")
@click.option("--seconds", type=_Number(0.1, DAY_SECONDS), default=10.0, help="Of each loop.")
@click.option("--connections", type=click.IntRange(1, 10_000), default=64)
@click.option(
    "--rate",
    type=_Number(0, RATE_MAX),
    default=0.0,
    help="Of the open loop, in requests a second; 0: half of the closed.",
)
@click.pass_context
def main(
    context: click.Context,
    *,
    smoke: bool,
    save: str | None,
    url: str | None,
    key: str | None,
    live: bool,
    seconds: float,
    connections: int,
    rate: float,
) -> None:
    """Measure what the gateway costs; without a NAME, in a short table."""
    _refuse_what_does_nothing(context, url)
    if context.invoked_subcommand:
        return
    if url:
        if not key:
            raise click.UsageError("--url needs --key")
        if key.startswith(LIVE) and not live:
            raise click.UsageError(
                "--key is of the live environment, whose events and reports would keep what is "
                f"tracked of {any_gateway.FEATURE}: say --live, or take a sandbox key"
            )
        if 0 < rate < 1 / seconds:
            raise click.UsageError("at this --rate nothing is due within --seconds")
        load = any_gateway.run(url, key, seconds=seconds, connections=connections, rate=rate)
        try:
            outcome = asyncio.run(load)
        except (CallError, httpx.HTTPError) as error:
            raise click.ClickException(f"{url}: {error}") from error
        _finish({"url": outcome}, save)
        return
    effort = SMOKE if smoke else SHORT
    outcomes = {}
    for name, run in SHORT_TABLE.items():
        outcomes[name] = asyncio.run(run(effort))
        click.echo(f"{name}: {outcomes[name].table()}\n")
    _keep(outcomes, save)


def _refuse_what_does_nothing(context: click.Context, url: str | None) -> None:
    name = context.invoked_subcommand
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if source is ParameterSource.DEFAULT:
            continue
        said = option.opts[0]
        if name:
            raise click.UsageError(f"{said} has no effect before {name}")
        if url is None and said not in ("--smoke", "--save"):
            raise click.UsageError(f"{said} goes with --url")
        if url and said == "--smoke":
            raise click.UsageError("--smoke does not go with --url")


@main.command("compare")
@click.argument("before", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("after", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def compare_runs(*, before: Path, after: Path) -> None:
    """Print the ratios of two saved runs and say what changed beyond noise."""
    runs = [_kept(path) for path in (before, after)]
    for run in runs:
        click.echo(f"{run.date}, commit {run.commit}, {run.machine}: {run.command}")
    if not (lines := list(compare(*runs))):
        names = (", ".join(run.outcomes) for run in runs)
        raise click.ClickException(f"no figure is in both: {' against '.join(names)}")
    for line in lines:
        click.echo(line)


def _kept(path: Path) -> Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError) as error:
        raise click.ClickException(f"{path} is not what --save keeps: {error}") from error


def _command(name: str, bench: Bench) -> click.Command:
    @_SMOKE
    @_SAVE
    def command(*, smoke: bool, save: str | None, **options: object) -> None:
        outcome = asyncio.run(bench.run(SMOKE if smoke else FULL, **options))
        _finish({name: outcome}, save)

    made = click.command(name, help=bench.about[0].upper() + bench.about[1:] + ".")(command)
    made.params += bench.options
    return made


def _finish(outcomes: dict[str, Outcome], stem: str | None) -> None:
    for outcome in outcomes.values():
        click.echo(outcome.table())
    _keep(outcomes, stem)


def _keep(outcomes: dict[str, Outcome], stem: str | None) -> None:
    if stem:
        run = record(outcomes)
        Path(f"{stem}.json").write_bytes(msgspec.json.format(msgspec.json.encode(run)))
        Path(f"{stem}.html").write_text(page(run), encoding="utf-8")


for _name, _bench in BENCHES.items():
    main.add_command(_command(_name, _bench))


if __name__ == "__main__":
    # Who is told to end removes what it has started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    main()
