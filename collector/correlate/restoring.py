"""Reads a checkpoint back: the state as today's version would have it, whichever version of the same format made it."""

from __future__ import annotations

from itertools import chain

import msgspec
from msgspec import Struct

from collector.correlate.prints import printed
from collector.correlate.state import FORMAT, Snapshot
from collector.errors import DamagedError
from collector.messages.queries import without_query_secrets


class _Marked(Struct):
    """What every checkpoint has, whatever version made it."""

    format: int


def read_snapshot(state: bytes) -> Snapshot:
    """A checkpoint's content. Raises DamagedError if it cannot be read."""
    try:
        made = msgspec.msgpack.decode(state, type=_Marked).format
        if made != FORMAT:
            remedy = (
                "run the version that made it again. To go on with this one, begin a new journal (another journal.path, or"
                " kafka.raw_topic): what the old one holds and is not stored stays in it"
            )
            raise DamagedError(f"it has format {made}, this version reads {FORMAT}: {remedy}")
        saved = msgspec.msgpack.decode(state, type=Snapshot)
    except msgspec.DecodeError as error:
        raise DamagedError(f"it cannot be read: {error}") from error
    _tell_as_today(saved)
    return saved


def _tell_as_today(saved: Snapshot) -> None:
    """Hides in the paths of access log entries the secrets that are hidden today: an entry that comes again is known by its path.

    Of a path that is a hash in a print nothing can be told: such an entry that comes again is another exchange.
    """
    for closed in saved.remembered:
        if closed.log is not None:
            caller, path, duration, status, asked, answered = closed.log
            closed.log = (caller, printed(without_query_secrets(path)), duration, status, asked, answered)
    for one in chain(saved.open, (closed.kept for closed in saved.remembered)):
        if one is not None and one.access_log is not None:
            one.access_log.path = without_query_secrets(one.access_log.path)
