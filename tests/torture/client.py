"""One client: it sends an operation to one gateway after the other until one answers for good."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from tests.torture.ledger import Ledger, Outcome
from tests.torture.processes import KEY, pause
from tests.wire import Line, Reply, request

Json: TypeAlias = dict[str, Any]

ATTEMPT_SECONDS = 5.0
RETRY_SECONDS = 25.0
"""How long an operation is repeated before its outcome counts as unknown."""
TAKEN_SECONDS = 6.0
"""How long a key that is taken is asked for again: longer than the call that took it can last."""
PAUSE_SECONDS = (0.02, 0.2)


class Answer(NamedTuple):
    """What came of a call; ``body`` is None unless it was answered."""

    outcome: Outcome
    code: str = ""
    body: Json | None = None


class NotConnectedError(Exception):
    """Nobody listens, so nothing was sent."""


class Client:
    """Sends operations to one gateway after the other, over a connection to each that stays."""

    def __init__(
        self, urls: list[str], ledger: Ledger, dice: random.Random, hurry: asyncio.Event
    ) -> None:
        self._lines: dict[str, Line] = {}
        self._urls = itertools.cycle(dice.sample(urls, len(urls)))
        self._ledger = ledger
        self._dice = dice
        self._hurry = hurry

    async def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            await line.close()

    async def call(
        self, name: str, body: Json | list[Json], *, key: str = "", durability: str = ""
    ) -> Answer:
        """Send an operation until it is answered for good, or for as long as it is worth it."""
        given = {"idempotency_key": key, "x_durability": durability}
        headers: Json = {header: text for header, text in given.items() if text}
        sent = request(json.dumps(body).encode(), name=name, key=KEY, **headers)
        deadline = time.monotonic() + RETRY_SECONDS
        may_have_run = False
        while time.monotonic() < deadline and not self._hurry.is_set():
            self._ledger.attempts["sent"] += 1
            try:
                reply = await self._ask(next(self._urls), sent)
            except NotConnectedError:
                self._ledger.attempts["not connected"] += 1
            except (OSError, asyncio.IncompleteReadError) as error:
                self._ledger.attempts[type(error).__name__] += 1
                may_have_run = True
            else:
                self._ledger.attempts[str(reply.status)] += 1
                answer = self._read(name, body, reply)
                if answer.outcome is Outcome.ACKNOWLEDGED:
                    return answer
                if answer.outcome is Outcome.REFUSED:
                    late = Outcome.UNKNOWN if may_have_run else Outcome.REFUSED
                    if may_have_run:
                        self._ledger.attempts[f"{name} late {answer.code}"] += 1
                    return answer._replace(outcome=late)
                may_have_run = may_have_run or answer.code != "service_unavailable"
                if answer.code == "duplicate_idempotency_key":
                    deadline = min(deadline, time.monotonic() + TAKEN_SECONDS)
            await pause(self._hurry, self._dice.uniform(*PAUSE_SECONDS))
        # Every answer there was said that nothing had been changed.
        return Answer(Outcome.UNKNOWN if may_have_run else Outcome.REFUSED, "gave_up")

    async def _ask(self, url: str, sent: bytes) -> Reply:
        """Send a request once; only a connection that has answered is used again."""
        line = self._lines.pop(url, None)
        if line is not None and (line.reader.at_eof() or line.reader.exception()):
            await line.close()
            line = None
        if line is None:
            at = urlsplit(url)
            try:
                async with asyncio.timeout(ATTEMPT_SECONDS):
                    line = Line(*await asyncio.open_connection(at.hostname, at.port))
            except OSError as error:
                raise NotConnectedError from error
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                reply = await line.ask(sent)
        except BaseException:
            line.writer.transport.abort()
            raise
        if reply.headers.get("connection") == "close":
            await line.close()
        else:
            self._lines[url] = line
        return reply

    def _read(self, name: str, body: Json | list[Json], reply: Reply) -> Answer:
        """Return what an answer says; ``UNKNOWN`` for one that asks to try again."""
        said: Json = reply.json
        is_success = 200 <= reply.status < 300
        if is_success and "x-tallygate-degraded" in reply.headers:
            return Answer(Outcome.UNKNOWN, "service_unavailable")
        if is_success:
            replayed = "idempotency-replayed" in reply.headers
            self._ledger.attempts["replayed"] += replayed
            return Answer(Outcome.ACKNOWLEDGED, body=said)
        code = str(said.get("code"))
        self._ledger.attempts[code] += 1
        if reply.status >= 500 or code == "duplicate_idempotency_key":
            if reply.status == 500:
                self._ledger.fault(f"500 for {name} {body}: {said}")
            return Answer(Outcome.UNKNOWN, code)
        return Answer(Outcome.REFUSED, code)
