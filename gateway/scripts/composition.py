"""The Lua sources as one library of functions, made once and kept by the server.

A source file in ``lua/`` names its includes in comments (``--@include name``). ``compose`` puts
each included function before its first user, once, and registers every entry script under its own
name; the line ``--@no-writes`` marks one that only reads. One marked ``--@counted`` is registered a
second time, to count the call first (``include/count_call``); what it says then comes last, after
the status and what was counted. The server makes the functions once, when
it loads the library, not anew for each call. The digest of the sources is part of every name, so
two releases can run beside each other.
"""

from __future__ import annotations

import re
from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

from gateway.scripts.calls import Status

_INCLUDE = re.compile(r"^--@include (\w+)$", re.MULTILINE)
_HEADER = re.compile(r"--\[\[.*?\]\]\n", re.DOTALL)
_NO_WRITES = "\n--@no-writes\n"
_COUNTED = "\n--@counted\n"
_ROOT = files("lua")
_DIGITS = 12


class Library(NamedTuple):
    """A library as ``FUNCTION LOAD`` takes it, and the function each entry script became; those
    that count the call first stand in ``counted``.
    """

    text: str
    functions: dict[str, str]
    counted: dict[str, str]


def source(name: str) -> str:
    """Return the text of a file under ``lua/`` as it stands, such as ``check`` or
    ``include/decide``.
    """
    return (_ROOT / f"{name}.lua").read_text("utf-8")


def entry_names() -> list[str]:
    """Return the names of all entry scripts."""
    return sorted(
        item.name.removesuffix(".lua") for item in _ROOT.iterdir() if item.name.endswith(".lua")
    )


def compose() -> Library:
    """Return the library of all scripts. Raises ``ValueError`` when includes go in a circle."""
    done: dict[str, str] = {}

    def collect(text: str, path: tuple[str, ...]) -> None:
        for include in _INCLUDE.findall(text):
            if include in path:
                raise ValueError(f"lua includes go in a circle: {' > '.join((*path, include))}")
            if include not in done:
                body = source(f"include/{include}")
                collect(body, (*path, include))
                done[include] = body

    entries = {name: source(name) for name in entry_names()}
    for name, text in entries.items():
        collect(text, (name,))
    digest = sha1(
        "\n".join((*done.values(), *entries.values())).encode(), usedforsecurity=False
    ).hexdigest()[:_DIGITS]
    functions = {name: f"tallygate_{digest}_{name}" for name in entries}
    counted = {name: f"{functions[name]}_counted" for name in entries if _COUNTED in entries[name]}
    parts = [f"#!lua name=tallygate_{digest}", *done.values()]
    for name, text in entries.items():
        flags = "'no-writes'" if _NO_WRITES in text else ""
        body = _HEADER.sub("", text, count=1)
        if name in counted:
            parts += ("do", "local function run(KEYS, ARGV)", body, "end")
            parts += _registered(functions[name], flags, "run")
            # A check goes on while the server is full; its counter is a few bytes.
            flags = "'allow-oom'" if flags else ""
            parts += (*_registered(counted[name], flags, _COUNTING), "end")
        else:
            parts += _registered(functions[name], flags, f"function(KEYS, ARGV)\n{body}\nend")
    return Library("\n".join(parts), functions, counted)


_COUNTING = f"""function(KEYS, ARGV)
local over, told = count_call(KEYS, ARGV)
if over then return {{ {int(Status.LIMITED)}, told }} end
return {{ {int(Status.DONE)}, told, run(KEYS, ARGV) }}
end"""


def _registered(function: str, flags: str, callback: str) -> tuple[str, ...]:
    return (
        "redis.register_function{",
        f"function_name = '{function}', flags = {{ {flags} }},",
        f"callback = {callback} }}",
    )
