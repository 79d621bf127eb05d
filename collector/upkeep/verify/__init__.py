"""`meshscribe verify`: whether journal, store, topics, relays and ledger say the same, what lies aside, and whether all that
is written can be read as it was written. Only reads, unless it is asked to repair.

Each check gives findings.
"""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """What a check found of one subject: a proxy, a journal, a relay, a topic. `missing`: how many things are not where they must be."""

    check: str
    subject: str
    missing: int
    said: str

    @property
    def ok(self) -> bool:
        """Nothing is missing."""
        return self.missing == 0


EXAMPLES = 5  # ids that a finding names


def named(ids: list[str]) -> str:
    """Some of them."""
    return ", ".join(ids[:EXAMPLES]) + (f" and {len(ids) - EXAMPLES} more" if len(ids) > EXAMPLES else "")
