"""The limit of open files, which is one of connections."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from gateway.processes.listening import FILES_MAX, raise_file_limit

LOW = 512


@pytest.fixture
def hard() -> Iterator[int]:
    """The hard limit; the soft one is low until the test is over."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LOW, limits[1]))
    yield limits[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_as_many_files_are_asked_for_as_may_be(hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.processes.listening.FILES_MAX", LOW + 1)
    raise_file_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (LOW + 1, hard)


def test_a_limit_that_is_higher_stays(hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.processes.listening.FILES_MAX", LOW - 1)
    raise_file_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (LOW, hard)


@pytest.mark.parametrize("hard_limit", [resource.RLIM_INFINITY, 4_096])
def test_no_more_is_asked_for_than_is_of_use_or_may_be(
    hard_limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (LOW, hard_limit))
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, limits: asked.append(limits))
    raise_file_limit()
    wanted = FILES_MAX if hard_limit == resource.RLIM_INFINITY else hard_limit
    assert asked == [(wanted, hard_limit)]


def test_a_system_that_gives_fewer_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_kind: int, _limits: tuple[int, int]) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (LOW, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    raise_file_limit()
