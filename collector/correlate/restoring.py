"""Makes a checkpoint of the correlator's state, and reads it back: as today's version would have it, whichever version of the same format
made it.
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

import msgspec
from msgspec import Struct

from collector.correlate.answers import Answers
from collector.correlate.ledger import Ledger
from collector.correlate.memory import Memory
from collector.correlate.nodes import Nodes
from collector.correlate.openings import Openings
from collector.correlate.prints import printed
from collector.correlate.received import Received
from collector.correlate.state import FORMAT, Snapshot
from collector.errors import DamagedError
from collector.messages.queries import without_query_secrets


class Parts(NamedTuple):
    """What has a state of its own."""

    received: Received
    nodes: Nodes
    ledger: Ledger
    openings: Openings
    memory: Memory
    answers: Answers


def checkpoint(now: int, of: Parts) -> bytes:
    """The whole state at this time (msgpack)."""
    remembered, forgetting, twins = of.memory.snapshot()
    known, tapped = of.nodes.snapshot()
    vms, open_ = of.ledger.vms, of.openings
    may_be_retold, retold = of.answers.retold.snapshot()
    return msgspec.msgpack.encode(
        Snapshot(
            FORMAT, now, open_.serial, of.ledger.start_us, nodes=known, tapped=tapped,
            vms=list(vms.known.items()), forgotten_vms=list(vms.forgotten),
            open=list(open_.all.values()), lingering=list(open_.lingering),
            remembered=remembered, forgetting=forgetting, twins=twins, ledger=list(of.ledger.open.items()),
            received=of.received.snapshot(), answers=of.answers.snapshot(), passed=of.answers.passed.snapshot(),
            before=of.answers.before.snapshot(), may_be_retold=may_be_retold, retold=retold,
        )
    )  # fmt: skip


def take_up(state: bytes, into: Parts) -> int:
    """Continues from a checkpoint: the time in it. Raises DamagedError if it cannot be read."""
    saved = read_snapshot(state)
    into.received.restore(saved.now, *saved.received)
    into.nodes.restore(saved.nodes, saved.tapped)
    into.ledger.restore(saved.window_start, saved.ledger, saved.vms, saved.forgotten_vms)
    into.openings.restore(saved.serial, saved.open, saved.lingering)
    into.memory.restore(saved.remembered, saved.forgetting, saved.twins)
    into.answers.restore(saved.answers)
    into.answers.passed.restore(saved.passed)
    into.answers.before.restore(saved.before)
    into.answers.retold.restore(saved.may_be_retold, saved.retold)
    return saved.now


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
