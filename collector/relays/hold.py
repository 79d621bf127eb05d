"""Keeps retention from days that a relay has not copied yet: for `sink.relay_grace_days` more, then they go all the same, and it is told.

Asked before each look of retention. What a relay has copied is read from where it keeps its place; a place that cannot be asked for now
counts as none. Relays that read topics hold nothing here: the topics' own retention is theirs.
"""

from __future__ import annotations

import logging

from collector.errors import RetryableError
from collector.messages.event import Place
from collector.relays.open import wanted
from collector.relays.reached import look
from collector.relays.sql_feed import SqlFeed
from collector.settings import Relay as RelaySettings
from collector.settings import Settings
from collector.sinks.protocol import BEGINNING
from collector.store.engine import open_engine
from collector.store.partitions import day_of

log = logging.getLogger("meshscribe.retention")


class RelayHold:
    """`held`: by relay, how many days its backlog reaches back beyond what is to be kept, as of the last look; for metrics."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._relays = [] if settings.sinks_in_kafka else list(settings.relays)
        self.held = {relay.name: 0 for relay in self._relays}

    async def first_kept(self, before: int) -> int:
        """The day (since 1970-01-01, UTC) up to which may be deleted; `before` if no relay is that far behind. Raises RetryableError."""
        last = before - self._settings.sink.relay_grace_days
        first = before
        for relay in self._relays:
            day = await self._oldest(relay, before)
            self.held[relay.name] = before - day
            if day < last:
                log.error("relay %s has not copied what is %d days too old: it is deleted uncopied", relay.name, before - day)
            elif day < before:
                log.warning("relay %s has not copied what is %d days too old: it is kept for now", relay.name, before - day)
            first = min(first, day)
        return max(first, last)

    async def _oldest(self, relay: RelaySettings, before: int) -> int:
        """The oldest day of which the relay has not copied all; `before` if that is none older."""
        feed = SqlFeed(open_engine(self._settings.sink), wanted(relay), 1, 1)
        try:
            places = await self._places(relay)
            found = [await feed.first_behind(journal, places.get(journal, BEGINNING), before) for journal in await feed.journals()]
        finally:
            await feed.close()
        return min((day_of(identity) for identity in found if identity is not None), default=before)

    async def _places(self, relay: RelaySettings) -> dict[str, Place]:
        try:
            return {reached.journal: reached.place for reached in await look(relay, self._settings)}
        except RetryableError as error:
            log.warning("relay %s: how far it is cannot be asked: nothing of its backlog is deleted: %s", relay.name, error)
            return {}
