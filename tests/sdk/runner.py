"""Calls a published Python client as it is: one JSON line in, one JSON line out.

It runs in a process of its own, with the client's folder on its path. In: ``method``, a path such
as ``entities.create``, and ``args``, its keywords. Out: ``value`` or ``error``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

Call = Callable[[str, dict[str, Any]], Any]

RESERVED = {"async": "async_", "type": "type_"}
"""Fields that are words of the language, and what the clients call them."""


def rpc(url: str, key: str) -> Call:
    """Return what calls ``autumn-sdk``, method by method or, in a loop, the twin of each."""
    client = importlib.import_module("autumn_sdk").Autumn(
        secret_key=key, server_url=url, fail_open=False
    )
    loop = asyncio.new_event_loop() if os.environ["CLIENT_STYLE"] == "async" else None

    def call(method: str, keywords: dict[str, Any]) -> Any:  # noqa: ANN401 - a model
        named = {RESERVED.get(name, name): value for name, value in keywords.items()}
        if loop is None:
            return _method(client, method)(**named)
        return loop.run_until_complete(_method(client, f"{method}_async")(**named))

    return call


def rest(url: str, key: str) -> Call:
    """Return what calls ``autumn-py``, blocking or awaited."""
    if os.environ["CLIENT_STYLE"] == "async":
        made = importlib.import_module("autumn.aio").AsyncClient
        loop = asyncio.new_event_loop()
        client = made(key, base_url=url, max_retries=0)
        return lambda method, named: loop.run_until_complete(_method(client, method)(**named))
    blocking = importlib.import_module("autumn").Client(key, base_url=url, max_retries=0)
    return lambda method, named: _method(blocking, method)(**named)


def _method(client: object, path: str) -> Any:  # noqa: ANN401 - of a client without types
    for part in path.split("."):
        client = getattr(client, part)
    return client


def _shown(value: Any) -> Any:  # noqa: ANN401 - a model or nothing
    return None if value is None else value.model_dump(mode="json", by_alias=True)


def main() -> None:
    """Answer until the input ends."""
    kind = {"autumn_sdk": rpc, "autumn": rest}[os.environ["CLIENT_PACKAGE"]]
    call = kind(os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer: dict[str, Any] = {"value": _shown(call(request["method"], request["args"]))}
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            answer = {"error": _told(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


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
