"""The receivers: they check size and shape of what proxies send, and append the bytes as they came. Next stop: the journal."""

from __future__ import annotations

from typing import Protocol

from collector.messages.entry import Kind


class Appender(Protocol):
    """The part of the journal that receivers use."""

    async def append(self, kind: Kind, source: str, payload: bytes, message: object = None, *, sender: str = "") -> int:
        """Returns the position after the entry is durable. Holds nothing of it when it raises JournalFullError or RetryableError.

        `sender`: SPIFFE id of who sent it, as the mesh vouches for it.
        """
        ...
