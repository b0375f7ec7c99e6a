"""A group of commands of which each is loaded only when it is called.

To list them takes their names and a sentence for each; a command that shows keys then pays nothing
for those that serve.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import NamedTuple, cast

import click

_GAPS = 6
"""Columns of the list of commands that are neither name nor sentence."""


class Place(NamedTuple):
    """The module of a command, which has its name there, and what it is for."""

    module: str
    meaning: str


class LazyGroup(click.Group):
    """A group that knows where its commands are."""

    def __init__(self, *words: object, places: Mapping[str, Place], **options: object) -> None:
        super().__init__(*words, **options)  # type: ignore[arg-type]  # click's own
        self._places = places

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names."""
        return sorted(self._places)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None when there is no such."""
        place = self._places.get(cmd_name)
        if place is None:
            return None
        return cast("click.Command", getattr(importlib.import_module(place.module), cmd_name))

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        limit = formatter.width - _GAPS - max(map(len, self._places))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, click.Command(name, help=place.meaning).get_short_help_str(limit))
                    for name, place in sorted(self._places.items())
                ]
            )
