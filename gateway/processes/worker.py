"""One process of several: a gateway that shares its socket, or the writer beside them.

It is started by ``gateway.processes.supervisor``, with the channel to it as standard input, and is
told there what to be. It tells when it is ready and, once a second, what it has counted; the page
of metrics it shows is the supervisor's, which knows what all of them have.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable

from gateway import logs, metrics
from gateway.config import Settings
from gateway.errors import GatewayError
from gateway.processes.channel import Channel, Counts, Failed, Leave, Order, Page, Ready, ToWorker
from gateway.processes.collecting import collect_seldom
from gateway.processes.running import on_stop, run
from gateway.processes.tallies import counted
from gateway.release import package_version

COUNT_SECONDS = 1.0
"""Between two reports of what was counted: what a killed worker has counted since is lost."""

_STANDARD_INPUT = 0


def main() -> None:
    """Run a worker to its end."""
    collect_seldom()
    # The channel must not be what a child process of ours would read.
    end = socket.socket(fileno=os.dup(_STANDARD_INPUT))
    with open(os.devnull) as nothing:  # noqa: PTH123 - a file descriptor is what is asked for
        os.dup2(nothing.fileno(), _STANDARD_INPUT)
    run(_work(end))


async def _work(end: socket.socket) -> None:
    channel = await Channel.over(end, ToWorker)
    order = await channel.hear()
    if isinstance(order, Order):
        logs.set_up(order.settings.log_level, order.settings.log_format)
        try:
            await _Worker(channel, order).run()
        except GatewayError as error:
            channel.tell(Failed(str(error)))
    await channel.close()


class _Worker:
    """What a worker does beside its work: listen to the supervisor, and report to it."""

    def __init__(self, channel: Channel, order: Order) -> None:
        self._channel = channel
        self._order = order
        self._asked: deque[asyncio.Future[bytes]] = deque()
        self._stop: Callable[[], None] = self._stop_early
        self._leave: Callable[[], None] = self._stop_early
        self._work: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._is_alone = False

    async def run(self) -> None:
        """Work until told to stop."""
        on_stop(self._stop)
        beside = [asyncio.create_task(self._listen()), asyncio.create_task(self._report())]
        self._work = asyncio.current_task()
        try:
            if self._order.listener is None:
                await self._write(self._order.settings)
            else:
                await self._serve(self._order.settings, self._order.listener)
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            self._channel.tell(Counts(counted()))

    async def _serve(self, settings: Settings, inherited: int) -> None:
        # A process is either a gateway or the writer, and loads what that needs.
        from gateway.app import Runtime, started  # noqa: PLC0415
        from gateway.processes.serving import serve  # noqa: PLC0415

        with socket.socket(fileno=inherited) as listener:
            async with started(Runtime(settings)) as runtime:
                await serve(
                    runtime,
                    listener,
                    on_start=lambda server: self._follow(server.stop, server.leave),
                    on_ready=self._tell_ready,
                    page=self._page,
                )

    async def _write(self, settings: Settings) -> None:
        from gateway.processes.writing import write  # noqa: PLC0415 - as above

        metrics.build.labels(package_version()).set(1)
        stopped = asyncio.Event()
        self._follow(stopped.set, stopped.set)
        await write(settings, stopped, self._tell_ready)

    def _follow(self, stop: Callable[[], None], leave: Callable[[], None]) -> None:
        self._stop, self._leave = stop, leave
        on_stop(stop)

    def _stop_early(self) -> None:
        """Begin nothing more: nobody uses this worker yet."""
        self._is_stopped = True
        if self._work is not None:
            self._work.cancel()

    def _tell_ready(self) -> None:
        self._channel.tell(Ready())

    async def _listen(self) -> None:
        while (message := await self._channel.hear()) is not None:
            if isinstance(message, Leave):
                self._leave()
            elif isinstance(message, Page):
                self._asked.popleft().set_result(message.text)
        self._is_alone = True
        for asked in self._asked:
            asked.set_result(metrics.page())
        self._stop()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            if self._channel.is_read:
                self._channel.tell(Counts(counted()))

    async def _page(self) -> bytes:
        if self._is_alone:
            # Nobody knows of the others any more, and this process ends too.
            return metrics.page()
        asked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self._channel.tell(Counts(counted(), asks_for_page=True))
        # Whoever asked may hang up meanwhile; the page comes in turn all the same.
        return await asyncio.shield(asked)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
