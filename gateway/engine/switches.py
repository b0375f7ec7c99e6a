"""Plans whose time has come, of customers nobody asks about: SQL says whose, and they are carried
out as if somebody had asked.

Failure. SQL or Redis gone: what is due waits, and is carried out when both are back, as of the time
it was due. Several processes may sweep at once, since each change happens exactly once.
"""

from __future__ import annotations

import asyncio
import logging

from gateway.engine.agenda import HORIZON_MS
from gateway.engine.creation import TOGETHER_MAX, Creation, Parts, in_turns
from gateway.engine.subject import Subject
from gateway.engine.sweeper import Reminder
from gateway.errors import CustomerNotFoundError, GatewayError
from gateway.keys import ENVIRONMENTS

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""How often what is due is looked for; a plan nobody asks about switches within two of them."""

SWEEP_MAX = 5_000
"""Changes one sweep looks at; the earliest ones first."""

ROUNDS_MAX = 20
"""Sweeps that follow a move of the sandbox's clock before it is answered."""


class Switches(Creation):
    """What happens to plans by itself."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._late = Reminder("plans that are due")

    async def look_ahead(self) -> None:
        """Note what SQL knows to be due soon. Raises ``UnavailableError``."""
        times = {env: self.clock.now_ms(env) for env in ENVIRONMENTS}
        until = {env: now_ms + HORIZON_MS for env, now_ms in times.items()}
        for one in await self.reader.plans_due(until, SWEEP_MAX):
            self.planner.agenda.hear(*one, now_ms=times[one.env])

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
        ends = await in_turns(asyncio.Semaphore(TOGETHER_MAX), map(self._switch, due))
        self._late.note([error for error in ends if error is not None])
        return len(due)

    async def clock_moved(self) -> None:
        """Carry out all that has become due by a move of the sandbox's clock, within bounds: the
        rest waits for the sweeps.
        """
        for _ in range(ROUNDS_MAX):
            await self.subjects.caught_up()
            if not await self.switch_due():
                return

    async def _switch(self, subject: Subject) -> GatewayError | None:
        try:
            await self.read(subject)
        except CustomerNotFoundError:
            self.planner.agenda.forget(subject.env, subject.customer_id)
        except GatewayError as error:
            return error
        except Exception:
            log.exception("a plan that is due waits")
        return None
