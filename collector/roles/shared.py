"""What several roles take from the settings: the correlator's limits, the count of dead letters, relays of the topics."""

from __future__ import annotations

import asyncio

from collector.correlate import Limits
from collector.dead_letters.burials import Burials
from collector.dead_letters.open import open_letters
from collector.dead_letters.sql import SqlDeadLetters
from collector.metrics import DeadLetterMetrics, RelayMetrics
from collector.relays.start import start_relays
from collector.roles.parts import RoleHealth, Starting
from collector.settings import Settings
from collector.tasks import cancel

LOOK_SECONDS, LOOK_TOPIC_SECONDS = 10.0, 300.0


def limits(settings: Settings) -> Limits:
    """What a correlator of this process keeps, and for how long."""
    correlate = settings.correlate
    return Limits(
        expects_tap=correlate.expect != "access_log",
        expects_access_log=correlate.expect != "tap",
        linger_us=microseconds(correlate.linger_seconds),
        idle_us=microseconds(correlate.idle_seconds),
        late_us=microseconds(correlate.late_seconds),
        open_bytes=correlate.open_bytes,
        late_bytes=correlate.late_bytes,
        closed_keys=correlate.closed_keys,
        ledger_us=microseconds(correlate.ledger_seconds),
        skips_probes=not settings.services.probes,
        told_us=microseconds(correlate.told_seconds),
        tap_label=correlate.tap_label,
    )


def microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)


def start_burials(starting: Starting) -> Burials:
    """Also looks now and then at the letters that are there: a topic has to be read as a whole for it."""
    burials, letters = Burials(), open_letters(starting.settings)
    DeadLetterMetrics(starting.registry, burials)
    looking = asyncio.create_task(burials.look(letters, LOOK_SECONDS if isinstance(letters, SqlDeadLetters) else LOOK_TOPIC_SECONDS))
    starting.stack.push_async_callback(letters.close)
    starting.stack.push_async_callback(cancel, looking)
    return burials


def start_own_relays(starting: Starting, health: RoleHealth, metrics: RelayMetrics) -> None:
    """Does nothing in a process that runs none (Settings.runs_relays). Raises SettingsError: files that do not fit."""
    if not starting.settings.runs_relays:
        return
    relays = start_relays(starting.settings, starting.clock, metrics)
    starting.stack.push_async_callback(relays.stop)
    health.parts.append(lambda: list(relays.components()))
