"""A Redis Cluster as one client: each command goes to the server that has its key.

To those who use it this is the client of one server. What names no key goes to every server, or in
a pipeline to those that its other commands go to. Nothing is followed or repeated by itself: a key
that has moved (MOVED), or is on its way (ASK, TRYAGAIN), is an error of the call, which has changed
nothing. Who is where is learned at first and by each INFO, which the guard asks for every second,
and at once when it has a doubt.

Failure. A server that is gone fails what goes to it, and INFO; where it goes from there is for the
Cluster to decide, which says so when it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Self, cast

from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ClusterDownError, RedisError

from gateway.cluster.refusals import is_away
from gateway.cluster.topology import Topology
from gateway.keys import seal_key
from gateway.redis_urls import Address

_SERVERS_MAX = 2**14
"""Each server that has keys has a slot; a place of a walk over all of them tells whose it is."""

BRIEF_SECONDS = 0.5
"""How long a server is waited for that another one can answer for, or take the place of."""

_KEY = "tg:"
"""How each key begins that the gateway has (``gateway.keys``)."""


class _Asked(NamedTuple):
    """A command: where it goes (None: everywhere), and what its replies become."""

    words: tuple[Any, ...]
    options: dict[str, Any]
    server: Address | None
    finish: Callable[[list[Any]], Any]


class Cluster(Redis):
    """The client; ``make_pool`` makes connections to one of the servers."""

    def __init__(
        self,
        topology: Topology,
        make_pool: Callable[[Address], ConnectionPool],
        *,
        partitions: int,
    ) -> None:
        """Keep the parts; nothing is asked yet."""
        first = make_pool(topology.seeds[0])
        super().__init__(connection_pool=first)
        self.topology = topology
        self._make_pool = make_pool
        self._partitions = partitions
        self._servers: dict[Address, Redis] = {topology.seeds[0]: Redis.from_pool(first)}
        self.connection_pool = cast("Any", _Pools(first, self._servers, topology))

    def server(self, address: Address) -> Redis:
        """Return the client of one server."""
        if address not in self._servers:
            self._servers[address] = Redis.from_pool(self._make_pool(address))
        return self._servers[address]

    async def homes(self, partitions: Iterable[int]) -> Mapping[Address | None, int]:
        """Return one partition of each server that has some of these, the same for all of its own.

        Raises ``RedisError`` where nobody is known to have one.
        """
        await self._know()
        topology = self.topology
        owners = {topology.owner(seal_key(at)) for at in partitions}
        homes = topology.homes(self._partitions)
        return {owner: homes[owner] for owner in owners}

    async def learn(self) -> None:
        """Ask who is where, one after the other until one of the Cluster says; the slow ones are
        waited for only where nobody else has answered.
        """
        known = dict.fromkeys((*self.topology.servers, *self.topology.seeds))
        fault: Exception = ClusterDownError("no server of the Cluster says that it is up")
        for seconds in BRIEF_SECONDS, None:
            answered = False
            for address in known:
                try:
                    async with asyncio.timeout(seconds):
                        state, told = await self._ask_who(address)
                except (RedisError, OSError, TimeoutError) as error:
                    fault = error
                    continue
                answered = True
                if b"cluster_state:ok" in state:
                    self.topology.take(told, address)
                    return
            if answered:
                break
        raise fault

    async def _ask_who(self, address: Address) -> Any:  # noqa: ANN401 - replies
        async with self.server(address).pipeline(transaction=False) as pipe:
            pipe.execute_command(b"CLUSTER", "INFO")  # as bytes: the reply as it came
            pipe.execute_command(b"CLUSTER", "SLOTS")
            return await cast("Any", pipe).execute()

    async def execute_command(self, *words: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's own
        """Return the reply to one command."""
        await self._know()
        asked = self._asked(words, options)
        if asked.server is not None:
            server: Any = self.server(asked.server)
            return asked.finish([await server.execute_command(*asked.words, **options)])
        every: list[Any] = [self.server(one) for one in self.topology.servers]
        replies = await asyncio.gather(
            *(one.execute_command(*words, **options) for one in every), return_exceptions=True
        )
        return _sound(asked.finish(replies))

    async def info(self, section: str | None = None, *sections: str, **options: Any) -> Any:  # noqa: ANN401 - redis-py's own
        """Return INFO of all servers as of one, learned anew who they are.

        One that stands still is waited for only as long as nobody has taken its place.
        """
        await self.learn()
        wanted = sections if section is None else (section, *sections)
        asked: dict[Address, asyncio.Future[Any]] = {}
        try:
            while True:
                servers = self.topology.servers
                for one in set(servers) - asked.keys():
                    asking = self.server(one).info(*wanted, **options)
                    asked[one] = asyncio.ensure_future(asking)
                answers = [asked[one] for one in servers]
                _, late = await asyncio.wait(answers, timeout=BRIEF_SECONDS)
                if not late and self.topology.servers is servers:
                    break
                await self.learn()
            told = [answer.result() for answer in answers]
        finally:
            for task in asked.values():
                task.cancel()
            await asyncio.gather(*asked.values(), return_exceptions=True)
        return self.topology.merged(dict(zip(servers, told, strict=True)), self._partitions)

    async def serving(self) -> list[Any]:
        """Return INFO of each server that has partitions, None of one that does not serve them."""
        await self._know()
        homes = self.topology.homes(self._partitions).values()
        return await asyncio.gather(*map(self._serving, homes))

    async def _serving(self, partition: int) -> Any:  # noqa: ANN401 - a reply
        key = seal_key(partition)
        with suppress(RedisError, OSError, TimeoutError):
            async with (
                asyncio.timeout(BRIEF_SECONDS),
                self.server(self.topology.owner(key)).pipeline(transaction=False) as pipe,
            ):
                pipe.execute_command("INFO", "server")
                pipe.execute_command("EXISTS", key)  # which a Cluster that is down refuses
                told, _ = await cast("Any", pipe).execute()
                return told
        return None

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:  # noqa: ANN401, ARG002, FBT001, FBT002 - redis-py's own
        """Return commands to be asked together; a transaction has the keys of one partition."""
        return _Batch(self, transaction=transaction)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001 - redis-py's own
        """Close the clients of all servers."""
        for one in self._servers.values():
            await one.connection_pool.disconnect()
            await one.aclose(close_connection_pool)

    async def run(
        self, commands: Sequence[tuple[tuple[Any, ...], dict[str, Any]]], *, transaction: bool
    ) -> list[Any]:
        """Return the replies to some commands, or the errors that came instead."""
        await self._know()
        asked = [self._asked(*command) for command in commands]
        involved = sorted({one.server for one in asked if one.server}) or self.topology.servers
        replies: list[list[Any]] = [[] for _ in asked]
        found = await asyncio.gather(
            *(self._run_at(address, asked, transaction=transaction) for address in involved),
        )
        for at_server in found:
            for at, reply in at_server:
                replies[at].append(reply)
        return [one.finish(got) for one, got in zip(asked, replies, strict=True)]

    async def _run_at(
        self, address: Address, asked: Sequence[_Asked], *, transaction: bool
    ) -> list[tuple[int, Any]]:
        mine = [(at, one) for at, one in enumerate(asked) if one.server in {None, address}]
        replies: Sequence[Any]
        try:
            async with self.server(address).pipeline(transaction=transaction) as pipe:
                for _, one in mine:
                    cast("Any", pipe).execute_command(*one.words, **one.options)
                replies = await cast("Any", pipe).execute(raise_on_error=False)
        except RedisError as error:  # others may answer all the same
            replies = [error] * len(mine)
        return [(at, reply) for (at, _), reply in zip(mine, replies, strict=True)]

    async def _know(self) -> None:
        if not self.topology.owners:
            await self.learn()

    def _asked(self, words: tuple[Any, ...], options: dict[str, Any]) -> _Asked:
        name = _text(words[0]).upper()
        if name == "SCAN":
            return self._scan(words, options)
        key = _key_of(words)
        if key is not None:
            return _Asked(words, options, self.topology.owner(key), _first)
        return _Asked(words, options, None, _JOINED.get(name, _least))

    def _scan(self, words: tuple[Any, ...], options: dict[str, Any]) -> _Asked:
        """Walk over one server after the other."""
        place, at = divmod(int(words[1]), _SERVERS_MAX)
        servers = self.topology.servers
        at = min(at, len(servers) - 1)

        def finish(replies: list[Any]) -> Any:  # noqa: ANN401 - a reply
            (reply,) = replies
            if isinstance(reply, Exception):
                return reply
            following, keys = int(reply[0]), reply[1]
            if following:
                return following * _SERVERS_MAX + at, keys
            return self.beyond(at), keys

        return _Asked((words[0], place, *words[2:]), options, servers[at], finish)

    def beyond(self, place: int) -> int:
        """Return where a walk over all keys goes on behind the server it is at; 0 at its end."""
        at = place % _SERVERS_MAX + 1
        return at if at < len(self.topology.servers) else 0


def apart(client: Redis, partitions: Sequence[int]) -> list[tuple[Redis, Sequence[int]]]:
    """Return the partitions that one transaction may touch together, each with whom it is for."""
    if not isinstance(client, Cluster):
        return [(client, partitions)]
    owner = client.topology.owner
    return [(client.server(owner(seal_key(at))), (at,)) for at in partitions]


class _Batch:
    """Commands that are asked together, as a pipeline of redis-py takes them."""

    def __init__(self, cluster: Cluster, *, transaction: bool) -> None:
        self._cluster = cluster
        self._transaction = transaction
        self._commands: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._commands.clear()

    def execute_command(self, *words: Any, **options: Any) -> _Batch:  # noqa: ANN401 - redis-py's own
        """Have a command asked with the others."""
        self._commands.append((words, options))
        return self

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002 - redis-py's own
        """Return the replies in the order of the commands."""
        commands, self._commands = self._commands, []
        replies = await self._cluster.run(commands, transaction=self._transaction)
        return [*map(_sound, replies)] if raise_on_error else replies


class _Pools:
    """The connections to all servers, as far as they are asked for as one pool."""

    def __init__(
        self, first: ConnectionPool, servers: dict[Address, Redis], topology: Topology
    ) -> None:
        self.connection_kwargs = first.connection_kwargs
        self._servers = servers
        self._topology = topology

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's own
        """Close connections, and keep nothing of servers that have left."""
        for address, one in [*self._servers.items()]:
            await one.connection_pool.disconnect(inuse_connections)
            if address not in self._topology.servers:
                self._servers.pop(address, None)

    async def update_active_connections_for_reconnect(self) -> None:
        """Have connections that are in use opened anew when they are free."""
        one: Any
        for one in [*self._servers.values()]:
            await one.connection_pool.update_active_connections_for_reconnect()


def _text(word: object) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def _key_of(words: Iterable[object]) -> str | bytes | None:
    """Return the first key a command names, which is where its other keys are."""
    for word in words:
        if isinstance(word, bytes) and word.startswith(_KEY.encode()):
            return word
        if isinstance(word, str) and word.startswith(_KEY):
            return word
    return None


def _sound(reply: Any) -> Any:  # noqa: ANN401 - a reply
    if isinstance(reply, BaseException):
        raise reply
    return reply


def _first(replies: list[Any]) -> Any:  # noqa: ANN401 - a reply
    return replies[0]


def _least(replies: list[Any]) -> Any:  # noqa: ANN401 - a reply
    """Return the error, if there is one, or what is least: all of them have it."""
    faults = [one for one in replies if isinstance(one, BaseException)]
    if faults:
        return faults[0]
    is_ordered = isinstance(replies[0], (int, list, tuple))
    return min(replies) if is_ordered else replies[0]


def _strung(replies: list[Any]) -> Any:  # noqa: ANN401 - a reply
    faults = [one for one in replies if isinstance(one, BaseException)]
    return faults[0] if faults else [item for reply in replies for item in reply]


def _told(replies: list[Any]) -> Any:  # noqa: ANN401 - a reply
    """Return what is least of those who are there, unless nobody is."""
    return _least([one for one in replies if not is_away(one)] or replies)


_JOINED = {"CLIENT LIST": _strung, "CONFIG GET": _told, "TIME": _told, "WAITAOF": _told}
"""What replies become of commands that name no key, where not all need to have the same."""
