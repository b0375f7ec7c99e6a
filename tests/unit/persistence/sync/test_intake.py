"""When dead letters are too many."""

from __future__ import annotations

import pytest

from persistence.sync.intake import DeadLetterLimit, DeadLetterLimitError


def test_as_many_as_allowed_pass() -> None:
    limit = DeadLetterLimit(letters_max=3, window=10)
    for _ in range(3):
        limit.check(1)
        limit.add(1, 1)
    with pytest.raises(DeadLetterLimitError):
        limit.check(1)


def test_one_batch_of_too_many_is_refused() -> None:
    with pytest.raises(DeadLetterLimitError):
        DeadLetterLimit(letters_max=3, window=10).check(4)


def test_letters_beyond_the_window_are_forgotten() -> None:
    limit = DeadLetterLimit(letters_max=3, window=10)
    limit.add(3, 3)
    limit.add(9, 0)
    with pytest.raises(DeadLetterLimitError):
        limit.check(1)
    limit.add(1, 0)
    limit.check(3)
