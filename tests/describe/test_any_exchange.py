"""Whatever an exchange holds, the stages and the store give one output, and at most one fault."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.correlate import Closed
from collector.dead_letters.burials import Burials
from collector.enrich.catalogue import Catalogue
from collector.messages.event import EXCHANGE_TYPE, Place
from collector.messages.exchange import AccessLog, Body, Exchange, Key, Node, Tap
from collector.messages.headers import pack
from collector.pipeline.isolation import IsolatingSink
from collector.pipeline.meaning import ExchangeMeaning
from collector.pipeline.stages import Stages
from collector.settings import Settings
from collector.settings import Sink as SinkSettings
from collector.sinks.kafka import records
from collector.sinks.open import open_sink
from collector.store.migrate import migrate
from tests.support.clocks import TurnedClock
from tests.support.record_fields import faults
from tests.support.relays import Letters

EDGES = [0, 1, 99, 100, 999, 1000, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1]
counts = st.sampled_from(EDGES) | st.integers(0, 2**64 - 1)
times = st.sampled_from([n * sign for n in [*EDGES, 253_402_300_800_000_000, 2**63 * 10**6] for sign in (1, -1)]) | st.integers()
texts = st.text(max_size=30) | st.sampled_from(["\0", "\ufffd", "a" * 5000, "spiffe://x/\0"])
latin = st.text(st.characters(max_codepoint=255), max_size=30)
ODD_NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-0.0",
    "9" * 26,
    str(2**64),
    str(-(2**63) - 1),
    '"\\ud800"',
    "null",
    "1e-999",
    "{}",
]
names = st.sampled_from([
    "id", "model", "choices", "index", "message", "content", "usage", "prompt_tokens", "total_tokens", "inputs", "outputs", "shape", "name",
    "datatype", "data", "error", "code", "message", "instances", "predictions", "parameters", "binary_data_size", "stream", "tool_calls",
    "function", "arguments", "delta", "text", "results", "\\ud800", "", "finish_reason", "type", "output_index", "content_block", "raw",
])  # fmt: skip
leaves = st.sampled_from(ODD_NUMBERS) | st.integers().map(str) | st.floats().map(repr) | texts.map(json.dumps) | st.just('"FP32"')
hostile = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(names, inner), max_size=6).map(lambda items: "{" + ",".join(f'"{n}":{v}' for n, v in items) + "}")
    ),
    max_leaves=25,
)
nested = st.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)
events = st.lists(hostile, max_size=5).map(lambda items: "".join(f"data: {item}\n\n" for item in items))
grpc = st.lists(st.binary(max_size=60), max_size=3).map(lambda found: b"".join(b"\0" + len(m).to_bytes(4, "big") + m for m in found))
contents = (hostile | nested | events).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=200) | grpc
PATHS = [
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages", "/v1/models/m:predict",
    "/v2/models/m/infer", "/v2/models/m/generate_stream", "/inference.GRPCInferenceService/ModelInfer", "/generate", "/v1/rerank",
    "/inference.GRPCInferenceService/ModelStreamInfer", "/v1/audio/transcriptions", "/v1/images/generations", "/x",
]  # fmt: skip
TYPES = [
    "application/json",
    "text/event-stream",
    "application/grpc",
    "application/x-ndjson",
    "text/plain",
    "multipart/form-data; boundary=x",
]


@st.composite
def blocks(draw: st.DrawFn, answer: bool) -> bytes | None:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.none() | st.binary(max_size=40))
    first = [(":status", draw(st.sampled_from(["200", "503", "9" * 26, "9" * 5000, "", "x"])))] if answer else []
    head = first or [(":method", "POST"), (":path", draw(st.sampled_from(PATHS) | latin))]
    coding = draw(st.sampled_from([(), (("content-encoding", "gzip"),), (("inference-header-content-length", "9" * 11),)]))
    more = draw(st.lists(st.tuples(latin, latin), max_size=3))
    return pack([*head, ("content-type", draw(st.sampled_from(TYPES))), *coding, *more])


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    data = draw(contents)
    gaps = draw(st.lists(st.tuples(counts, counts), max_size=2))
    chunks = draw(st.lists(st.tuples(counts, counts, counts), max_size=4))
    return Body(data, draw(st.none() | counts), gaps, draw(st.booleans()), chunks)


@st.composite
def taps(draw: st.DrawFn) -> Tap:
    return Tap(
        draw(texts), draw(counts), draw(st.integers(0, 9)), draw(texts), draw(bodies()), draw(bodies()),
        request_headers=draw(blocks(False)), response_headers=draw(blocks(True)), response_trailers=draw(st.none() | blocks(True)),
        ended=draw(st.booleans()), end_us=draw(st.none() | counts), request_complete=draw(st.booleans()),
        response_complete=draw(st.booleans()), flags=draw(counts), code=draw(counts), caller_address=draw(texts),
    )  # fmt: skip


@st.composite
def logs(draw: st.DrawFn) -> AccessLog:
    headers = st.dictionaries(latin, texts, max_size=3)
    return AccessLog(
        draw(texts), draw(texts), draw(texts), draw(texts), draw(texts), draw(counts), draw(counts), draw(counts), draw(texts),
        *(draw(st.none() | times) for _ in range(4)), draw(counts), draw(counts), draw(texts), draw(texts), draw(texts), draw(texts),
        draw(counts), draw(texts), draw(texts), draw(texts), draw(texts), draw(headers), draw(headers), draw(headers),
    )  # fmt: skip


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    tap, log = draw(st.none() | taps()), draw(st.none() | logs())
    labels = draw(st.dictionaries(texts, texts, max_size=2))
    node = Node(draw(texts), namespace=draw(texts), workload=draw(texts), labels=labels)
    key = Key(node.id, draw(st.binary(max_size=20)), draw(times), draw(st.integers(0, 2**31)))
    revision, complete = draw(st.integers(0, 2**15 - 1)), draw(st.integers(0, 4095))
    return Exchange(key, revision, node, complete, tap, log, draw(st.integers(0, 2**62)), draw(st.lists(texts, max_size=1)))


def _meaning(**chosen: Any) -> ExchangeMeaning:
    return ExchangeMeaning.of(Settings.model_validate(chosen), Catalogue())


PLAIN = _meaning()
HIDING = _meaning(redaction={"paths": ["id", "**.content"], "patterns": ["sk-[0-9a-f]{16}"]})


class Store:
    """One file for all examples, each at a place of its own."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder}/e.db"
        migrate(url)
        self.letters, self.burials, self.position = Letters(), Burials(), 0
        self.sink = IsolatingSink(open_sink(SinkSettings(url=url), TurnedClock()), self.letters, TurnedClock(), self.burials)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path)
    yield made
    await made.sink.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(exchange=exchanges(), meaning=st.sampled_from([PLAIN, HIDING]))
async def test_any_exchange_is_one_output_and_at_most_one_letter(store: Store, exchange: Exchange, meaning: ExchangeMeaning) -> None:
    store.position += 1
    place, before = Place(store.position, 0), len(store.letters.held)
    (output,) = Stages(meaning, True).outputs([Closed(place, exchange)])
    assert output.place == place
    for event in output.events:
        if event.datacontenttype == "application/json" and event.type.startswith("meshscribe."):
            data = orjson.loads(event.data)
            assert event.type != EXCHANGE_TYPE or faults(data) == []
    list(records(Settings().kafka, "j", [output]))
    await store.sink.write("j", [output], place)
    assert len(store.letters.held) - before == (output.fault is not None)
    assert output.fault is None, output.fault
