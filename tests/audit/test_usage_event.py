"""The usage event in the events of an exchange: not stored, made again from the record."""

from __future__ import annotations

import json

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from collector.audit.moments import when
from collector.messages.event import USAGE_TYPE, Place
from collector.sinks.sqlite import SqliteSink
from tests.audit.conftest import Api
from tests.audit.rows import JOURNAL, Store
from tests.support.outputs import chats, outputs


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    """Written to by the sink itself."""
    return sqlite_store


async def test_it_is_the_one_that_a_billing_job_gets(api: Api) -> None:
    """Equal to what the pipeline makes for a sink that takes it, and behind the bodies as there."""
    made = outputs(chats(1))[0].events
    billed = made[-1]
    sink = SqliteSink(api.store.path)
    await sink.write(JOURNAL, outputs(chats(1), with_usage=False), Place(1000, 0))
    await sink.close()
    batch = (await api.get(f"/v1/exchanges/{made[0].id}/events")).json()
    assert [event["type"] for event in batch] == [event.type for event in made]
    usage = JSONFormat().read(CloudEvent, json.dumps(batch[-1]))
    assert (usage.get_type(), usage.get_id(), usage.get_source()) == (USAGE_TYPE, billed.id, billed.source)
    assert (usage.get_subject(), usage.get_time()) == (billed.subject, when(billed.time_us))
    assert usage.get_data() == json.loads(billed.data)
    assert {name: usage.get_extension(name) for name in billed.extensions} == billed.extensions
