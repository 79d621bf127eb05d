"""The list of all metrics, by subject: name, kind, unit, labels, meaning, what to do, which roles expose it. Nothing else makes metrics.

docs/metrics.md is made from it (python -m tests.support.metrics_page).
"""

from __future__ import annotations

from types import ModuleType

from collector.metrics.listed import answering, losses, receiving, relaying, storing, watching
from collector.metrics.metric import Listed


def _of(module: ModuleType) -> tuple[Listed, ...]:
    """In the order in which the module lists them."""
    return tuple(one for one in vars(module).values() if isinstance(one, Listed))


SECTIONS: dict[str, tuple[Listed, ...]] = {
    "Receiving": _of(receiving),
    "From the journal to the store": _of(storing),
    "The ledger": _of(losses),
    "Relays and retention": _of(relaying),
    "The audit API": _of(answering),
    "Services": _of(watching),
}
ALL: tuple[Listed, ...] = tuple(one for section in SECTIONS.values() for one in section)
