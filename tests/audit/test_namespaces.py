"""Which namespaces Kubernetes is asked about."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.access.subject_access import KnownNamespaces
from collector.errors import RetryableError
from tests.audit.rows import MINUTE, NOW, Store, exchange
from tests.support.clocks import TurnedClock


async def test_namespaces_are_those_of_exchanges_and_of_services(store: Store) -> None:
    store.exchanges(*(exchange(NOW - number * MINUTE, namespace=name) for number, name in enumerate(["shop", None, "lab", "shop", "bank"])))
    engine, clock = store.opened(), TurnedClock()
    found = KnownNamespaces(engine, lambda: ["serving", "lab"], clock)
    assert await found() == ["bank", "lab", "serving", "shop"]
    store.exchanges(exchange(NOW - 9 * MINUTE, namespace="new"))
    assert "new" not in await found()
    clock.now += 10_000_000
    assert "new" in await found()
    await engine.dispose()


async def test_a_store_that_does_not_answer_is_no_empty_list(tmp_path: Path) -> None:
    store = Store(tmp_path / "events.db")
    store.drop()
    engine = store.opened()
    with pytest.raises(RetryableError):
        await KnownNamespaces(engine, list, TurnedClock())()
    await engine.dispose()
