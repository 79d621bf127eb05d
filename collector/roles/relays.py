"""The relays of the settings, in a role: they read the topics, each in a consumer group of its own, which several processes may share."""

from __future__ import annotations

from collector.metrics import RelayMetrics
from collector.relays.start import start_relays
from collector.roles.parts import RoleHealth, Starting


def start_own_relays(starting: Starting, health: RoleHealth, metrics: RelayMetrics) -> None:
    """Does nothing in a process that runs none (Settings.runs_relays). Raises SettingsError: files that do not fit."""
    if not starting.settings.runs_relays:
        return
    relays = start_relays(starting.settings, starting.clock, metrics)
    starting.stack.push_async_callback(relays.stop)
    health.parts.append(lambda: list(relays.components()))
