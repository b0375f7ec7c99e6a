"""The list of commands: it says of each what the command says of itself."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from gateway.__main__ import COMMANDS, commands


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_listed_as_it_speaks_of_itself(name: str) -> None:
    shown = CliRunner().invoke(commands, [name, "--help"])
    assert shown.exit_code == 0
    assert " ".join(COMMANDS[name].meaning.split()) in " ".join(shown.output.split())


def test_help_lists_every_command_with_a_line() -> None:
    lines = CliRunner().invoke(commands, ["--help"], terminal_width=80).output.splitlines()
    listed = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in listed] == sorted(COMMANDS)
    assert listed[0] == "  clock     Show or advance the sandbox's clock."
    assert listed[3].endswith("without --yes, show...")


def test_an_unknown_command_is_refused() -> None:
    shown = CliRunner().invoke(commands, ["serv"])
    assert shown.exit_code == 2
    assert "No such command" in shown.output
