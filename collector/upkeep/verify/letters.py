"""Dead letters: what they hold is missing from where it belongs, until somebody sends them again or drops them."""

from __future__ import annotations

from collector.dead_letters import DeadLetters
from collector.messages.times import timestamp
from collector.upkeep.verify import Finding

CHECK = "dead letters"


async def letters(kept: DeadLetters) -> list[Finding]:
    """One finding for each origin that gave something up; one that says that there are none, else. Raises RetryableError."""
    heaps = await kept.heaps()
    found = [
        Finding(CHECK, heap.origin, heap.number, f"the newest of {timestamp(heap.newest_us)}: {heap.reason} (meshscribe dead-letters list)")
        for heap in heaps
    ]
    return found or [Finding(CHECK, "all", 0, "none")]
