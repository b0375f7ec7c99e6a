"""The contract every file in ``lua/`` keeps: what its header says is what its body does."""

from __future__ import annotations

import inspect
import re
from importlib.resources import files

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from gateway.scripts import Scripts, Status
from gateway.scripts.composition import compose, entry_names, source
from tests.lua.bytecode import globals_of

LINES_MAX = 150
_LUA = files("lua")
ENTRIES = entry_names()
LIBRARY = compose()
INCLUDES = sorted(
    item.name.removesuffix(".lua")
    for item in (_LUA / "include").iterdir()
    if item.name.endswith(".lua")
)
FILES = [*ENTRIES, *(f"include/{name}" for name in INCLUDES)]
GLOBALS = {
    *("KEYS", "ARGV", "redis", "string", "table", "math"),
    *("tonumber", "ipairs", "pairs", "type", "unpack", "cjson"),
}
"""What every server has and every script may use; of ``cjson`` see the rule for it."""


def header_of(text: str) -> str:
    match = re.match(r"--\[\[\n(.+?)\n\]\]\n", text, re.DOTALL)
    assert match is not None, "a file begins with its header"
    return match[1]


def body_of(text: str) -> str:
    """Return what runs: no header, no comment, no include directive."""
    return re.sub(r"--.*", "", re.sub(r"--\[\[.*?\]\]", "", text, flags=re.DOTALL))


def without_strings(body: str) -> str:
    return re.sub(r"'[^'\n]*'", "''", body)


def documented(header: str, table: str) -> tuple[list[int], bool]:
    """Return the numbers of the slots a header documents, and whether the last one is open."""
    numbers: list[int] = []
    is_open = False
    for first, rest in re.findall(rf"^{table}\[(\d+)(\.\.\.\d*)?\] \S", header, re.MULTILINE):
        last = rest.removeprefix("...")
        numbers += range(int(first), int(last or first) + 1)
        is_open = rest == "..."
    return numbers, is_open


def read_slots(body: str, table: str) -> set[int]:
    return {int(number) for number in re.findall(rf"\b{table}\[(\d+)\]", body)}


def returns_of(header: str) -> str:
    match = re.search(r"^Returns (\{.+)", header, re.DOTALL | re.MULTILINE)
    assert match is not None, "a header says what is returned"
    return match[1]


def named_statuses(header: str) -> set[int]:
    return {int(number) for number in re.findall(r"(?:[:;,] |\n)(\d+) [a-z]", returns_of(header))}


@pytest.mark.parametrize("name", ENTRIES)
def test_keys_are_those_the_header_documents(name: str) -> None:
    text = source(name)
    numbers, is_open = documented(header_of(text), "KEYS")
    assert numbers == list(range(1, len(numbers) + 1))
    assert not is_open
    body = body_of(text)
    assert read_slots(body, "KEYS") == set(numbers)
    assert len(re.findall(r"\bKEYS\b", body)) == len(re.findall(r"\bKEYS\[\d+\]", body))


@pytest.mark.parametrize("name", ENTRIES)
def test_arguments_are_those_the_header_documents(name: str) -> None:
    text = source(name)
    numbers, is_open = documented(header_of(text), "ARGV")
    assert numbers == list(range(1, len(numbers) + 1))
    body = body_of(text)
    if is_open:  # the last group is walked with an index that begins at its number
        last = numbers.pop()
        if f"read_parts(keys, ARGV, {last}, " in body:
            body = body.replace("ARGV, ", "")
        else:
            assert re.search(rf"\bat(?:, \w+)? = {last}\b", body)
            assert re.search(r"ARGV\[at(?: \+ \d)?\]|unpack\(ARGV, at, \w+\)", body)
    else:
        assert not re.search(r"ARGV\[\D|unpack\(ARGV|#ARGV", body)
    assert read_slots(body, "ARGV") == set(numbers)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_verdict_is_named_and_has_its_twin(name: str) -> None:
    text = source(name)
    named = named_statuses(header_of(text))
    returns = r"(?:return|reply =) (?:pack_reply\()?(?:\{ |\(.+'|')?(\d+)"
    returned = {int(number) for number in re.findall(returns, body_of(text))}
    if re.search(r"return (\{ )?obstacle\b", body_of(text)):  # what stands in the way of reading
        parts = body_of(source("include/read_parts"))
        returned |= named & {int(number) for number in re.findall(r"return nil, (\d+)", parts)}
    assert returned == named
    assert named <= set(map(int, Status))
    assert Status.DONE in named


def test_every_status_is_returned_by_a_script() -> None:
    returned = {status for name in ENTRIES for status in named_statuses(header_of(source(name)))}
    assert returned == set(map(int, Status))


@pytest.mark.parametrize("name", ENTRIES)
def test_a_script_has_a_coroutine_of_its_name(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(Scripts, name))


def test_a_coroutine_that_runs_a_script_is_named_like_it() -> None:
    operations = {name for name, _ in inspect.getmembers(Scripts, inspect.iscoroutinefunction)}
    public = {name for name in operations if not name.startswith("_")}
    entries = {"last_entry", "last_entries", "next_entries", "outbox_lengths"}
    lookups = entries | {"are_sealed", "receipts", "holds_due", "now_ms"}
    replies = {"take_reply", "keep_reply", "free_reply"}
    assert public - set(ENTRIES) == {"load", "ping"} | lookups | replies


@pytest.mark.parametrize("name", ENTRIES)
def test_a_script_defines_no_function_another_could_use(name: str) -> None:
    assert not re.search(r"^local function|^function", body_of(source(name)), re.MULTILINE)


@pytest.mark.parametrize("name", INCLUDES)
def test_an_include_is_one_function_that_takes_arguments_only(name: str) -> None:
    text = source(f"include/{name}")
    header, body = header_of(text), body_of(text)
    assert re.findall(r"^\S.*", body, re.MULTILINE)[0].startswith(f"local function {name}(")
    top_level = [line for line in body.splitlines() if line and not line.startswith(" ")]
    assert len(top_level) == 2
    assert top_level[-1] == "end"
    assert not re.search(r"\b(KEYS|ARGV)\b", text)
    assert f"{name}(" in header


@pytest.mark.parametrize("name", INCLUDES)
def test_an_include_is_used_where_it_is_named(name: str) -> None:
    users = [one for one in FILES if f"--@include {name}\n" in source(one)]
    assert users
    for user in users:
        assert re.search(rf"\b{name}\(", without_strings(body_of(source(user)))), user


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_calls_is_included_by_it_or_below(name: str) -> None:
    text = source(name)
    body = without_strings(body_of(text))
    for include in INCLUDES:
        if re.search(rf"(?<!function )\b{include}\(", body):
            assert include in included(name) | {name.removeprefix("include/")}


def included(name: str) -> set[str]:
    """Return what a file includes, by itself or through others."""
    found: set[str] = set()
    for include in re.findall(r"^--@include (\w+)$", source(name), re.MULTILINE):
        found |= {include} | included(f"include/{include}")
    return found


@pytest.mark.parametrize("name", FILES)
def test_keys_are_passed_on_and_never_built(name: str) -> None:
    body = body_of(source(name))
    body = body.replace("'XINFO', 'STREAM'", "'XINFO STREAM'")  # a command of two words
    for command, key in re.findall(r"redis\.call\(\s*('[\w ]+'|[^,]+?), ([^,)]+)", body):
        assert re.fullmatch(r"keys\.\w+|KEYS\[\d\]|key|\w+_key", key.strip()), (command, key)


def test_only_what_every_server_has_is_used_and_nothing_is_global() -> None:
    found = globals_of(LIBRARY.text.split("\n", 1)[1])
    assert found.read <= GLOBALS
    assert not found.written


@pytest.mark.parametrize("name", FILES)
def test_of_the_server_only_commands_are_asked(name: str) -> None:
    body = without_strings(body_of(source(name)))
    assert len(re.findall(r"\bredis\b", body)) == len(re.findall(r"\bredis\.call\(", body))


@pytest.mark.parametrize("name", FILES)
def test_json_is_read_by_filters_alone_and_never_written(name: str) -> None:
    used = re.findall(r"\bcjson\b(\.\w+\()?", body_of(source(name)))
    assert set(used) <= ({".decode("} if name == "include/read_rules" else set())


def test_a_forgotten_local_and_a_missing_include_are_found() -> None:
    found = globals_of("local a = b\nfunction c() d = os.time(a) end")
    assert found.read == {"b", "os"}
    assert found.written == {"c", "d"}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_short_and_plain(name: str) -> None:
    lines = source(name).splitlines()
    assert len(lines) <= LINES_MAX
    assert all(line == line.rstrip() and "\t" not in line for line in lines)
    assert max(map(len, lines)) <= 120


async def test_every_server_takes_the_library_and_knows_what_only_reads(
    redis_client: Redis,
) -> None:
    await redis_client.function_flush("SYNC")
    await Scripts(redis_client).load()
    for name, function in LIBRARY.functions.items():
        only_reads = "Reads only" in header_of(source(name))
        assert only_reads is ("\n--@no-writes\n" in source(name))
        with pytest.raises(ResponseError) as failure:
            await redis_client.fcall_ro(function, 0)
        assert ("write flag" in str(failure.value)) is not only_reads


@pytest.mark.parametrize("name", INCLUDES)
def test_includes_come_once_and_before_their_users(name: str) -> None:
    before, *after = re.split(rf"^local function {name}\(", LIBRARY.text, flags=re.MULTILINE)
    assert len(after) == 1
    assert not re.search(rf"\b{name}\(", body_of(before))
    assert f"{name}(" in after[0]


def test_the_readme_lists_every_file_and_every_verdict() -> None:
    readme = (_LUA / "README.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([\w/]+)` \| (.+?) \|", readme, re.MULTILINE))
    purposes = {name: first_sentence(header_of(source(name))) for name in FILES}
    assert {name: rows.get(name) for name in FILES} == purposes
    assert rows.keys() == set(FILES)
    codes = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", readme, re.MULTILINE))
    assert codes == {str(int(status)): status.name for status in Status}


def first_sentence(header: str) -> str:
    """Return the first sentence of a header, the purpose of its file."""
    text = " ".join(header.split("\n\n", 1)[0].split())
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]
