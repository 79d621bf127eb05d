"""A store as a collector leaves it: what its own sink wrote of real outputs, and records with a text in every place where one can be."""

from __future__ import annotations

import asyncio
from pathlib import Path

from collector.clock import SystemClock
from collector.messages.event import Place
from collector.settings import Sink
from collector.sinks.open import open_sink
from collector.store.migrate import migrate
from tests.audit.rows import MINUTE, NOW, Store, away, exchange, payload, window
from tests.audit.whole_records import ANSWER, PATH, PROMPT, whole
from tests.support import outputs
from tests.support.chains import chain
from tests.support.chains import outputs as hops


def lived_in(path: Path) -> Store:
    """The file, migrated: chats, a call over four proxies, two namespaces of whole records with a revision, bodies, a ledger."""
    migrate(f"sqlite:///{path}")
    asyncio.run(_written(path))
    store = Store(path)
    for at, namespace in enumerate(("shop", "bank")):
        row = whole(exchange(NOW - at * MINUTE, namespace, namespace=namespace, path=PATH, node=f"node-{namespace}"))
        late = whole(exchange(NOW - at * MINUTE, namespace, 1, namespace=namespace, path=PATH, node=f"node-{namespace}", status=None))
        store.exchanges({**row, "superseded": True}, late)
        store.payloads(payload(row, "request", PROMPT), payload(late, "response", ANSWER))
        store.usage(NOW, calls=1, output=5, namespace=namespace, service="llama", model="llama-3")
        store.ledger(window(NOW - at * MINUTE, f"node-{namespace}", {"queue_full": 2}, received=1, missing=at))
    store.exchanges(exchange(NOW - 2 * MINUTE, "hit", namespace="shop", data=b"\x00 no record"))
    store.ledger(away(NOW, NOW + MINUTE), {**window(NOW - 3 * MINUTE, "node-shop", received=1), "data": b"\x00 no window"})
    return store


async def _written(path: Path) -> None:
    sink = open_sink(Sink(url=f"sqlite:///{path}"), SystemClock())
    for journal, written in (("chats", outputs.outputs(outputs.chats(12))), ("hops", hops(chain()))):
        await sink.write(journal, written, max((output.place for output in written), default=Place(0, 0)))
    await sink.close()
