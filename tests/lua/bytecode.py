"""Which globals a Lua chunk reads and writes, told by the compiler itself.

Lua 5.1, the version of every server, keeps them as instructions of their own; a regular expression
on the source would only guess.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, cast

from lupa.lua51 import LuaRuntime

_HEADER_BYTES = 12
_GETGLOBAL, _SETGLOBAL = 5, 7
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4


class Globals(NamedTuple):
    """Names of globals."""

    read: frozenset[str]
    written: frozenset[str]


def globals_of(text: str) -> Globals:
    """Return the globals of a chunk. Raises ``lupa.LuaSyntaxError`` for what does not compile."""
    lua = LuaRuntime(encoding=None)
    dump = lua.eval("function(text) return string.dump(assert(loadstring(text))) end")
    reader = _Reader(cast("bytes", dump(text.encode())))
    reader.function()
    return Globals(frozenset(reader.read), frozenset(reader.written))


class _Reader:
    def __init__(self, dumped: bytes) -> None:
        self._dumped = dumped
        self._at = _HEADER_BYTES
        self.read: set[str] = set()
        self.written: set[str] = set()

    def function(self) -> None:
        self._text()  # where it comes from
        self._at += 2 * 4 + 4  # its lines, and four counts of one byte
        code = [self._int() for _ in range(self._int())]
        constants = [self._constant() for _ in range(self._int())]
        for _ in range(self._int()):
            self.function()
        for _ in range(self._int()):
            self._int()  # the line of an instruction
        for _ in range(self._int()):
            self._text()  # a local, and where it lives
            self._at += 2 * 4
        for _ in range(self._int()):
            self._text()  # an upvalue
        for instruction in code:
            names = {_GETGLOBAL: self.read, _SETGLOBAL: self.written}.get(instruction & 0x3F)
            if names is not None:
                names.add(constants[instruction >> 14])

    def _constant(self) -> str:
        kind = self._dumped[self._at]
        self._at += 1
        if kind == _STRING:
            return self._text()
        self._at += {_NIL: 0, _BOOLEAN: 1, _NUMBER: 8}[kind]
        return ""

    def _text(self) -> str:
        (size,) = struct.unpack_from("<Q", self._dumped, self._at)
        start = self._at + 8
        self._at = start + size
        return self._dumped[start : start + max(0, size - 1)].decode()

    def _int(self) -> int:
        (number,) = struct.unpack_from("<I", self._dumped, self._at)
        self._at += 4
        return cast("int", number)
