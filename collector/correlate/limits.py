"""What bounds the correlator, and what comes out of it."""

from __future__ import annotations

from typing import NamedTuple

from collector.messages.event import Place
from collector.messages.exchange import Exchange, Fault, LedgerWindow


class Limits(NamedTuple):
    """The correlator's settings; times in µs, sizes in bytes (settings.Correlate explains them)."""

    expects_tap: bool = True
    expects_access_log: bool = True
    linger_us: int = 10_000_000
    idle_us: int = 300_000_000
    late_us: int = 900_000_000
    open_bytes: int = 512 << 20
    late_bytes: int = 64 << 20
    closed_keys: int = 200_000
    ledger_us: int = 60_000_000
    skips_probes: bool = True
    told_us: int = 300_000_000
    tap_label: str = ""  # `name=value`: a tap is expected of pods that carry it, and of proxies that sent batches; empty: of all
    step: int = 256  # parts, log entries or outputs after which `steps` lets others have the loop
    vms_kept: int = 50_000


class Closed(NamedTuple):
    """One output of the correlator."""

    place: Place
    item: Exchange | LedgerWindow | Fault
