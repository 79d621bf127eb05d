"""The newest entries, in memory, bounded in bytes: a reader that keeps up never touches the file."""

from __future__ import annotations

from collections.abc import Iterable

from collector.messages.access_log import count_entries
from collector.messages.entry import Entry, Kind

OVERHEAD = 512  # of the objects around an entry's payload
LOG_ENTRY = 1024  # of one parsed access log entry, however little of it is set
MAX_ENTRIES = 4096  # that one read returns, however small they are


def weight(kind: Kind, payload: bytes, message: object) -> int:
    """Bytes of memory that an entry takes, roughly: a parsed message is about as large as its payload, and its log entries add to it."""
    if message is None:
        return len(payload) + OVERHEAD
    logged = count_entries(message) if kind is Kind.ACCESS_LOG else 0
    return 2 * len(payload) + logged * LOG_ENTRY + OVERHEAD


class Tail:
    """A window of consecutive positions that moves forward."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: dict[int, Entry] = {}
        self._first = 1
        self._weight = 0
        self._max_bytes = max_bytes

    def extend(self, entries: Iterable[Entry]) -> None:
        """Adds the next entries and drops the oldest ones beyond the bound."""
        for entry in entries:
            if not self._entries:
                self._first = entry.position
            self._entries[entry.position] = entry
            self._weight += weight(entry.kind, entry.payload, entry.message)
        while self._weight > self._max_bytes:
            self._drop_first()

    def forget(self, up_to: int) -> None:
        """Drops the entries with a position ≤ up_to."""
        while self._entries and self._first <= up_to:
            self._drop_first()

    def read(self, after: int, max_bytes: int) -> list[Entry]:
        """As Journal.read, but empty when the position behind `after` is not in the window."""
        found: list[Entry] = []
        size = 0
        entry = self._entries.get(after + 1)
        while entry is not None and len(found) < MAX_ENTRIES:
            size += len(entry.payload)
            if size > max_bytes and found:
                break
            found.append(entry)
            entry = self._entries.get(entry.position + 1)
        return found

    def _drop_first(self) -> None:
        entry = self._entries.pop(self._first)
        self._weight -= weight(entry.kind, entry.payload, entry.message)
        self._first += 1
