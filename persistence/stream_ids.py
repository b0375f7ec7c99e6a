"""Stream ids as ``gateway.stream_ids`` has them, under the name the modules here know."""

from __future__ import annotations

from gateway.stream_ids import BEGINNING, place

__all__ = ["BEGINNING", "place"]
