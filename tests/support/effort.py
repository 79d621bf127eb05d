"""How hard property tests try. Profiles of Hypothesis: `full` by default, `quick` for `make check` (--hypothesis-profile=quick).

Neither has a deadline, or minds slow inputs: a test that fails because the machine was busy tells nothing.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

FULL = 100
settings.register_profile("full", max_examples=FULL, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("full")


def examples(number: int) -> int:
    """So many in the full profile, in others in proportion."""
    return max(1, number * settings.default.max_examples // FULL)
