"""Which server of a Redis Cluster has which key, as its servers said last; pure.

All keys of a partition have one hash tag (``gateway.keys``), so one slot, and one server at a time.
Whether that server may be trusted is for the guard to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError

from gateway.keys import INSTALLATION, seal_key
from gateway.redis_urls import Address

_WELL = {"role": ("master",), "maxmemory_policy": ("noeviction", ""), "aof_enabled": ("1",)}
"""What fields of INFO say where all is well; the Cluster has whatever else one server says."""


class Topology:
    """The servers of one Cluster; ``seeds`` are those the URL names."""

    def __init__(self, seeds: Sequence[Address]) -> None:
        self.seeds = tuple(seeds)
        self.owners: tuple[Address | None, ...] = ()
        """Of each slot; empty until a server has told."""
        self.servers: list[Address] = []
        """Those that have slots, in the order of their addresses."""
        self._parts: list[tuple[int, int, Address]] = []
        self._homes: dict[int, dict[Address | None, int]] = {}

    def take(self, told: Sequence[Any], asked: Address) -> None:
        """Go by a reply of CLUSTER SLOTS of the server that was asked."""
        parts: list[tuple[int, int, Address]] = []
        for first, last, (host, port, *_), *_ in told:
            # One that does not know its own name says nothing: it is the one that was asked.
            named = host not in {None, b"", b"?"}
            owner = Address(host.decode() if named else asked.host, int(port))
            parts.append((first, last, owner))
        parts.sort()
        if parts == self._parts:  # by the parts, for it is looked at every second
            return
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, owner in parts:
            owners[first : last + 1] = [owner] * (last + 1 - first)
        self._parts, self.owners = parts, tuple(owners)
        self.servers = sorted({owner for *_, owner in parts})
        self._homes = {}

    def owner(self, key: str | bytes) -> Address:
        """Return who has a key. Raises ``ClusterDownError`` where nobody is known to."""
        owner = self._served(key)
        if owner is None:
            raise ClusterDownError("no server of the Cluster is known for the slot")
        return owner

    def _served(self, key: str | bytes) -> Address | None:
        return self.owners[_slot(key)] if self.owners else None

    def homes(self, partitions: int) -> Mapping[Address | None, int]:
        """Return one partition of each server that has any; None is nobody."""
        if partitions not in self._homes:
            found = {self._served(seal_key(at)): at for at in range(partitions)}
            self._homes[partitions] = found
        return self._homes[partitions]

    def merged(self, told: Mapping[Address, Mapping[str, Any]], partitions: int) -> dict[str, Any]:
        """Return INFO of all servers as if they were one.

        Its run id tells which process has which partition, ``servers`` the ids of all.
        """
        ids = {at: _identity(info) for at, info in told.items()}
        whole = dict(next(iter(told.values())))
        for field, well in _WELL.items():
            values = [str(info.get(field, "")) for info in told.values()]
            whole[field] = next((one for one in values if one not in well), values[0])
        versions = [str(info["redis_version"]) for info in told.values() if "redis_version" in info]
        if versions:
            whole["redis_version"] = min(versions, key=lambda one: int(one.partition(".")[0]))
        places = [INSTALLATION, *map(seal_key, range(partitions))]
        held = ",".join(ids.get(self.owner(key), "") for key in places)
        hidden = not all(ids.values())
        whole["run_id"] = "" if hidden else "cluster"
        whole["master_replid"] = sha256(held.encode()).hexdigest()[:40]
        whole["servers"] = " ".join(sorted(ids.values()))
        return whole


@cache
def topology_of(seeds: Sequence[Address]) -> Topology:
    """Return the topology behind a URL: the same for all clients of a process, so that what one
    learns is known to all.
    """
    return Topology(seeds)


def told_of(error: Exception) -> str:
    """Return what an error says; of MOVED and ASK redis-py keeps the slot and the server alone."""
    text = str(error) or type(error).__name__
    if isinstance(error, AskError):
        return f"{'MOVED' if isinstance(error, MovedError) else 'ASK'} {text}"
    return text


def _identity(info: Mapping[str, Any]) -> str:
    process, history = str(info.get("run_id", "")), str(info.get("master_replid", ""))
    return f"{process}-{history}" if process else ""


def _slot(key: str | bytes) -> int:
    return key_slot(key.encode() if isinstance(key, str) else key)
