"""The command line: which commands there are, and how it is told when one goes wrong.

That is one line on standard error and exit code 1, never a traceback.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable

import click

from gateway.commands.lazy_group import LazyGroup, Place
from gateway.errors import GatewayError, StartError
from gateway.processes.collecting import collect_seldom
from gateway.release import package_version

COMMANDS = {
    "clock": Place("gateway.commands.clock", "Show or advance the sandbox's clock."),
    "keys": Place("gateway.commands.keys", "Create, list, rotate and revoke keys."),
    "migrate": Place("gateway.commands.migrate", "Bring the SQL schema to this release."),
    "repair": Place(
        "gateway.commands.verify",
        "Set what differs to what the events say; without --yes, show the plan only.",
    ),
    "report": Place(
        "gateway.commands.report", "Print a report of what the writer has carried to SQL."
    ),
    "rescale": Place(
        "gateway.commands.rescale",
        "Change the precision of a feature in use; stop every gateway and writer first.",
    ),
    "serve": Place(
        "gateway.commands.serve",
        "Serve the HTTP API; without a Redis, start one in the data folder.",
    ),
    "verify": Place(
        "gateway.commands.verify",
        "Add up every balance from its events, and compare SQL with Redis.",
    ),
    "webhooks": Place("gateway.commands.webhooks", "Endpoints that are told of alerts."),
    "writer": Place(
        "gateway.commands.writer",
        "Carry changes from Redis to SQL; for gateways that serve with --no-writer.",
    ),
}


def main() -> None:
    """Run the command line."""
    collect_seldom()
    try:
        _require_utf8(sys.argv)
        commands(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except GatewayError as error:
        click.echo(f"tallygate: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        # Of standard output, whose disk is full; whoever asks anything else tells what is wrong.
        with contextlib.suppress(OSError):
            sys.stdout.close()  # else what is left for it is tried again, and the exit code is 120
        click.echo(f"tallygate: {error.strerror or error}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)


def _require_utf8(words: Iterable[str]) -> None:
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError as error:
            raise StartError(f"{word!r} is not UTF-8") from error


def _show_version(ctx: click.Context, _option: click.Parameter, is_asked: bool) -> None:  # noqa: FBT001 - click's
    if is_asked:
        click.echo(f"tallygate, version {package_version()}")
        ctx.exit()


@click.group(cls=LazyGroup, places=COMMANDS)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def commands() -> None:
    """Check and track usage from Redis, keep the record in SQL."""


if __name__ == "__main__":
    main()
