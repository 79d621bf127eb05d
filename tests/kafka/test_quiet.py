"""aiokafka's log in an outage."""

from __future__ import annotations

import logging

import pytest

from collector.kafka.quiet import EVERY_SECONDS, Repeats, quieten


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told(clock: Clock) -> logging.Logger:
    logger = logging.Logger("a client")
    logger.addFilter(Repeats(clock))
    logger.addHandler(logging.NullHandler())
    return logger


def test_a_line_that_repeats_is_told_once_a_minute_with_the_count_of_the_others(
    told: logging.Logger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(told, "callHandlers", lambda record: lines.append(record.getMessage()))
    for second in range(130):
        clock.now = second
        told.error("no connection to %s", second)
    assert lines == [
        "no connection to 0",
        f"no connection to 60 (59 more such lines in the last {EVERY_SECONDS:.0f} s)",
        f"no connection to 120 (59 more such lines in the last {EVERY_SECONDS:.0f} s)",
    ]


def test_lines_from_different_places_do_not_hide_each_other(told: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(told, "callHandlers", lambda record: lines.append(record.getMessage()))
    told.error("one")
    told.error("other")
    assert lines == ["one", "other"]


def test_every_logger_of_the_client_gets_one_filter_however_often_it_is_asked() -> None:
    quieten()
    quieten()
    import aiokafka.producer.sender as sender

    assert sum(isinstance(one, Repeats) for one in sender.log.filters) == 1
