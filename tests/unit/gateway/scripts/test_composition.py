"""Composing the library of scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.scripts import composition
from gateway.scripts.composition import compose, entry_names


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of scripts of a test's own."""
    (tmp_path / "include").mkdir()
    monkeypatch.setattr(composition, "_ROOT", tmp_path)
    return tmp_path


def write(tree: Path, **files: str) -> None:
    for name, includes in files.items():
        folder = tree if name.startswith("run") else tree / "include"
        lines = [f"--@include {include}\n" for include in includes.split()]
        (folder / f"{name}.lua").write_text(f"{''.join(lines)}local function {name}() end\n")


def order(text: str) -> list[str]:
    return re.findall(r"local function (\w+)", text)


def test_includes_come_before_their_users(tree: Path) -> None:
    write(tree, run="a b", a="c", b="", c="")
    assert order(compose().text) == ["c", "a", "b", "run"]


def test_an_include_that_several_name_comes_once(tree: Path) -> None:
    write(tree, run="a b c", a="c", b="c a", c="")
    assert order(compose().text) == ["c", "a", "b", "run"]


def test_includes_that_go_in_a_circle_are_refused(tree: Path) -> None:
    write(tree, run="a", a="b", b="c", c="a")
    with pytest.raises(ValueError, match="in a circle: run > a > b > c > a"):
        compose()


def test_a_missing_include_is_an_error(tree: Path) -> None:
    write(tree, run="a")
    with pytest.raises(FileNotFoundError):
        compose()


def test_only_files_beside_the_includes_are_scripts(tree: Path) -> None:
    write(tree, run_b="", run_a="", c="")
    (tree / "README.md").write_text("")
    assert entry_names() == ["run_a", "run_b"]


def test_an_indented_or_other_comment_includes_nothing(tree: Path) -> None:
    (tree / "run.lua").write_text("-- @include a\n  --@include b\n--@included c\n")
    assert order(compose().text) == []


def test_the_names_change_with_the_sources(tree: Path) -> None:
    write(tree, run="a", a="")
    before = compose()
    assert before.text.startswith(f"#!lua name={before.functions['run'].removesuffix('_run')}\n")
    write(tree, a="", b="")
    assert compose() == before  # what nobody includes is not part of it
    (tree / "run.lua").write_text("--@include a\nreturn 1\n")
    assert compose().functions != before.functions


def test_a_script_that_only_reads_is_marked(tree: Path) -> None:
    (tree / "run_a.lua").write_text("--[[\nA header.\n]]\n--@no-writes\nreturn 1\n")
    (tree / "run_b.lua").write_text("--[[\nA header.\n]]\nreturn 1\n")
    flags = re.findall(r"flags = \{ (.*?) \}", compose().text)
    assert flags == ["'no-writes'", ""]
    assert "header" not in compose().text


def test_a_script_that_is_counted_stands_there_twice(tree: Path) -> None:
    (tree / "run_a.lua").write_text("--[[\nA header.\n]]\n--@counted\n--@no-writes\nreturn 1\n")
    (tree / "run_b.lua").write_text("--[[\nA header.\n]]\n--@counted\nreturn 1\n")
    (tree / "run_c.lua").write_text("--[[\nA header.\n]]\nreturn 1\n")
    library = compose()
    assert library.counted == {
        name: f"{library.functions[name]}_counted" for name in ("run_a", "run_b")
    }
    flags = dict(re.findall(r"function_name = '\w+?_(run_\w+)', flags = \{ (.*?) \}", library.text))
    assert flags == {
        "run_a": "'no-writes'",
        "run_a_counted": "'allow-oom'",
        "run_b": "",
        "run_b_counted": "",
        "run_c": "",
    }
