"""What aiokafka says when something fails: its errors as ours, in one place, and its log kept readable in an outage."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiokafka.errors import InvalidTimestampError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from collector.errors import MeshscribeError, PermanentError, RetryableError
from collector.settings import Kafka

AWAY = (KafkaError, OSError)  # what aiokafka raises where brokers are gone, busy or refuse; TimeoutError is an OSError
NEVER = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError)  # a record that no broker will ever take
EVERY_SECONDS = 60.0


@contextmanager
def translated(settings: Kafka, whose: str = "") -> Iterator[None]:
    """Whatever aiokafka raises within comes out as our error; what is no matter of Kafka's comes out as it is. `whose`: see `meaning`."""
    try:
        yield
    except BaseException as error:
        raised = meaning(error, settings, whose)
        if raised is None:
            raise
        raise raised from error


def meaning(error: BaseException, settings: Kafka, whose: str = "") -> RetryableError | PermanentError | None:
    """What an error means to the caller; None if it is no matter of Kafka's, or one of ours. `whose`: how the sentence begins."""
    if isinstance(error, MeshscribeError):
        return None
    brokers = f"{whose}Kafka at {settings.bootstrap_servers}"
    if isinstance(error, NEVER):
        return PermanentError(f"{brokers} refuses a record for ever: {said(error)}")
    if isinstance(error, TimeoutError) and not error.args:  # that of asyncio.timeout; the system's has a number
        return RetryableError(f"{brokers} did not finish within {settings.timeout_seconds:g} s")
    return RetryableError(f"{brokers}: {said(error)}") if isinstance(error, AWAY) or _is_asserted(error) else None


def said(error: BaseException) -> str:
    """An error and its cause in a line, each with its name once, and without the brokers, whom the sentence has named already."""
    name, text = type(error).__name__, str(error)
    if isinstance(error, KafkaError):
        text = text.partition(" from [")[0]  # its text has its name; "Unable to bootstrap from" all brokers, as tuples
    elif text:
        text = f"{name}: {text}"
    text = text or name
    return f"{text} ({said(error.__cause__)})" if error.__cause__ is not None else text


def _is_asserted(error: BaseException) -> bool:
    """Whether aiokafka found itself in a wrong state, which it asserts: a new client is in a good one."""
    if not isinstance(error, AssertionError) or error.__traceback__ is None:
        return False
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals["__name__"]).startswith("aiokafka.")


class Repeats(logging.Filter):
    """Lets a message (by its template and place in the code) through once in `EVERY_SECONDS`, with the count of those left out."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._told: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key, now = (record.pathname, record.lineno), self._now()
        last, left_out = self._told.get(key, (None, 0))
        if last is not None and now - last < EVERY_SECONDS:
            self._told[key] = (last, left_out + 1)
            return False
        self._told[key] = (now, 0)
        if last is not None and left_out:
            record.msg, record.args = f"{record.getMessage()} ({left_out} more such lines in the last {now - last:.0f} s)", ()
        return True


def quieten() -> None:
    """Filters what aiokafka's loggers say, once however often it is called."""
    import aiokafka.admin  # the loggers must be there

    assert aiokafka.admin
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if not isinstance(logger, logging.Logger) or name.partition(".")[0] != "aiokafka":
            continue
        if not any(isinstance(known, Repeats) for known in logger.filters):
            logger.addFilter(Repeats())


def silence() -> None:
    """For a command: aiokafka's log says nothing, because what fails is told once, by us."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
