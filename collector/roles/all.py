"""Role all with a journal of its own: one process that does it all. The composition root of this role.

What can be taken is taken: the journal and the ingest listeners come first, and stay while the store is away, at the start too. All that
stands behind the journal (behind.py) is loaded and started after them, and is not missed by those who send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from collector.clock_steps import Steps
from collector.health import Component
from collector.journal.sqlite import SqliteJournal, journal_component, open_journal
from collector.metrics import AdmissionMetrics, JournalMetrics, SinkMetrics
from collector.receive.admission import Admission
from collector.receive.shares import Progress, Shares, share_key
from collector.roles.away import Presence
from collector.roles.ingest import start_ingest
from collector.roles.parts import Addresses, Running, Starting, start_steps
from collector.roles.phase import Phase

if TYPE_CHECKING:
    from collector.roles.behind import Behind

NOT_YET = Progress(0, 0, away=True)


async def start(starting: Starting) -> Running:
    """Returns when every part has started; it listens long before."""
    settings, clock = starting.settings, starting.clock
    journal = await open_journal(settings.journal, clock, settings.ingest.max_waiting_bytes)
    starting.stack.push_async_callback(journal.close)
    JournalMetrics(starting.registry, journal)
    state = State(journal, starting.phase, start_steps(starting))
    SinkMetrics(starting.registry, lambda: state.sink_failing)
    state.admission = await _admission(starting, state)
    presence = Presence(journal, clock, settings.journal.path)
    starting.sources.push_async_callback(presence.stop)
    await presence.start()
    tap_address, log_address = await start_ingest(starting, state.admission)
    starting.sources.callback(presence.leave)
    await asyncio.to_thread(import_module, "collector.roles.probes")
    from collector.roles.probes import start_front

    front = await start_front(starting, state)
    await asyncio.to_thread(import_module, "collector.roles.behind")
    from collector.roles import behind

    state.behind = await behind.start(starting, journal, state, front, state.wait_for)
    return Running(state.behind.task, Addresses(tap_address, log_address, front.address))


class State:
    """What the listeners, the gate before the journal and /readyz ask of the parts, which come one after the other."""

    def __init__(self, journal: SqliteJournal, phase: Phase, steps: Steps) -> None:
        self.journal, self._phase, self._steps = journal, phase, steps
        self.admission: Admission | None = None
        self.behind: Behind | None = None
        self._waits_for = ""

    def wait_for(self, why: str) -> None:
        """Why the store cannot be used, before the pipeline has begun; empty: it can."""
        self._waits_for = why

    @property
    def sink_failing(self) -> str | None:
        """Why the sink takes nothing now."""
        return self.behind.failing if self.behind is not None else self._waits_for or None

    def progress(self) -> Progress:
        """How far what was received is processed."""
        return NOT_YET if self.behind is None else self.behind.progress()

    def components(self) -> Sequence[Component]:
        """See health.Health."""
        behind = self._starting() if self.behind is None else self.behind.components()
        return (
            self._phase.ingest("" if self.admission is None else str(self.admission.offenders)),
            self._journal(),
            *behind,
        )

    def _starting(self) -> Sequence[Component]:
        starting = Component("pipeline", False, "starting")
        return (starting, Component("sink", False, self._waits_for)) if self._waits_for else (starting,)

    def _journal(self) -> Component:
        found = journal_component(self.journal, self.admission.full.reason if self.admission is not None else None)
        told = self._steps.told(self.journal.ahead_us)
        return found._replace(detail=f"{found.detail}; {told}") if told else found


async def _admission(starting: Starting, state: State) -> Admission:
    """The gate before the journal. It knows whose entries there are."""
    journal = state.journal
    shares = Shares(journal.quota_bytes, starting.settings.ingest.max_waiting_bytes)
    shares.restore([(position, share_key(sender, source, ""), size) for position, source, sender, size in await journal.holdings()])
    return Admission(journal, shares, lambda: journal.kept_bytes, state.progress, AdmissionMetrics(starting.registry))
