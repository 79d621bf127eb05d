"""Whatever the protocol, the place, the encoding and the cuts: a secret that a rule names is in no byte of what is told."""

import gzip
import json
import random
import re
import zlib
from itertools import pairwise

import brotli
import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from collector.decode import DEFAULT
from collector.decode.decoder import joined
from collector.decode.form import FIELDS, TEXT
from collector.decode.opening import open_body
from collector.redact import Rules
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS
from tests.decode.test_properties import FUZZ_BYTES, NAMES, SMALL, check, mutated
from tests.redact.concealing import conceal

SECRET = "sk-0123456789abcdef"
RULES = Rules(patterns=[r"sk-[0-9a-f]{16}"])
PACK = {"": bytes, "gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress, "deflate": zlib.compress}


def leaks(found):
    told = [found.request.data, found.response.data, orjson.dumps(structs.asdict(found.decoded))]
    return [part for part in told if SECRET.encode() in part]


def text_of(found):
    """All that one can put together of the answer's texts, in the stored stream."""
    events = [line[6:] for line in found.response.data.split(b"\n") if line.startswith(b"data: {")]
    return "".join(json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events if b"delta" in event)


@given(
    st.text(max_size=9), st.text(max_size=9), st.lists(st.integers(0, 40), max_size=12), st.sampled_from(sorted(PACK)),
    st.lists(st.integers(1, 90), min_size=1, max_size=9), st.booleans(),
)  # fmt: skip
def test_a_secret_in_a_stream_is_nowhere_however_it_was_cut(before, behind, cuts, coding, lengths, whole):
    said = f"{before}{SECRET}{behind}"
    ends = [0, *sorted(min(cut, len(said)) for cut in cuts), len(said)]
    pieces = [said[start:stop] for start, stop in pairwise(ends)]
    captured = t.streamed([*t.words(*pieces), t.final(t.tokens(1, 2))], response_whole=whole)
    if coding:
        captured = t.encoded(captured, coding, PACK[coding])
    found = conceal(t.chunked(captured, lengths), RULES, (False, False))
    assert not leaks(found)
    assert found.response.redacted == "part"
    assert SECRET not in text_of(found)
    assert found.decoded.inference["choices"][0]["text"] == RULES.patterns.sub(said)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([SECRET, f"a {SECRET}", f"{SECRET}é"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.just(SECRET) | st.just("content"), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.sampled_from(NAMES), json_values, st.lists(json_values, max_size=5), st.booleans(), st.booleans())
def test_a_secret_anywhere_in_json_is_nowhere_in_what_is_told(name, asked, answers, streamed, whole):
    body = t.sse(answers) if streamed else t.dumps(answers)
    kind = t.SSE if streamed else t.JSON
    captured = t.exchange(CORPUS[name].path, t.dumps(asked), body, response_headers=kind, response_whole=whole)
    assert not leaks(conceal(captured, RULES, (False, False)))


@pytest.mark.slow
@pytest.mark.timeout(max(300, FUZZ_BYTES // 20_000))
def test_a_secret_put_into_a_transcript_is_nowhere_whatever_else_goes_wrong_with_it():
    """A tenth of the decoder's fuzz. The secret takes the place of a text, or stands anywhere."""
    chance, done = random.Random(FUZZ_BYTES), 0
    while done < FUZZ_BYTES // 10:
        captured = CORPUS[chance.choice(NAMES)]
        bodies = [mutated(with_secret(body, chance), chance) for body in (captured.request_body, captured.response_body)]
        lies = structs.replace(
            captured,
            request_body=bodies[0],
            response_body=bodies[1],
            request_whole=chance.random() < 0.7,
            response_whole=chance.random() < 0.7,
        )
        found = conceal(lies, RULES, (False, False), *([SMALL] if chance.random() < 0.3 else []))
        assert not leaks(found), (lies, found)
        check(found.decoded)
        done += len(bodies[0]) + len(bodies[1])


EVERYTHING = Rules(paths=["..*"])
VALUE = re.compile(rb"\"[^\"\\\\\r\n]*" + SECRET.encode() + rb"[^\"\\\\\r\n]*\"(?!\s*:)")  # not a name
KINDS = ("", "text/plain", "application/json", "text/event-stream", "application/x-ndjson", "application/octet-stream", "application/grpc")


@pytest.mark.timeout(max(300, FUZZ_BYTES // 20_000))
def test_a_path_that_names_everything_leaves_nothing_that_decoding_finds_in_json_or_a_stream():
    """Whatever the decoder can find a text in, the rules have seen. Only a plain text has nothing that a path could name."""
    chance, done = random.Random(FUZZ_BYTES + 1), 0
    while done < FUZZ_BYTES // 20:
        captured = CORPUS[chance.choice(NAMES)]
        bodies = [mutated(with_secret(body, chance), chance) for body in (captured.request_body, captured.response_body)]
        headers = [(*block, ("content-type", chance.choice(KINDS))) for block in (captured.request_headers, captured.response_headers)]
        if chance.random() < 0.3:
            headers = [captured.request_headers, captured.response_headers]
        lies = structs.replace(
            captured, request_headers=headers[0], response_headers=headers[1], request_body=bodies[0], response_body=bodies[1]
        )
        found = conceal(lies, EVERYTHING, (False, False))
        forms = [open_body("", data, True, joined(block), (), DEFAULT).body.form for data, block in zip(bodies, headers, strict=True)]
        for kept, form in zip(found[:2], forms, strict=True):
            assert form in (TEXT, FIELDS) or not VALUE.search(kept.data), (lies, found)
        assert {TEXT, FIELDS}.intersection(forms) or SECRET.encode() not in orjson.dumps(found.decoded.inference), (lies, found)
        done += len(bodies[0]) + len(bodies[1])


def with_secret(body, chance):
    texts = [word for word in (b"Hello", b"Hel", b"there", b"Oslo", b"hi", b"iris") if word in body]
    if texts and chance.random() < 0.7:
        return body.replace(chance.choice(texts), SECRET.encode())
    at = chance.randrange(len(body) + 1)
    return body[:at] + SECRET.encode() + body[at:]
