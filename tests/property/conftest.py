"""How many examples a property gets: ``HYPOTHESIS_PROFILE=full`` before a release, else few.

Examples of the small profile are the same in every run, so a red pipeline is red for its change;
finding what is new is the work of the full one.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "base", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "ci", settings.get_profile("base"), max_examples=100, stateful_step_count=30, derandomize=True
)
settings.register_profile(
    "full", settings.get_profile("base"), max_examples=2000, stateful_step_count=50
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
