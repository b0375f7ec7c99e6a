"""A connection to Redis that is cut at random moments, and callers that notice what is not theirs.

The proxy cuts the connection on which something passes just then, so mostly the shared one: before,
within or after a command, before or within a reply. Each caller has a customer of its own, with a
grant no other has, and repeats a track under its key until it is answered, so that it knows of each
answer what must be in it, to the unit.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections import Counter

from tests.torture.processes import pause
from tests.wire import Line, Reply, request

CHUNKS_MAX = 60
"""Pieces that pass between two cuts, at most."""

ANSWER_SECONDS = 10.0
"""Within which each call must be answered: many times what the gateway waits for Redis."""

AFLOAT_SECONDS = 5.0
"""How long after the cut Redis may still read what was sent before it."""


class Cutter:
    """Leads to a server, and cuts ``cuts`` times."""

    def __init__(self, path: str, dice: random.Random) -> None:
        self.port = 0
        self.made = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.over = asyncio.Event()
        self._path = path
        self._dice = dice
        self._cuts = 0
        self._left = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Lead to the server."""
        self._server = await asyncio.start_server(self._lead, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End every connection."""
        assert self._server is not None
        self._server.close()
        for writer in list(self.open):
            writer.transport.abort()
        await self._server.wait_closed()

    def cut(self, times: int) -> None:
        """Begin to cut; ``over`` is set after the last one."""
        self._cuts = times
        self._left = self._dice.randrange(CHUNKS_MAX)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._path)
        both = {writer, back}
        self.open |= both
        try:
            await asyncio.gather(self._carry(reader, back, both), self._carry(there, writer, both))
        finally:
            self.open -= both
            for each in both:
                each.transport.abort()

    async def _carry(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        both: set[asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                if self._is_cut_now():
                    target.write(data[: self._dice.randrange(len(data) + 1)])
                    await self._end(both)
                    return
                target.write(data)
                await target.drain()
        for each in both:
            each.close()

    def _is_cut_now(self) -> bool:
        if self.made >= self._cuts:
            return False
        self._left -= 1
        if self._left > 0:
            return False
        self._left = self._dice.randrange(1, CHUNKS_MAX)
        self.made += 1
        if self.made == self._cuts:
            self.over.set()
        return True

    async def _end(self, both: set[asyncio.StreamWriter]) -> None:
        """Cut: with what was sent still arriving, or not; now and then every connection."""
        ending = set(self.open) if self._dice.random() < 0.05 else both
        for each in ending:
            if self._dice.random() < 0.5:
                each.close()
            else:
                each.transport.abort()


class Caller:
    """Checks and tracks of one customer, each answer compared with what it must be."""

    granted = itertools.count(1_000_000, 1_000)

    def __init__(
        self, name: str, key: str, port: int, dice: random.Random, over: asyncio.Event
    ) -> None:
        self.customer = name
        self.grant = next(self.granted)
        self.used = 0
        self.afloat: list[tuple[int, float]] = []
        """What was tracked without a key and may have arrived, or may do so yet; and since when."""
        self.seen: Counter[str] = Counter()
        self.faults: list[str] = []
        self.slowest = 0.0
        self._key = key
        self._port = port
        self._dice = dice
        self._numbers = itertools.count(1)
        self._over = over
        self._line: Line | None = None

    async def run(self) -> None:
        """Call until it is over; what is under way then is brought to its end."""
        while not self._over.is_set():
            await self._dice.choice((self._check, self._check, self._track, self._track_once))()
        if self._line is not None:
            await self._line.close()

    async def _check(self) -> None:
        asked = self._dice.randrange(1, 1000)
        reply = await self._ask("balances.check", required_balance=asked)
        if reply is None or reply.status == 503:
            return
        body = reply.json
        if (body["customer_id"], body["required_balance"]) != (self.customer, asked):
            self._complain("check", reply)
        elif "x-tallygate-degraded" in reply.headers:
            self.seen["degraded"] += 1
            if body["allowed"] or body["balance"] is not None:
                self._complain("check", reply)
        elif not body["allowed"] or not self._is_mine(body["balance"]):
            self._complain("check", reply)

    async def _track(self) -> None:
        value = self._dice.randrange(1, 9)
        key = f"{self.customer}-{next(self._numbers)}"
        while True:
            reply = await self._ask("balances.track", key, value=value)
            if reply is not None and reply.status == 200:
                break
            if self.faults:
                return
        self.seen["replayed"] += "idempotency-replayed" in reply.headers
        self._tracked(value, reply)

    async def _track_once(self) -> None:
        """Track without a key: what is not answered is not sent again."""
        value = self._dice.randrange(1, 9)
        reply = await self._ask("balances.track", value=value)
        if reply is None or (reply.status == 503 and reply.json["code"] == "outcome_unknown"):
            self.afloat.append((value, asyncio.get_running_loop().time()))
        elif reply.status == 200:
            self._tracked(value, reply)

    def _tracked(self, value: int, reply: Reply) -> None:
        self.used += value
        self.seen["tracked"] += 1
        body = reply.json
        mine = (body["customer_id"], body["value"]) == (self.customer, value)
        if not (mine and self._is_mine(body["balance"])):
            self._complain("track", reply)

    def _is_mine(self, balance: dict[str, int]) -> bool:
        used = balance["usage"]
        return (
            balance["granted"] == self.grant
            and balance["remaining"] == self.grant - used
            and self.explains(used)
        )

    def explains(self, used: int) -> bool:
        """Whether so much can have been used; what must have arrived for that has arrived."""
        long_ago = asyncio.get_running_loop().time() - AFLOAT_SECONDS
        self.afloat = [one for one in self.afloat if one[1] > long_ago]
        for count in range(len(self.afloat) + 1):
            for arrived in itertools.combinations(self.afloat, count):
                if self.used + sum(value for value, _ in arrived) == used:
                    for one in arrived:
                        self.afloat.remove(one)
                    self.used = used
                    return True
        return False

    async def _ask(self, name: str, key: str = "", **body: int) -> Reply | None:
        """Send a call; None where this side hung up before the answer came."""
        number = f"{self.customer}.{next(self._numbers)}"
        scope = {"customer_id": self.customer, "feature_id": "calls"}
        sent = json.dumps(scope | body).encode()
        data = request(sent, name=name, key=self._key, x_request_id=number)
        if key:
            data = request(sent, name=name, key=self._key, x_request_id=number, idempotency_key=key)
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self._line is None:
            self._line = Line(*await asyncio.open_connection("127.0.0.1", self._port))
        if self._dice.random() < 0.02:
            await self._line.send(data)
            self._line.writer.transport.abort()
            self._line = None
            self.seen["hung up"] += 1
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reply = await self._line.ask(data)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.faults.append(f"{self.customer}: {name} was not answered: {error!r}")
            self._line = None
            return None
        self.slowest = max(self.slowest, loop.time() - began)
        if reply.headers["x-request-id"] != number:
            self._complain(name, reply)
        if reply.status == 503:
            code = reply.json["code"]
            self.seen[code] += 1
            known = {"balances.check": ("service_unavailable",)}
            if code not in known.get(name, ("service_unavailable", "outcome_unknown")):
                self._complain(name, reply)
            # Nobody hammers at what says that it is not there.
            await pause(self._over, self._dice.random() / 50)
        elif reply.status == 200:
            self.seen["answered"] += 1
        else:
            self._complain(name, reply)
        return reply

    def _complain(self, name: str, reply: Reply) -> None:
        expected = f"{self.customer} of {self.grant} with {self.used} used"
        self.faults.append(f"{name} of {expected}: {reply.status} {reply.body!r}")
