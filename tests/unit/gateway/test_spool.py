"""Entries that wait on the disk, in order, and go once."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from gateway import spool as module
from gateway.spool import Spool


class Carrier:
    """Carries entries out until ``left`` of them have been."""

    def __init__(self, left: int = 10_000) -> None:
        self.left = left
        self.carried: list[bytes] = []

    async def act(self, entry: bytes) -> bool:
        if len(self.carried) >= self.left:
            return False
        self.carried.append(entry)
        return True


def entries(count: int, begin: int = 0) -> list[bytes]:
    return [b"entry %d" % number for number in range(begin, begin + count)]


async def filled(folder: Path, count: int, begin: int = 0) -> Spool:
    made = Spool(folder, 10_000)
    for entry in entries(count, begin):
        assert await made.keep(entry)
    return made


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in files(folder))


async def test_what_is_kept_is_carried_out_in_order_and_once(tmp_path: Path) -> None:
    carrier = Carrier()
    spool = await filled(tmp_path, 5)
    assert spool.waiting == 5
    await spool.drain(carrier.act)
    await spool.drain(carrier.act)
    assert carrier.carried == entries(5)
    assert (spool.waiting, content(tmp_path)) == (0, b"")


async def test_nothing_is_made_before_there_is_something_to_keep(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder, 1)
    await spool.drain(Carrier().act)
    await spool.close()
    assert not folder.exists()


async def test_what_cannot_be_carried_out_waits_and_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP", 2)
    spool = await filled(tmp_path, 5)
    carrier = Carrier(3)
    await spool.drain(carrier.act)
    assert spool.waiting == 2
    for entry in entries(2, 5):
        await spool.keep(entry)
    carrier.left = 100
    await spool.drain(carrier.act)
    assert carrier.carried == entries(7)
    assert spool.waiting == 0


async def test_an_entry_that_fails_is_not_passed_over(tmp_path: Path) -> None:
    spool = await filled(tmp_path, 3)
    carrier = Carrier()

    async def fail(entry: bytes) -> bool:
        if entry == entries(1, 1)[0]:
            raise RuntimeError
        return await carrier.act(entry)

    with pytest.raises(RuntimeError):
        await spool.drain(fail)
    await spool.drain(carrier.act)
    assert carrier.carried == entries(3)


async def test_as_many_as_may_wait_are_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2)
    assert [await spool.keep(entry) for entry in entries(3)] == [True, True, False]
    await spool.drain(Carrier().act)
    assert await spool.keep(b"again")


async def test_what_a_process_left_is_carried_out_by_the_next_oldest_first(tmp_path: Path) -> None:
    for begin in 0, 3:
        await (await filled(tmp_path, 3, begin)).close()
    carrier = Carrier(4)
    other = await filled(tmp_path, 1, 6)
    await other.drain(carrier.act)
    assert carrier.carried == entries(4)
    assert other.waiting == 1
    await other.close()
    last = Carrier()
    await Spool(tmp_path, 1).drain(last.act)
    assert last.carried == entries(3, 4)
    assert files(tmp_path) == []


async def test_what_a_living_process_has_is_left_to_it(tmp_path: Path) -> None:
    living = await filled(tmp_path, 2)
    carrier = Carrier()
    await Spool(tmp_path, 1).drain(carrier.act)
    assert carrier.carried == []
    await living.drain(carrier.act)
    assert carrier.carried == entries(2)


async def test_a_file_that_somebody_removes_before_it_is_locked_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    removed: list[Path] = []

    def lock(descriptor: int, operation: int) -> None:
        if not removed:  # another process had found it, and nothing in it
            removed.extend(files(tmp_path))
            removed[0].unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock)
    await (await filled(tmp_path, 1)).close()
    assert removed
    carrier = Carrier()
    await Spool(tmp_path, 1).drain(carrier.act)
    assert carrier.carried == entries(1)


async def test_the_folder_knows_the_file_before_an_entry_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[os.stat_result] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor)))
    await filled(tmp_path, 1)
    assert [stat.S_ISDIR(one.st_mode) for one in flushed] == [True, True, False]


@pytest.mark.parametrize("torn", [b"+half an ent", b"=1", b"+"])
async def test_an_end_that_was_cut_off_was_never_kept(tmp_path: Path, torn: bytes) -> None:
    await (await filled(tmp_path, 2)).close()
    (path,) = files(tmp_path)
    with path.open("ab") as file:
        file.write(torn)
    carrier = Carrier()
    await Spool(tmp_path, 1).drain(carrier.act)
    assert carrier.carried == entries(2)


@pytest.mark.parametrize("step", ["write", "half", "fsync"])
async def test_a_disk_that_is_full_keeps_nothing_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    spool = await filled(tmp_path, 1)
    real = os.write

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    def half(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[:3])

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync" if step == "fsync" else "write", half if step == "half" else fail)
        with pytest.raises(OSError, match=r"full|No space"):
            await spool.keep(b"lost")
    assert await spool.keep(b"entry 1")
    carrier = Carrier()
    await spool.drain(carrier.act)
    assert carrier.carried == entries(2)


async def test_a_note_that_cannot_be_made_spoils_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = await filled(tmp_path, 2)
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:2]))
        with pytest.raises(OSError, match=r"No space"):
            await spool.drain(Carrier(1).act)
    await spool.keep(b"entry 2")
    await spool.close()
    carrier = Carrier()
    await Spool(tmp_path, 1).drain(carrier.act)
    assert carrier.carried in (entries(3), entries(2, 1))


async def test_entries_longer_than_a_piece_of_reading_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PIECE_BYTES", 3)
    carrier = Carrier()
    await (await filled(tmp_path, 4)).drain(carrier.act)
    assert carrier.carried == entries(4)
