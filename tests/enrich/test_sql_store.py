"""The SQL store of versions, beyond what tests/conformance/test_version_store.py asks of every store."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from collector.enrich.sql import OVERLAP_US, SqlVersionStore
from collector.errors import RetryableError
from collector.store.migrate import migrate
from collector.store.schema import service_versions
from tests.enrich.versions import version
from tests.support.clocks import Sleeping


class Turned(Sleeping):
    now = 10 * OVERLAP_US

    def now_us(self) -> int:
        return self.now

    def monotonic_us(self) -> int:
        return self.now


async def test_news_looks_back_for_rows_whose_transaction_ended_late_and_no_further(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path}/events.db")
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/events.db")
    slow, quick = Turned(), Turned()
    reader, writer = SqlVersionStore(engine, service_versions, quick), SqlVersionStore(engine, service_versions, slow)
    await writer.save([version(1, 1)])
    await reader.load()
    quick.now += OVERLAP_US + 1
    assert [one.resource_version for one in await reader.news()] == ["1"]
    slow.now += 2
    await writer.save([version(2, 2)])
    assert [one.resource_version for one in await reader.news()] == ["2"]
    await engine.dispose()


async def test_a_store_without_tables_is_retryable(tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/events.db")
    store = SqlVersionStore(engine, service_versions, Turned())
    for attempt in (store.load(), store.save([version(1, 1)]), store.prune(0, 1)):
        with pytest.raises(RetryableError):
            await attempt
    await engine.dispose()
