"""The socket a gateway listens on: taken before anything is started, shared by all its workers.

One socket, inherited by each worker, rather than one for each of them on the same port: what waits
in the queue of a socket is lost when its owner closes it, so workers could not be replaced without
failing somebody's request, and the queue of a dead one would wait for its successor. The price is
that connections which come together may all go to one worker: who wakes first takes what is there.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.config import Settings
from gateway.errors import StartError

BACKLOG = 2048
"""Connections that wait to be accepted; one published client opens one for each request. The kernel
takes no more than its own bound (``net.core.somaxconn``).
"""

FILES_MAX = 65_536
"""Files a process asks for, each connection being one; who needs more has several machines."""

ANYBODY = 0o666
"""Mode of a unix socket: keys say who may call, its folder who may connect."""


@contextlib.contextmanager
def listening_socket(settings: Settings) -> Iterator[socket.socket]:
    """Take the place to listen at, so that a taken one costs nothing. Raises ``StartError``."""
    if settings.uds:
        with _unix_socket(settings.uds_path) as listener:
            yield listener
    else:
        with _port(settings.host, settings.port) as listener:
            yield listener


def raise_file_limit() -> None:
    """Have as many files as this process, and those it starts, may have.

    A connection beyond the limit is closed without a word, and 1,024 are what most are given.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS allows fewer than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def address_of(listener: socket.socket) -> str:
    """Return where a socket listens, as a person would type it."""
    if listener.family == socket.AF_UNIX:
        return f"unix:{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def reason_of(error: OSError | UnicodeError) -> str | None:
    """Return why an address cannot be had; Python says the latter of names such as a..b."""
    return error.strerror if isinstance(error, OSError) else "no host can have such a name"


@contextlib.contextmanager
def _port(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except (OSError, UnicodeError) as error:
        raise StartError(f"host {host} is not an address: {reason_of(error)}") from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError as error:
            raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        yield listener


@contextlib.contextmanager
def _unix_socket(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            _remove_abandoned(path)
            listener.bind(str(path))
            path.chmod(ANYBODY)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartError(f"cannot listen on {path}: {reason}") from error
        owned = path.stat()
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                # A gateway that took the place meanwhile keeps it.
                if os.path.samestat(owned, path.stat()):
                    path.unlink()


def _remove_abandoned(path: Path) -> None:
    """Remove a socket nobody listens on, as a killed gateway leaves it; nothing else."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise OSError("it is there, and no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError("another process listens there")
