"""Plans whose time has come, of customers nobody asks about: SQL says whose, and they are carried
out as if somebody had asked.

Failure. SQL or Redis gone: what is due waits, and is carried out when both are back, as of the time
it was due. Several processes may sweep at once, since each change happens exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from gateway.engine.agenda import HORIZON_MS
from gateway.engine.creation import TOGETHER_MAX, Creation, in_turns
from gateway.engine.locks import ENVIRONMENTS
from gateway.errors import CustomerNotFoundError, GatewayError

if TYPE_CHECKING:
    from gateway.engine.subject import Subject

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""How often what is due is looked for; a plan nobody asks about switches within two of them."""

SWEEP_MAX = 5_000
"""Changes one sweep looks at; the earliest ones first."""

ROUNDS_MAX = 20
"""Sweeps that follow a move of the sandbox's clock before it is answered."""


class Switches(Creation):
    """What happens to plans by itself."""

    async def look_ahead(self) -> None:
        """Note what SQL knows to be due soon. Raises ``UnavailableError``."""
        times = {env: self.clock.now_ms(env) for env in ENVIRONMENTS}
        until = {env: now_ms + HORIZON_MS for env, now_ms in times.items()}
        for one in await self.reader.plans_due(until, SWEEP_MAX):
            self.planner.agenda.note(*one, now_ms=times[one.env])

    async def switch_due(self) -> int:
        """Carry out what is due; return for how many customers there was something. One that fails
        waits for the next sweep and holds no other up.
        """
        await self.look_ahead()
        due = [
            self.subjects.subject(env, customer_id)
            for env in ENVIRONMENTS
            for customer_id in self.planner.agenda.owners(env, self.clock.now_ms(env))
        ]
        await in_turns(asyncio.Semaphore(TOGETHER_MAX), map(self._switch, due))
        return len(due)

    async def clock_moved(self) -> None:
        """Carry out all that has become due by a move of the sandbox's clock, within bounds: the
        rest waits for the sweeps.
        """
        for _ in range(ROUNDS_MAX):
            await self.subjects.caught_up()
            if not await self.switch_due():
                return

    async def _switch(self, subject: Subject) -> None:
        try:
            await self.read(subject)
        except CustomerNotFoundError:
            self.planner.agenda.forget(subject.env, subject.customer_id)
        except GatewayError as error:
            log.warning("a plan that is due waits: %s", error)
        except Exception:
            log.exception("a plan that is due waits")


class PlanKeeper:
    """Carries out what is due as long as the process runs."""

    def __init__(self, switches: Switches) -> None:
        """Keep the operations."""
        self._switches = switches
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Learn what is due before the first call, and begin. Raises ``UnavailableError``."""
        await self._switches.look_ahead()
        self._task = asyncio.create_task(self._sweep(), name="plans")

    async def stop(self) -> None:
        """Stop once the sweep that is under way has ended; its calls have time limits."""
        self._stopping.set()
        if self._task is not None:
            await self._task
            self._task = None

    async def _sweep(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._switches.switch_due()
            except GatewayError as error:
                log.warning("plans that are due wait: %s", error)
            except Exception:
                log.exception("plans that are due wait")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SWEEP_SECONDS)
