"""Entries that wait in files of this machine, in order, until they can be carried out.

A process appends to a file of its own, which it has a lock on; the file of one that has ended is
carried out by whoever finds it without a lock. An entry is kept once it is on the disk. ``drain``
hands out the oldest first and notes how far it has come; who is killed in between leaves some that
are handed out twice, so an entry has to say by itself what it is.

Failure. A disk that takes nothing raises ``OSError``, and the entry is not kept. The end of a file
that was cut off in the middle of an entry was never acknowledged, and goes.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from gateway import metrics
from gateway.ids import new_id
from gateway.rounds import Rounds

STEP = 500
"""Entries that are read, and noted as carried out, together."""

_ENTRY, _DONE = b"+", b"="
"""How lines begin: an entry, and up to which byte all entries have been carried out."""

_PIECE_BYTES = 1024 * 1024


class Spool:
    """The files of one folder; ``entries_max`` is how many entries of this process may wait."""

    def __init__(self, folder: Path, entries_max: int) -> None:
        """Keep the parts; no file is made before there is something to keep."""
        self._folder = folder
        self._entries_max = entries_max
        self._own: _File | None = None
        self._unwritten: list[bytes] = []
        self._write = Rounds(self._write_all)
        self.waiting = 0

    async def keep(self, entry: bytes) -> bool:
        """Return True once an entry, which has no line break, is on the disk; False where too many
        wait. Raises ``OSError``.
        """
        if self.waiting + len(self._unwritten) >= self._entries_max:
            return False
        self._unwritten.append(entry)
        return await self._write()

    async def _write_all(self) -> bool:
        entries, self._unwritten = self._unwritten, []
        await asyncio.to_thread(self._append, entries)
        self.waiting += len(entries)
        metrics.spool_waiting.set(self.waiting)
        return True

    async def drain(self, act: Callable[[bytes], Awaitable[bool]]) -> None:
        """Have everything carried out, until ``act`` says by False that it cannot be at the moment.

        Raises ``OSError``.
        """
        for path in await asyncio.to_thread(self._left):
            found = await asyncio.to_thread(_opened, path)
            if found is None:
                continue  # its process is there
            try:
                if not await self._carry(found, act):
                    return
                path.unlink(missing_ok=True)
            finally:
                found.close()
        if self._own is not None and self.waiting:
            await self._carry(self._own, act)
            metrics.spool_waiting.set(self.waiting)

    async def close(self) -> None:
        """Leave what waits to whoever comes next."""
        if self._own is not None:
            self._own.close()
            if not self.waiting:
                self._own.path.unlink(missing_ok=True)
            self._own = None

    async def _carry(self, file: _File, act: Callable[[bytes], Awaitable[bool]]) -> bool:
        """Return True once a file has nothing left."""
        while entries := await asyncio.to_thread(file.next_entries):
            carried = 0
            try:
                for entry in entries:
                    if not await act(entry):
                        return False
                    carried += 1
            finally:
                if file is self._own:
                    self.waiting -= carried
                await asyncio.to_thread(file.note, carried)
        return True

    def _append(self, entries: list[bytes]) -> None:
        if self._own is None:
            self._folder.mkdir(parents=True, exist_ok=True)
        while self._own is None:  # somebody may have found it before it had its lock
            made = _opened(self._folder / f"{new_id('kept')}.spool")  # ids sort by time
            if made is not None:
                # A power cut must not forget the file itself.
                _flush(self._folder)
                _flush(self._folder.parent)
                self._own = made
        self._own.append(entries)

    def _left(self) -> list[Path]:
        """Return the files of others, the oldest first."""
        own = self._own.path if self._own is not None else None
        return sorted(path for path in self._folder.glob("*.spool") if path != own)


class _File:
    """One file, of which nobody else has the lock; ``descriptor`` appends. One thread at a time
    appends, another one reads.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._place = size = 0
        self._ends: list[int] = []
        for line, end in _lines(descriptor, 0):
            size = end
            if line.startswith(_DONE):
                self._place = int(line[1:])
        os.truncate(descriptor, size)

    def append(self, entries: Iterable[bytes]) -> None:
        """Have entries on the disk, or none of them."""
        self._write(b"".join(b"%b%b\n" % (_ENTRY, entry) for entry in entries), os.fsync)

    def next_entries(self) -> list[bytes]:
        """Return the next entries, at most ``STEP``; with none, the file begins anew."""
        with self._lock:
            lines = _lines(self._descriptor, self._place)
            found = [*islice((one for one in lines if one[0].startswith(_ENTRY)), STEP)]
            if not found:
                self._place = 0
                os.truncate(self._descriptor, 0)
        self._ends = [end for _, end in found]
        return [line[1:] for line, _ in found]

    def note(self, count: int) -> None:
        """Note that so many of the next entries have been carried out."""
        if count:
            self._place = self._ends[count - 1]
            self._write(b"%b%d\n" % (_DONE, self._place))

    def close(self) -> None:
        os.close(self._descriptor)

    def _write(self, lines: bytes, finish: Callable[[int], None] = lambda _: None) -> None:
        with self._lock:
            before = os.fstat(self._descriptor).st_size
            try:
                _put(self._descriptor, lines)
                finish(self._descriptor)
            except OSError:
                os.truncate(self._descriptor, before)  # what nobody was told of must not be there
                raise


def _put(descriptor: int, lines: bytes) -> None:
    if os.write(descriptor, lines) != len(lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lines(descriptor: int, place: int) -> Iterator[tuple[bytes, int]]:
    """Yield the whole lines from a place on, each with where it ends."""
    rest = b""
    while piece := os.pread(descriptor, _PIECE_BYTES, place + len(rest)):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            place += len(line) + 1
            yield line, place


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: Path) -> _File | None:
    """Return a file, unless somebody else has it, or has removed it before it was locked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        is_there = False
    if not is_there:
        os.close(descriptor)
        return None
    return _File(path, descriptor)
