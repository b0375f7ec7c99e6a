"""``tallygate clock``: the sandbox's clock from the command line, through a running gateway.

It asks over HTTP like any client, for the gateway is what has to notice. Whatever goes wrong is one
line, and the key is in none of them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

import click
import msgspec

from gateway.config import environment
from gateway.errors import StartError
from gateway.messages.clock import ClockAdvanceRequest, ClockGetRequest, ClockView
from gateway.messages.common import ErrorBody

URL_DEFAULT = "http://127.0.0.1:8080"

TIMEOUT_SECONDS = 30.0
"""Of connecting, and of waiting for an answer."""

_CONNECTIONS = {"http": HTTPConnection, "https": HTTPSConnection}
_KEY = re.compile(r"[!-~]+")

_url = click.option(
    "--url", metavar="URL", help=f"Where the gateway is; TALLYGATE_URL, else {URL_DEFAULT}."
)
_key = click.option(
    "--key", metavar="KEY", help="Sandbox key; else TALLYGATE_KEY or TALLYGATE_BOOTSTRAP_KEY."
)


@click.group()
def clock() -> None:
    """Show or advance the sandbox's clock."""


@clock.command()
@_url
@_key
def show(url: str | None, key: str | None) -> None:
    """Show the sandbox's time and how far it is ahead."""
    _tell(_ask(url, key, "clock.get", ClockGetRequest()))


@clock.command()
@click.argument("duration")
@_url
@_key
def advance(duration: str, url: str | None, key: str | None) -> None:
    """Advance the sandbox's clock by a duration: 30d, 12h, 90m, 45s or 1500ms."""
    _tell(_ask(url, key, "clock.advance", ClockAdvanceRequest(by=duration)))


def _tell(view: ClockView) -> None:
    seconds, milliseconds = divmod(view.now, 1000)
    now = datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
    ahead = timedelta(milliseconds=view.offset)
    click.echo(f"{now.isoformat(timespec='milliseconds')}  {view.now}  ahead by {ahead}")


def _ask(
    given_url: str | None, given_key: str | None, operation: str, request: msgspec.Struct
) -> ClockView:
    variables = environment()
    url = given_url or variables.get("TALLYGATE_URL") or URL_DEFAULT
    key = (
        given_key or variables.get("TALLYGATE_KEY") or variables.get("TALLYGATE_BOOTSTRAP_KEY", "")
    )
    if not key:
        raise StartError("no key; set TALLYGATE_KEY or give --key")
    if _KEY.fullmatch(key) is None:
        raise StartError("the key holds a space or a character that no key has")
    status, body = _post(url, key, f"/v1/{operation}", msgspec.json.encode(request))
    try:
        if status == 200:
            return msgspec.json.decode(body, type=ClockView)
        message = msgspec.json.decode(body, type=ErrorBody).message
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StartError(f"{url} answered {status}, and not as a gateway does") from error
    raise StartError(message)


def _post(url: str, key: str, path: str, body: bytes) -> tuple[int, bytes]:
    try:
        parts = urlsplit(url)
        host, port, connect = parts.hostname, parts.port, _CONNECTIONS.get(parts.scheme)
    except ValueError as error:
        raise StartError(f"url {url}: {error}") from error
    if connect is None or not host:
        raise StartError(f"url {url}: must be http:// or https:// and a host")
    connection = connect(host, port, timeout=TIMEOUT_SECONDS)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    try:
        connection.request("POST", parts.path.rstrip("/") + path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, HTTPException, UnicodeError) as error:
        raise StartError(f"no gateway answers at {url}: {error}") from error
    finally:
        connection.close()
