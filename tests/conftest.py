"""Options and plugins of the test run; fixtures stand in ``tests/fixtures``, one file per kind.

The settings of whoever runs the tests are removed first: no test may depend on them, and none may
reach a server that somebody uses.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
import redis.utils

for _name in [name for name in os.environ if name.startswith("TALLYGATE_")]:
    del os.environ[_name]

# Some machines are told to keep no compiled modules. Here many processes start, and each
# would compile the whole gateway anew; so would pytest every test, and add to its asserts.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# redis-py reads its version from the metadata of its package for each connection that is made.
redis.utils.get_lib_version = functools.cache(redis.utils.get_lib_version)

collect_ignore = ["sdk"]  # the published clients bring tests of their own

# Every module of the folder is a plugin, so a new one needs no second line here.
pytest_plugins = [
    f"tests.fixtures.{path.stem}"
    for path in sorted((Path(__file__).parent / "fixtures").glob("[!_]*.py"))
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--redis",
        default="",
        metavar="KINDS",
        help="servers to test on: fake,embedded,cluster,debian; without it, all there are",
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage in what stays to the end, neither while it is made nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
