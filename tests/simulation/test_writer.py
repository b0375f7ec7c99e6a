"""Writers that are stopped, doubled, cut off and fenced between any two steps end in one ledger.

``SIMULATION_SEEDS=5000`` plays as many random lives; without it, a few for the pipeline.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, delete

from gateway.keys import outbox_key
from persistence import models
from persistence.database import EngineOptions, make_engine, write_transaction
from persistence.sync import leases
from tests.simulation.ledger import Producer
from tests.simulation.streams import MemoryStreams
from tests.simulation.virtual_time import pass_time, run_virtually
from tests.simulation.world import LEASE_SECONDS, Fate, Plan, Step, World, in_turn

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "60"))
SEEDS_PER_TEST = 20
CHAOS_SECONDS = 8.0
PARTITIONS = 4

_EMPTYING = [
    delete(table)
    for name, table in models.Base.metadata.tables.items()
    if name != "catalog_revision"
]
_FATES = [fate for fate in Fate if fate is not Fate.DONE]


@pytest.fixture(scope="module")
def engine(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("simulation") / "tallygate.db"
    shutil.copy(sqlite_template, path)
    engine = make_engine(f"sqlite:///{path}", EngineOptions())
    yield engine
    engine.dispose()


def _empty(engine: Engine) -> Engine:
    with write_transaction(engine) as connection:
        for statement in _EMPTYING:
            connection.execute(statement)
    return engine


def _world(engine: Engine, random: Random, *, batch_max: int) -> World:
    producer = Producer(random, PARTITIONS, customers=5)
    return World(_empty(engine), producer, partitions=PARTITIONS, batch_max=batch_max)


def _chaos(random: Random) -> Plan:
    """Return a plan of one temper: how often steps fail, and how often a process stands still."""
    fault_chance = random.choice([0.0, 0.02, 0.1])
    stall_chance = random.choice([0.0, 0.01, 0.05])

    def plan(_: str) -> Step:
        fate = random.choice(_FATES) if random.random() < fault_chance else Fate.DONE
        waits = [random.random() * 0.02, random.random() * 0.02]
        if random.random() < stall_chance:
            waits[random.randrange(2)] = random.uniform(0, 2 * LEASE_SECONDS)
        return Step(fate, *waits)

    return plan


async def _play(world: World, random: Random) -> None:
    loop = asyncio.get_running_loop()

    def goes_on() -> bool:
        return loop.time() < CHAOS_SECONDS

    async def lives() -> None:
        while goes_on():
            end = loop.time() + random.expovariate(1 / 5)
            async with world.running(_chaos(random)) as process:
                while goes_on() and loop.time() < end and not process.is_dead:
                    await pass_time(0.1)
            await pass_time(random.random())

    async def scripts() -> None:
        while goes_on():
            world.add(random.randint(1, 12))
            await pass_time(random.expovariate(2))

    async def fences() -> None:
        while goes_on():
            await pass_time(random.uniform(1, 20))
            with write_transaction(world.engine) as connection:
                leases.fence(connection, random.sample(world.partitions, 2))

    await in_turn(scripts(), fences(), *(lives() for _ in range(random.randint(1, 3))))
    await world.settle()


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_PER_TEST))
def test_random_lives_end_in_the_ledger(engine: Engine, first: int) -> None:
    for seed in range(first, min(SEEDS, first + SEEDS_PER_TEST)):
        random = Random(seed)
        world = _world(engine, random, batch_max=random.choice([1, 3, 10, 100]))
        try:
            run_virtually(_play(world, random))
            world.assert_exact()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


class _At:
    """A plan in which one step has another fate."""

    def __init__(self, number: int, step: Step) -> None:
        self.steps = 0
        self._number = number
        self._step = step

    def __call__(self, _: str) -> Step:
        self.steps += 1
        return self._step if self.steps == self._number else Step(Fate.DONE, 0.001)


async def _one_life(world: World, plan: _At, *, with_second: bool) -> None:
    """Carry one history with the plan's writer, then see to it that all of it arrives."""
    async with world.running(plan) as process:
        world.add(12)
        if with_second:
            await pass_time(0.02)
            await world.settle()
        await pass_time(1.1)
        if not process.is_dead:
            world.add(4)
            await pass_time(0.2)
    await world.settle()


def _steps_of_a_life(engine: Engine) -> int:
    plan = _At(0, Step())
    run_virtually(_one_life(_world(engine, Random(7), batch_max=5), plan, with_second=False))
    return plan.steps


_EVENTS = {
    **{fate.value: (Step(fate), False) for fate in _FATES},
    # The others take its partitions over while it is in the middle of a step.
    "stands still before": (Step(Fate.DONE, before=4 * LEASE_SECONDS), True),
    "stands still after": (Step(Fate.DONE, after=4 * LEASE_SECONDS), True),
    "stands still, then nobody answers": (Step(Fate.ANSWER_LOST, after=4 * LEASE_SECONDS), True),
}


@pytest.mark.parametrize("name", _EVENTS)
def test_whatever_happens_between_any_two_steps(engine: Engine, name: str) -> None:
    step, with_second = _EVENTS[name]
    steps = _steps_of_a_life(engine)
    assert steps > 20
    for number in range(1, steps + 1):
        world = _world(engine, Random(7), batch_max=5)
        try:
            run_virtually(_one_life(world, _At(number, step), with_second=with_second))
            world.assert_exact()
        except BaseException as error:
            error.add_note(f"step {number}")
            raise


class _Watched(MemoryStreams):
    """Streams that remember when they were trimmed."""

    def __init__(self) -> None:
        super().__init__()
        self.trimmed_at: list[float] = []

    def call(self, *words: Any) -> Any:  # noqa: ANN401 - as of the base
        if words[0] == "XTRIM":
            self.trimmed_at.append(asyncio.get_running_loop().time())
        return super().call(*words)


async def _be_busy(world: World) -> tuple[float, list[int]]:
    """Return when a writer had the last of what came all the time, and what is left a bit later."""
    async with world.running(lambda _: Step(Fate.DONE, 0.001)) as process:
        for _ in range(100):
            world.add(3)
            await pass_time(0.02)
        ended = asyncio.get_running_loop().time()
        await world.until(lambda: process.writer.state.applied == 300)
        await pass_time(0.5)
        lengths = [
            world.streams.call("XINFO STREAM", outbox_key(at))["length"] for at in world.partitions
        ]
    return ended, lengths


def test_busy_writer_trims_now_and_then_and_one_with_nothing_to_do_at_once(engine: Engine) -> None:
    world = _world(engine, Random(7), batch_max=50)
    streams = world.streams = _Watched()
    ended, lengths = run_virtually(_be_busy(world))
    assert lengths == [1] * PARTITIONS
    # Each quarter of a second, and once a second before the leases are looked at.
    assert 6 <= len({at for at in streams.trimmed_at if at < ended}) <= 12
