"""What a Redis URL names: one server, the Sentinels that know its master, or servers of a Cluster.

``redis+sentinel://[user:password@]host[:26379],.../SERVICE[/DB][?options]`` is as most clients
spell it, ``redis+cluster://[user:password@]host[:6379],...[?options]`` goes with it: any of the
servers, which tell of the others. With ``rediss`` all of them speak TLS. Everything else is a URL
of redis-py.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

SENTINEL_PORT = 26379
SERVER_PORT = 6379
"""Of an address that gives none."""

# A master's name is of these characters, by which a password with a slash is not taken for one.
_SENTINEL = re.compile(
    r"(?P<scheme>rediss?)\+sentinel(?P<user>://([^/?#]*@)?)(?P<hosts>[^/?#@]+)"
    r"/(?P<service>[A-Za-z0-9._-]+)(?P<rest>(/[0-9]*)?(\?.*)?)"
)
_CLUSTER = re.compile(
    r"(?P<scheme>rediss?)\+cluster(?P<user>://([^/?#]*@)?)(?P<hosts>[^/?#@]+)/?(?P<rest>(\?.*)?)"
)
_BEGIN = re.compile(r"rediss?\+(sentinel|cluster)://")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(?::([0-9]{1,5}))?")


class Address(NamedTuple):
    """Where somebody listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class RedisUrl(NamedTuple):
    """A URL for redis-py, without the host where ``hosts`` are given: those of the Sentinels of a
    ``service``, or where that is empty of a Cluster.
    """

    plain: str
    hosts: tuple[Address, ...] = ()
    service: str = ""


def read_url(url: str) -> RedisUrl:
    """Return what a URL names. Raises ``ValueError``."""
    begin = _BEGIN.match(url)
    if begin is None:
        return RedisUrl(url)
    watched = begin[1] == "sentinel"
    found = (_SENTINEL if watched else _CLUSTER).fullmatch(url)
    if found is None:
        raise ValueError(f"not as a URL of a {begin[1]} is")
    port = SENTINEL_PORT if watched else SERVER_PORT
    hosts = tuple(dict.fromkeys(_address(one, port) for one in found["hosts"].split(",")))
    # The host is what they say.
    plain = f"{found['scheme']}{found['user']}{found['rest']}"
    return RedisUrl(plain, hosts, found["service"] if watched else "")


def _address(text: str, port: int) -> Address:
    found = _ADDRESS.fullmatch(text)
    number = int(found[2] or port) if found else 0
    if found is None or not 0 < number < 2**16:
        raise ValueError("not an address")
    return Address(unquote(found[1].strip("[]")), number)
