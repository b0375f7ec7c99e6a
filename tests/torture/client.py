"""One client: it sends an operation to one gateway after the other until one answers for good."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from typing import Any, NamedTuple, TypeAlias

import httpx

from tests.torture.ledger import Ledger, Outcome
from tests.torture.processes import KEY, pause

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


class Client:
    """Sends operations to one gateway after the other."""

    def __init__(
        self, urls: list[str], ledger: Ledger, dice: random.Random, hurry: asyncio.Event
    ) -> None:
        self._http = httpx.AsyncClient(
            headers={"authorization": f"Bearer {KEY}"}, timeout=ATTEMPT_SECONDS
        )
        self._urls = itertools.cycle(dice.sample(urls, len(urls)))
        self._ledger = ledger
        self._dice = dice
        self._hurry = hurry

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(
        self, name: str, body: Json | list[Json], *, key: str = "", durability: str = ""
    ) -> Answer:
        """Send an operation until it is answered for good, or for as long as it is worth it."""
        given = {"idempotency-key": key, "x-durability": durability}
        headers = {header: text for header, text in given.items() if text}
        deadline = time.monotonic() + RETRY_SECONDS
        may_have_run = False
        while time.monotonic() < deadline and not self._hurry.is_set():
            url = f"{next(self._urls)}/v1/{name}"
            self._ledger.attempts["sent"] += 1
            try:
                response = await self._http.post(url, json=body, headers=headers)
            except httpx.ConnectError:
                self._ledger.attempts["not connected"] += 1
            except httpx.TransportError as error:
                self._ledger.attempts[type(error).__name__] += 1
                may_have_run = True
            else:
                self._ledger.attempts[str(response.status_code)] += 1
                answer = self._read(name, body, response)
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

    def _read(self, name: str, body: Json | list[Json], response: httpx.Response) -> Answer:
        """Return what an answer says; ``UNKNOWN`` for one that asks to try again."""
        said: Json = response.json()
        if response.is_success and "x-tallygate-degraded" in response.headers:
            return Answer(Outcome.UNKNOWN, "service_unavailable")
        if response.is_success:
            replayed = "idempotency-replayed" in response.headers
            self._ledger.attempts["replayed"] += replayed
            return Answer(Outcome.ACKNOWLEDGED, body=said)
        code = str(said.get("code"))
        self._ledger.attempts[code] += 1
        if response.status_code >= 500 or code == "duplicate_idempotency_key":
            if response.status_code == 500:
                self._ledger.fault(f"500 for {name} {body}: {said}")
            return Answer(Outcome.UNKNOWN, code)
        return Answer(Outcome.REFUSED, code)
