"""What a run came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.neighbour import Case


@dataclass
class Figures:
    """`messages` = posts that were answered and access log messages that the collector says it read. Seconds are of the wall clock."""

    seed: int = 0
    posts: Counter[int] = field(default_factory=Counter)  # by status
    logs: int = 0
    streams: Counter[int] = field(default_factory=Counter)  # by gRPC status
    bytes: int = 0
    seconds: float = 0.0  # of fuzzing, restarts included
    away: float = 0.0  # of them while the collector was being started again
    restarts: Counter[str] = field(default_factory=Counter)
    readyz: Counter[int] = field(default_factory=Counter)
    slowest_readyz: float = 0.0
    peak_bytes: int = 0
    neighbours: int = 0
    disturbed: int = 0
    delays: list[float] = field(default_factory=list)  # from acknowledged to visible, of the undisturbed, in order of size

    @property
    def answered(self) -> int:
        """Posts."""
        return self.posts.total() - self.posts[0]

    @property
    def messages(self) -> int:
        return self.answered + self.logs

    def count(self, cases: Iterable[Case]) -> None:
        """Takes in how the neighbour fared."""
        told = list(cases)
        self.neighbours, self.disturbed = len(told), sum(case.disturbed for case in told)
        self.delays = sorted(case.seen - case.acknowledged for case in told if case.seen and not case.disturbed)

    def delay(self, share: float) -> float:
        """So many of the delays are at most this."""
        return self.delays[min(int(len(self.delays) * share), len(self.delays) - 1)] if self.delays else 0.0

    def summary(self) -> dict[str, Any]:
        within = sum(delay <= 2.0 for delay in self.delays)
        active = self.seconds - self.away
        return {
            "seed": self.seed,
            "messages": self.messages,
            "posts": dict(sorted(self.posts.items())),
            "log_messages": self.logs,
            "streams": dict(sorted(self.streams.items())),
            "mb_sent": round(self.bytes / 1e6, 1),
            "seconds": round(self.seconds, 1),
            "seconds_away": round(self.away, 1),
            "messages_per_second": round(self.messages / active) if active > 0 else 0,
            "restarts": dict(self.restarts),
            "readyz": dict(self.readyz),
            "slowest_readyz_s": round(self.slowest_readyz, 2),
            "peak_mib": self.peak_bytes >> 20,
            "neighbour": self.neighbours,
            "neighbour_disturbed": self.disturbed,
            "visible_p50_s": round(self.delay(0.5), 3),
            "visible_p99_s": round(self.delay(0.99), 3),
            "visible_max_s": round(self.delay(1.0), 3),
            "visible_within_2_s": f"{within} of {len(self.delays)}",
        }
