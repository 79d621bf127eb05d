"""When an answer's chunks came is told with its event: for answers of several chunks, without lengths where something is hidden."""

from __future__ import annotations

from typing import Any

from collector.messages.chunk_times import EXTENSION, unpack
from collector.messages.event import REQUEST_TYPE, RESPONSE_TYPE
from collector.settings import Settings
from tests.decode import transcripts as t
from tests.describe.telling import described
from tests.support.witnesses import Told

SECRET = "sk-0123456789abcdef"


def extensions(settings: Settings, *pieces: bytes) -> dict[str, Any]:
    """By the event's type, what it tells of chunks."""
    told = Told(1, path=t.CHAT, request=t.dumps(t.ASKED), response=pieces)
    return {event.type: event.extensions.get(EXTENSION) for event in described(settings, told)}


def chunks_of(*words: str) -> list[bytes]:
    return [event + b"\n\n" for event in t.sse(t.words(*words)).split(b"\n\n") if event]


def test_an_answer_of_several_chunks_tells_when_each_came_and_how_long_it_was() -> None:
    pieces = chunks_of("Os", "lo")
    found = extensions(Settings(), *pieces)
    assert [length for _, length, _ in unpack(found[RESPONSE_TYPE])] == [len(piece) for piece in pieces]
    assert found[REQUEST_TYPE] is None


def test_an_answer_of_one_chunk_tells_nothing_more() -> None:
    assert extensions(Settings(), b"".join(chunks_of("Os", "lo")))[RESPONSE_TYPE] is None


def test_where_something_is_hidden_lengths_do_not_tell_of_it() -> None:
    pieces = chunks_of("it is ", SECRET)
    hiding = Settings.model_validate({"redaction": {"patterns": ["sk-[0-9a-f]{16}"]}})
    times = unpack(extensions(hiding, *pieces)[RESPONSE_TYPE])
    assert len(times) == len(pieces)
    assert {(offset, length) for offset, length, _ in times} == {(None, None)}
