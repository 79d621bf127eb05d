"""The correlator's limits from the settings."""

from __future__ import annotations

from collector.correlate import Limits
from collector.settings import Settings


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
