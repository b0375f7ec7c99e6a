"""Every bench runs, tiny, so that none rots; its figures mean nothing here."""

from __future__ import annotations

import pytest

from bench.__main__ import BENCHES


@pytest.mark.parametrize("name", sorted(BENCHES))
async def test_bench_runs(name: str) -> None:
    result = await BENCHES[name](True)
    assert f"answers {result.answers}" in result.table()
