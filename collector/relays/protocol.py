"""What a relay is made of: a feed that it reads in order, and a target (sinks/protocol.py) that it writes to.

tests/conformance/test_relay.py runs on every pair.
A relay holds one batch in memory and nothing else: a target that is dead for a week costs no memory, and holds up nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from collector.errors import PermanentError, RetryableError
from collector.messages.event import Output, Place


class Damaged(NamedTuple):
    """Something in the feed that is no event, or of which none can be made."""

    place: Place
    data: bytes
    reason: str


class Read(NamedTuple):
    """What is behind a place: outputs in order, and the place up to which there is nothing else."""

    outputs: Sequence[Output]
    place: Place
    damaged: Sequence[Damaged] = ()


class Poison(NamedTuple):
    """What a target refuses for ever: the output with only those of its events that were refused."""

    output: Output
    reason: str


class PoisonError(PermanentError):
    """Everything was written but these, and the place."""

    def __init__(self, poisons: Sequence[Poison]) -> None:
        super().__init__("; ".join(poison.reason for poison in poisons[:3]))
        self.poisons = poisons


class LaterError(RetryableError):
    """The target says when to come again: after `seconds`."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class Feed(Protocol):
    """The events that a sink holds, per journal in the order of their places, without gaps.

    `generation` changes when journals may have been with another process in between: then what is known of their places is of no use.
    """

    generation: int

    async def journals(self) -> Sequence[str]:
        """The journals whose events are to be read here. Raises RetryableError."""
        ...

    async def high(self, journal: str) -> Place:
        """The last place that could be read now. Raises RetryableError."""
        ...

    async def read(self, journal: str, after: Place) -> Read:
        """What is behind `after`, about one batch of it. Its place is `after` if there is nothing now. Raises RetryableError."""
        ...

    async def close(self) -> None:
        """Gives up the connections."""
        ...
