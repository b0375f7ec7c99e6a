"""Which server process answers on a connection, and what it is at the moment; pure.

The run id of a process changes when it starts; its replication id changes when it begins a history
of its own, as a replica does when it is promoted. Together they change whenever the data behind an
address may have gone back in time. Each of the databases of a process is as another server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

SECTIONS = ("server", "replication", "memory")
"""Of INFO."""

NOEVICTION = "noeviction"
"""The one policy under which Redis keeps what it acknowledged."""

_LINE = re.compile(r"^(?:txt:)?(\w+):(.*?)\r?$", re.MULTILINE)


class ServerFacts(NamedTuple):
    """What INFO says."""

    run_id: str
    """Of the process and its history; of all of a Cluster, and of who has which partition."""
    role: str
    policy: str
    servers: frozenset[str] = frozenset()
    """The run ids of the servers of a Cluster."""

    @property
    def run_ids(self) -> frozenset[str]:
        """What a connection may be greeted with where this is trusted."""
        return self.servers or frozenset({self.run_id})

    @property
    def fault(self) -> str:
        """What forbids to use this server at all, empty if nothing does."""
        if not self.run_id:
            return "Redis does not tell its run_id (INFO server), by which another one is known"
        if self.role != "master":
            return f"Redis is a {self.role or 'server of no known role'}, not a master"
        return eviction_fault(self.policy)


def parse_info(reply: bytes | str) -> dict[str, str]:
    """Return the fields of a reply of INFO."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return dict(_LINE.findall(text))


def facts_of(info: Mapping[str, object], number: int = 0) -> ServerFacts:
    """Return the facts of the fields of INFO and of the number of the database that is used; a
    server that hides its run id has an empty one.
    """
    process, history = str(info.get("run_id", "")), str(info.get("master_replid", ""))
    place = f"-{number}" if number else ""
    run_id = f"{process}-{history}{place}" if process else ""
    role, policy = str(info.get("role", "")), str(info.get("maxmemory_policy", ""))
    return ServerFacts(run_id, role, policy, frozenset(str(info.get("servers", "")).split()))


def eviction_fault(policy: str) -> str:
    """Return what is wrong with an eviction policy; one that is not told counts as right."""
    if policy in {"", NOEVICTION}:
        return ""
    return (
        f"Redis would evict balances (maxmemory-policy {policy}): "
        f"CONFIG SET maxmemory-policy {NOEVICTION}"
    )
