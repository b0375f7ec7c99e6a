"""A catalog store of which a test decides what it knows, when it is down and what it refuses."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.api_keys import KeyRecord
from gateway.errors import UnavailableError
from gateway.ports import CatalogChange, CatalogImage, FeatureRecord, Made, PlanRecord

SECRET = "am_sk_test_" + "s" * 40


class ScriptedStore:
    """Answers what a test put in, and counts what it was asked."""

    def __init__(self, *features: FeatureRecord, plans: tuple[PlanRecord, ...] = ()) -> None:
        digest = hashlib.sha256(SECRET.encode()).hexdigest()
        self.image = CatalogImage(
            1, list(features), list(plans), [KeyRecord("key_1", "sandbox", digest)]
        )
        self.asked = 0
        self.loaded = 0
        self.is_down = False
        self.refusals = 0
        self.meanwhile: Callable[[], None] = self.lower_precision
        self.tried = 0
        self.written: list[object] = []

    def change(self, **parts: Any) -> None:  # noqa: ANN401 - fields of the image
        self.image = self.image._replace(revision=self.image.revision + 1, **parts)

    async def revision(self) -> int:
        self.asked += 1
        if self.is_down:
            raise UnavailableError
        return self.image.revision

    async def load(self) -> CatalogImage:
        return await self.load_as(lambda image: image)

    async def load_as(self, make: Callable[[CatalogImage], Made]) -> Made:
        self.loaded += 1
        return make(self.image)

    async def apply(self, change: CatalogChange) -> bool:
        self.tried += 1
        refuses = await asyncio.to_thread(self._refuses)  # whoever else writes gets a turn
        if refuses or change.revision != self.image.revision:
            return False
        self.written.append(change)
        gone = {old_id for old_id, _ in change.features} | {
            feature_id for _, feature_id in change.deleted_features
        }
        features = [each for each in self.image.features if each.id not in gone]
        replaced = {each.id: each for each in change.replaced_plans}
        self.change(
            features=features + [record for _, record in change.features],
            clock_offset_ms=change.clock_offset_ms or self.image.clock_offset_ms,
            plans=[*(replaced.get(each.id, each) for each in self.image.plans), *change.plans],
        )
        return True

    async def use_feature(self, feature: FeatureRecord) -> bool:
        self.written.append((feature.env, feature.id, feature.precision))
        return not self._refuses()

    def _refuses(self) -> bool:
        """Refuse as often as the test says; each time something has changed in between."""
        if not self.refusals:
            return False
        self.refusals -= 1
        self.meanwhile()
        return True

    def lower_precision(self) -> None:
        self.change(
            features=[msgspec.structs.replace(each, precision=3) for each in self.image.features]
        )
