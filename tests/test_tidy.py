"""Style that matters and that no linter knows: what may lie where, which calls are banned and why.

A rule is a row in a table with the reason beside it; an exception is a path in that row. The length
limit is a smell, not a law: a file that has one reason to change may say so and be longer.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("gateway", "lua", "persistence", "tests", "bench")
ROOT_NAMES = {
    *SOURCES,
    ".ci",
    ".dockerignore",
    ".editorconfig",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "compose.yaml",
    "pyproject.toml",
    "requirements.lock",
}
FILE_TYPES = {".py", ".lua", ".md", ".mako", ".ini", ".json", ".jsonl", ".sql", ".typed"} | {
    ".mjs",  # what drives the published JavaScript clients
    ".jsx",  # the pages with their React hooks
    ".txt",  # the Python ones, pinned
    ".toml",  # what schemathesis calls with
}
# A fixture beyond this is data that should be made by code, and a clone everybody pays for.
FILE_BYTES_MAX = 262_144
FILE_LINES_MAX = 400
# path: the one reason the file changes for.
LONG_FILES: dict[str, str] = {}


class Ban(NamedTuple):
    """A name that may be used in few places."""

    name: str
    inside: tuple[str, ...]
    unless: tuple[str, ...]
    instead: str


WAITING = "tests/waiting.py"
WALL_CLOCK = "gateway.ports.Clock, so that a test clock works end to end"
BANS = [
    Ban("os.environ", SOURCES, ("gateway/config.py", "tests/", "bench/"), "gateway.config"),
    Ban("os.getenv", SOURCES, (), "gateway.config"),
    Ban("print", SOURCES, ("bench/",), "click.echo in a command, a log line elsewhere"),
    Ban("time.time", ("gateway", "persistence"), ("gateway/wall.py",), WALL_CLOCK),
    # The time in an id only makes ids sort; nothing is decided by it.
    Ban(
        "time.time_ns",
        ("gateway", "persistence"),
        ("gateway/wall.py", "gateway/ids.py"),
        WALL_CLOCK,
    ),
    Ban("datetime.now", ("gateway", "persistence"), (), WALL_CLOCK),
    Ban("date.today", ("gateway", "persistence"), (), WALL_CLOCK),
    Ban(
        "time.sleep",
        ("tests",),
        (WAITING,),
        "wait for the condition",
    ),
    Ban("asyncio.sleep", ("tests",), (WAITING,), "wait for the condition"),
    Ban("pytest.skip", ("tests",), (), "fail: a test that needs a server must have it"),
    Ban("pytest.importorskip", ("tests",), (), "name the package in the dev extra"),
    Ban("pytest.mark.skip", ("tests",), (), "xfail with its reason, or no test"),
    Ban("pytest.mark.skipif", ("tests",), (), "xfail with its reason, or no test"),
    Ban("unittest.mock", ("tests",), (), "a small double that runs the real contract tests"),
]
# What only holds on the machine or the network of whoever wrote it.
LOCAL_TEXT = re.compile(
    r"(?<![\w.~>}])/(?:home|Users|root|opt|w[o]rk|mnt)/\w"  # a path on one machine
    r"|python[h]osted|pypi\.\w+/simple"  # where a package came from
    r"|\bTO[D]O\b|\bFIX[M]E\b|\bX{3}\b"  # work that is not finished
)


def listed_files() -> list[Path]:
    """Every file that is, or would be, in the repository; all of the sources without git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        found = [path for folder in SOURCES for path in (ROOT / folder).rglob("*")]
        paths = [path for path in found if "__pycache__" not in path.parts]
    else:
        paths = [ROOT / name for name in run.stdout.split("\0") if name]
    return sorted(path for path in paths if path.is_file())


FILES = listed_files()
PYTHON_FILES = [path for path in FILES if path.suffix == ".py"]


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def used_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the dotted names a module loads or imports, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name


@functools.cache
def names_used_in(path: Path) -> list[tuple[int, str]]:
    """The names of one file, which is read once for all bans."""
    return list(used_names(ast.parse(path.read_text())))


def test_the_root_holds_only_what_is_expected() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} <= ROOT_NAMES


def test_sources_are_small_files_of_expected_types() -> None:
    strange = [
        short(path)
        for path in FILES
        if path.relative_to(ROOT).parts[0] in SOURCES
        and (path.suffix not in FILE_TYPES or path.stat().st_size > FILE_BYTES_MAX)
    ]
    assert strange == []


@pytest.mark.parametrize("ban", BANS, ids=lambda ban: ban.name)
def test_banned_names_are_not_used(ban: Ban) -> None:
    found = [
        f"{short(path)}:{line}: use {ban.instead}"
        for path in PYTHON_FILES
        if short(path).startswith(tuple(f"{folder}/" for folder in ban.inside))
        and not (ban.unless and short(path).startswith(ban.unless))
        for line, name in names_used_in(path)
        if name == ban.name or name.endswith(f".{ban.name}")
    ]
    assert found == []


def test_long_files_have_a_reason() -> None:
    long = {
        short(path)
        for path in FILES
        if path.suffix in {".py", ".lua"} and len(path.read_text().splitlines()) > FILE_LINES_MAX
    }
    assert long == set(LONG_FILES), f"over {FILE_LINES_MAX} lines: one reason to change each?"


def test_no_file_speaks_of_one_machine_or_of_unfinished_work() -> None:
    found = [
        f"{short(path)}:{number}: {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if LOCAL_TEXT.search(line)
    ]
    assert found == []


def test_a_unit_test_is_named_like_the_module_it_tests() -> None:
    unit = ROOT / "tests" / "unit"
    orphans = [
        short(path)
        for path in PYTHON_FILES
        if path.is_relative_to(unit) and path.name.startswith("test_")
        for module in [ROOT / path.relative_to(unit).parent / path.name.removeprefix("test_")]
        if not module.exists() and not module.with_suffix("").is_dir()
    ]
    assert orphans == []


def test_the_rules_find_what_they_are_for() -> None:
    module = "import os, time\nfrom os import environ\nprint(os.getenv('A'))\nx.datetime.now()\n"
    names = {name for _, name in used_names(ast.parse(module))}
    assert {"os.environ", "print", "os.getenv", "x.datetime.now"} <= names
    for text in ("see /ho" + "me/me/notes", "TO" + "DO later"):
        assert LOCAL_TEXT.search(text)
    for text in ("POST /v1/track", "sqlite:////srv/t.db", "$HOME/work/x"):
        assert not LOCAL_TEXT.search(text)
