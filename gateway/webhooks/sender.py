"""One HTTP POST, bounded in time, size and connections; whatever happens comes back as a value.

No redirect is followed: the operator named one URL, and a signed body is for nobody else. Settings
of proxies and passwords in the environment are not looked at; ``SSL_CERT_FILE`` may name the
certificates of a private network.

The client and the authorities it believes are loaded for the first attempt, by a thread: a gateway
without endpoints, or a command that lists them, has no use for either.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Self

from gateway.webhooks.records import Outcome

if TYPE_CHECKING:
    import httpx

TIMEOUT_SECONDS = 5.0
"""Of one attempt, from the look-up of the host's name to the end of the answer."""

ANSWER_BYTES_MAX = 65_536
"""Bytes of an answer that are read, so that its connection can serve again; nobody looks at it."""

ERROR_CHARACTERS_MAX = 200

_IDLE_SECONDS = 30.0


@cache
def _trusted() -> ssl.SSLContext:
    """Return the authorities that are believed; to read them takes as long as many requests."""
    import httpx  # noqa: PLC0415 - see above

    return httpx.create_ssl_context()


class Sender:
    """The HTTP client of webhooks."""

    def __init__(self, *, connections_max: int, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._connections_max = connections_max
        self._timeout_seconds = timeout_seconds
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send(self, url: str, body: str, headers: Mapping[str, str]) -> Outcome:
        """Post a body; return the status, or what kept the endpoint from giving one."""
        try:
            client = await self._open()
            # The client has no limits of its own: they would be for each step, and a slow answer
            # has many steps.
            async with asyncio.timeout(self._timeout_seconds):
                return Outcome(await self._post(client, url, body, headers))
        except TimeoutError:
            return Outcome(0, f"no answer within {self._timeout_seconds:g} s")
        except Exception as error:  # noqa: BLE001 - an attempt that broke failed, whatever broke
            # The text may repeat the URL, and with it a token.
            reason = str(error).replace(url, "the URL")
            return Outcome(0, f"{type(error).__name__}: {reason}"[:ERROR_CHARACTERS_MAX])

    async def _open(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._make_client)
        return self._client

    def _make_client(self) -> httpx.AsyncClient:
        import httpx  # noqa: PLC0415 - see above

        return httpx.AsyncClient(
            verify=_trusted(),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(None),
            limits=httpx.Limits(
                max_connections=self._connections_max,
                max_keepalive_connections=self._connections_max,
                keepalive_expiry=_IDLE_SECONDS,
            ),
        )

    async def _post(
        self, client: httpx.AsyncClient, url: str, body: str, headers: Mapping[str, str]
    ) -> int:
        request = client.stream("POST", url, content=body.encode(), headers=headers)
        async with request as response:
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > ANSWER_BYTES_MAX:
                    break
            return response.status_code

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()
