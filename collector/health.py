"""What the process knows of its own state: one component each for what must work, asked by the audit listener's /readyz.

A `Health` answers from memory and at once: it does no I/O, so that a probe never waits for the part that hangs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Component(NamedTuple):
    """A part that must work. `detail` is a sentence for people: what is wrong, or a figure that says how it goes."""

    name: str
    ok: bool
    detail: str = ""


class Health(Protocol):
    """The state of the process."""

    def components(self) -> Sequence[Component]:
        """Every part, in the order of the data. The process is ready when all are ok."""
        ...
