"""All relays of a process: started as tasks of their own, stopped after what they had begun, and looked at by /readyz and /metrics.

A SQL store that a relay fills has its index of marks put in order here, since nobody else writes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

from collector.clock import Clock
from collector.dead_letters import DeadLetters
from collector.dead_letters.open import open_letters
from collector.health import Component
from collector.messages.times import timestamp
from collector.metrics import RelayMetrics
from collector.relays.open import Ends, open_relay
from collector.relays.relay import Relay, Status
from collector.settings import Relay as RelaySettings
from collector.settings import Settings
from collector.settings import Sink as SinkSettings
from collector.store.engine import open_engine
from collector.store.merging import Merging
from collector.tasks import cancel

log = logging.getLogger("meshscribe.relay")

STOP_SECONDS = 5.0  # for what was begun; what is cut then is written again at the next start


class Ordering:
    """Of the index of marks of a SQL store that a relay fills."""

    def __init__(self, relay: RelaySettings, clock: Clock) -> None:
        self._engine = open_engine(SinkSettings(url=relay.url, password_file=relay.password_file))
        self._task = asyncio.create_task(Merging(self._engine, clock).run())

    async def stop(self) -> None:
        """A step that was begun is given up: it is a transaction."""
        await cancel(self._task)
        await self._engine.dispose()


class Relays:
    """The running relays. None of them can end the process, and none that fails makes it unready."""

    def __init__(self, letters: DeadLetters, relays: Sequence[tuple[Relay, Ends]], orderings: Sequence[Ordering] = ()) -> None:
        self._letters, self._relays, self._orderings = letters, relays, orderings
        self._tasks = {relay.name: asyncio.create_task(relay.run()) for relay, _ in relays}
        for name, task in self._tasks.items():
            task.add_done_callback(lambda ended, name=name: _look_at(name, ended))  # type: ignore[misc]

    @property
    def statuses(self) -> list[Status]:
        """How each of them fares."""
        return [relay.status for relay, _ in self._relays]

    def components(self) -> Iterator[Component]:
        """For /readyz: always ok, because whoever sends us events is not to be turned away for a relay's target."""
        for status in self.statuses:
            ended = self._tasks[status.name]
            yield Component(f"relay {status.name}", True, "it has ended: see the log" if ended.done() else told(status))

    async def stop(self) -> None:
        """What was begun is finished, in STOP_SECONDS at most."""
        for relay, _ in self._relays:
            relay.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.wait(self._tasks.values())
        for ordering in self._orderings:
            await ordering.stop()
        for _, ends in self._relays:
            await ends.target.close()
            await ends.feed.close()
        await self._letters.close()


Opening = Callable[[DeadLetters, RelayMetrics], tuple[Relay, Ends]]


def start_relays(settings: Settings, clock: Clock, metrics: RelayMetrics, others: Sequence[Opening] = ()) -> Relays:
    """Starts those of the settings' relays that this process runs, and the others. To be called in the event loop.

    Raises SettingsError: files that do not fit.
    """
    letters = open_letters(settings)
    own = settings.relays if settings.runs_relays else []
    made = [open_relay(relay, settings, letters, clock, metrics.meter(relay.name)) for relay in own]
    made += [open_one(letters, metrics) for open_one in others]
    relays = Relays(letters, made, [Ordering(relay, clock) for relay in own if relay.to == "sql"])
    metrics.watch(lambda: relays.statuses)
    return relays


def told(status: Status) -> str:
    """A status in one line."""
    lag = f"{status.lag} positions behind" if status.places else "no place known yet"
    if status.failing is None or status.since_us is None:
        return f"{lag}, {status.written} events written since the start, {status.buried} to the dead letters"
    return f"{lag}; failing since {timestamp(status.since_us)}: {status.failing}"


def _look_at(name: str, ended: asyncio.Task[None]) -> None:
    if not ended.cancelled() and ended.exception() is not None:
        log.error("relay %s has ended by a fault of this program", name, exc_info=ended.exception())
