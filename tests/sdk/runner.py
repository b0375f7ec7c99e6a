"""Calls a published Python client as it is: one JSON line in, one JSON line out.

It runs in a process of its own, with the client's folder on its path. In: ``method``, a path such
as ``entities.create``, ``args``, its keywords, ``awaits``, whether its twin is meant that does not
block, and ``version``, another ``x-api-version`` than the client's own. The method ``methods``
names all there are. Out: ``value`` or ``error``.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESERVED = {"async": "async_", "type": "type_"}
"""Fields that are words of the language, and what the clients call them."""

URL, KEY = os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"]

Keywords = dict[str, Any]


class Rpc:
    """``autumn-sdk``, whose methods each have a twin to await."""

    @functools.cache  # noqa: B019 - there is one of it
    def _client(self, version: str | None) -> Any:  # noqa: ANN401 - without types
        return importlib.import_module("autumn_sdk").Autumn(
            secret_key=KEY,
            server_url=URL,
            fail_open=False,
            x_api_version=version,
            timeout_ms=60_000,  # a machine that runs many tests may stand still
        )

    def call(self, method: str, keywords: Keywords, version: str | None, *, awaits: bool) -> Any:  # noqa: ANN401 - a model
        named = {RESERVED.get(name, name): value for name, value in keywords.items()}
        return _method(self._client(version), f"{method}_async" if awaits else method)(**named)

    def methods(self) -> Iterator[str]:
        # Read, not loaded: a namespace takes seconds to load, and one cannot be.
        package = importlib.import_module("autumn_sdk")
        parts = package.Autumn._sub_sdk_map.items()  # noqa: SLF001 - no other place names them
        modules = {f"{name}.": module.rpartition(".")[2] for name, (module, _) in parts}
        for path, module in {"": "sdk", **modules}.items():
            source = (Path(package.__path__[0]) / f"{module}.py").read_text()
            names = re.findall(r"^    (?:async )?def (\w+)", source, re.MULTILINE)
            yield from (path + name for name in names if f"{name}_async" in names)


class Rest:
    """``autumn-py``, which has a client of its own to await."""

    def __init__(self) -> None:
        blocking = importlib.import_module("autumn").Client
        awaited = importlib.import_module("autumn.aio").AsyncClient
        self._clients = [made(KEY, base_url=URL, max_retries=0) for made in (blocking, awaited)]

    def call(self, method: str, keywords: Keywords, _: str | None, *, awaits: bool) -> Any:  # noqa: ANN401 - a model
        return _method(self._clients[awaits], method)(**keywords)

    def methods(self) -> Iterator[str]:
        for path in ("", "customers.", "features.", "products.", "entities."):
            part = getattr(self._clients[0], path[:-1]) if path else self._clients[0]
            for name in dir(type(part)):
                if not name.startswith("_") and name != "close":
                    yield path + name


def _method(client: object, path: str) -> Any:  # noqa: ANN401 - of a client without types
    for part in path.split("."):
        client = getattr(client, part)
    return client


def _shown(value: Any) -> Any:  # noqa: ANN401 - a model or nothing
    return None if value is None else value.model_dump(mode="json", by_alias=True)


def _answer(
    client: Rpc | Rest,
    loop: asyncio.AbstractEventLoop,
    method: str,
    args: Keywords,
    version: str | None = None,
    *,
    awaits: bool = False,
) -> Any:  # noqa: ANN401 - JSON
    if method == "methods":
        return list(client.methods())
    answer = client.call(method, args, version, awaits=awaits)
    return _shown(loop.run_until_complete(answer) if awaits else answer)


def main() -> None:
    """Answer until the input ends."""
    # A client has so many models that to look for garbage in them, and to take them down at the
    # end, would be a third of what this process costs.
    gc.disable()
    client = Rpc() if importlib.util.find_spec("autumn_sdk") else Rest()
    loop = asyncio.new_event_loop()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer: dict[str, Any] = {"value": _answer(client, loop, **request)}
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            answer = {"error": _told(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    os._exit(0)


def _told(error: Exception) -> dict[str, Any]:
    return {
        "name": type(error).__name__,
        "message": str(error),
        "statusCode": getattr(error, "status_code", None),
        "body": str(getattr(error, "body", "")),
        "code": getattr(error, "code", None),
    }


if __name__ == "__main__":
    main()
