"""What is asked of Redis by coroutines, over one shared connection or over several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import hiredis

from gateway.stepping import Ask

if TYPE_CHECKING:
    from gateway.scripts.pipe import Receiver


Words = Iterable[str | bytes | int]
"""Of a command."""


class Command:
    """A command that is asked again and again: packed once, for to meet a hundred keys in memory
    costs a look that finds nothing more than all else it does.
    """

    __slots__ = ("packed", "words")

    def __init__(self, *words: str | bytes | int) -> None:
        """Pack it."""
        self.words = words
        self.packed: bytes = hiredis.pack_command(cast("Any", words))

    def __iter__(self) -> Iterator[str | bytes | int]:
        """Yield its words, as those of any command."""
        return iter(self.words)


class Asking(ABC):
    """What can be asked of whatever sends."""

    async def call(self, *words: str | bytes | int) -> Any:  # noqa: ANN401 - any reply
        """Return the reply to a command. Raises ``RedisError``, as redis-py would."""
        return await Ask(partial(self.send, hiredis.pack_command(cast("Any", words))))

    async def call_all(self, commands: Sequence[Words]) -> list[Any]:
        """Return the replies to commands that leave together. Raises the first fault among them."""
        replies = await self.ask_all(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def ask_all(self, commands: Sequence[Words]) -> list[Any]:
        """Return the replies to commands that leave together, a fault in place of its reply."""
        if not commands:
            return []
        packed = [
            command.packed if isinstance(command, Command) else Command(*command).packed
            for command in commands
        ]
        return cast("list[Any]", await Ask(partial(self._send_all, packed)))

    @abstractmethod
    def send(self, command: bytes, receiver: Receiver) -> None:
        """Ask, without a coroutine; see ``Pipe.send``."""

    @abstractmethod
    def _send_all(self, commands: list[bytes], receiver: Receiver) -> None:
        """Ask for all of them, and give the receiver the replies in their order."""
