"""``python -m bench [NAME] [--smoke] [--json]``: run one bench, or all of them.

``--smoke`` runs each in a second or two, as the tests do; its figures mean nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import click
import msgspec

from bench import exact_sums, http, lua_cost, memory, reports, writer

Result = (
    exact_sums.Result
    | http.Result
    | lua_cost.Result
    | memory.Result
    | reports.Result
    | writer.Result
)

BENCHES: dict[str, Callable[[bool], Coroutine[Any, Any, Result]]] = {
    "exact_sums": exact_sums.run,
    "http": http.run,
    "lua_cost": lua_cost.run,
    "memory": memory.run,
    "reports": reports.run,
    "writer": writer.run,
}


@click.command()
@click.argument("name", type=click.Choice(sorted(BENCHES)), required=False)
@click.option("--smoke", is_flag=True, help="A second each, for the tests.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(*, name: str | None, smoke: bool, as_json: bool) -> None:
    """Measure what the gateway costs."""
    for chosen in [name] if name else sorted(BENCHES):
        result = asyncio.run(BENCHES[chosen](smoke))
        if as_json:
            click.echo(msgspec.json.encode(result).decode())
        else:
            click.echo(result.table())


if __name__ == "__main__":
    main()
