"""Whatever bytes come, both receivers answer with a refusal of the caller and go on."""

from __future__ import annotations

import grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.receive.conftest import Ingest, batch, log_message
from tests.support.effort import examples

LIVE = settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """Good bytes with a piece replaced, removed or put in: closer to what parsers believe than random ones."""
    places = st.integers(0, len(good))
    return st.builds(lambda at, length, put: good[:at] + put + good[at + length :], places, st.integers(0, 8), st.binary(max_size=8))


@given(
    st.one_of(st.binary(max_size=300), damaged(batch(size=40))),
    st.sampled_from(["identity", "gzip", "zstd", "br"]),
)
@LIVE
async def test_any_body_is_answered_and_harms_nobody(ingest: Ingest, body: bytes, coding: str) -> None:
    before = ingest.journal.last_position
    answer = await ingest.post(body, content_encoding=coding)
    assert answer.status_code in (200, 400, 413, 415)
    assert ingest.journal.last_position == before + (answer.status_code == 200)
    assert (await ingest.post(batch())).status_code == 200


@given(st.one_of(st.binary(max_size=400), damaged(b"POST /v1/tap HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n12345")))
@LIVE
async def test_any_connection_is_answered_and_harms_nobody(ingest: Ingest, request_bytes: bytes) -> None:
    answer = await ingest.raw(request_bytes)
    assert answer == b"" or answer[:10] == b"HTTP/1.1 4"
    assert (await ingest.post(batch())).status_code == 200


@given(st.lists(st.one_of(st.binary(max_size=300), damaged(log_message(entries=2, size=10)), st.just(log_message())), max_size=4))
@LIVE
async def test_any_stream_gets_a_status_and_harms_nobody(ingest: Ingest, messages: list[bytes]) -> None:
    assert await ingest.send_logs(messages) in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
    assert await ingest.send_logs([log_message()]) == grpc.StatusCode.OK
