"""Whatever decoding can find a text in, the rules have seen: in any form, encoding and type, true or not, cut anywhere, of no body is
anything stored that rules hide; neither is it logged.
"""

from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.messages.event import EXCHANGE_TYPE
from collector.settings import Settings
from tests.decode import transcripts as t
from tests.describe.carriers import CARRIERS, CODINGS, PACK, PREFIXES, TYPES, Headers, readable
from tests.describe.telling import described, record
from tests.support.effort import examples
from tests.support.witnesses import Told

SECRET = "zebra-0123456789abcdef"
PATHS = ["..user", "..content", "..message"]
RULES = {
    "paths": Settings(redaction={"paths": PATHS}),
    "patterns": Settings(redaction={"patterns": ["zebra-[0-9a-f]{16}"]}),
    "both": Settings(redaction={"paths": PATHS, "patterns": ["zebra-[0-9a-f]{16}"]}),
}
cases = st.tuples(
    st.sampled_from(sorted(CARRIERS)),
    st.lists(st.integers(1, 21), max_size=5),  # where the text is cut into events
    st.sampled_from(PREFIXES),
    st.sampled_from(sorted(PACK)),
    st.none() | st.sampled_from(CODINGS),  # none: what is true
    st.none() | st.sampled_from(TYPES),
)


def built(case: tuple[str, list[int], bytes, str, str | None, str | None], secret: str = SECRET) -> tuple[bytes, str, Headers]:
    """Body, path, and headers that may lie."""
    name, cuts, prefix, coding, told, declared = case
    body, kind, path, headers = CARRIERS[name](secret, cuts)
    body = PACK[coding](prefix + body)
    true = {"raw deflate": "deflate", "twice": "zstd, gzip"}.get(coding, coding)
    told = true if told is None else told
    named = [("content-type", kind if declared is None else declared), ("content-encoding", told)]
    return body, path, [*named, *headers]


def sent(headers: Headers) -> Headers:
    return [pair for pair in headers if pair[1]]


def is_nowhere(events: object) -> None:
    for text in readable(events):  # type: ignore[arg-type]
        assert SECRET.encode() not in text


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=examples(1000))
@given(case=cases, rules=st.sampled_from(sorted(RULES)), side=st.booleans(), share=st.just(1.0) | st.floats(0, 1), status=st.booleans(),
       lengths=st.lists(st.integers(1, 90), min_size=1, max_size=5), lost=st.sampled_from((0, 0, 0, 1)))  # fmt: skip
def test_what_rules_hide_is_stored_and_logged_nowhere(
    caplog: pytest.LogCaptureFixture,
    case: tuple[str, list[int], bytes, str, str | None, str | None],
    rules: str,
    side: bool,
    share: float,
    status: bool,
    lengths: list[int],
    lost: int,
) -> None:
    body, path, headers = built(case)
    body = body[: int(len(body) * share)] if share < 1 else body
    caplog.set_level(logging.DEBUG)
    if side:
        told = Told(1, path=path, request=body, response=(b"{}",), status=200 if status else 400)
        events = described(RULES[rules], told, asked=[("content-type", headers[0][1]), *sent(headers[1:])])
    else:
        chunks, at = [], 0
        while at < len(body):
            chunks.append(body[at : at + lengths[len(chunks) % len(lengths)]])
            at += len(chunks[-1])
        told = Told(1, path=path, request=b'{"model":"m"}', response=tuple(chunks), status=200 if status else 400)
        events = described(RULES[rules], told, answered=sent(headers) or [("x", "y")], pieces=2, lost=min(lost, len(chunks)))
    assert events[0].type == EXCHANGE_TYPE
    is_nowhere(events)
    assert SECRET not in caplog.text


@pytest.mark.parametrize("rules", sorted(RULES))
@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_wrong_byte_in_a_wide_coding_hides_nothing_from_the_rules(coding: str, mark: bool, rules: str) -> None:
    text = f'{{"model": "m", "user": "{SECRET}", "n": 1}}'
    data = ("\ufeff" * mark + text).encode(coding)
    for body in (data[:-1], data[:-3], data[: len(data) // 2 - 1], data + b"\0", _unpaired(data, coding)):
        told = Told(1, path=t.CHAT, request=b'{"model":"m"}', response=(body,), status=400)
        is_nowhere(described(RULES[rules], told, answered=[("content-type", "application/json")]))
        is_nowhere(described(RULES[rules], Told(1, path=t.CHAT, request=body), asked=[("content-type", "application/json")]))


def _unpaired(data: bytes, coding: str) -> bytes:
    """With half of a pair in place of the number behind the secret."""
    half = "\ud83d".encode(coding, "surrogatepass")
    at = data.rindex("1".encode(coding))
    return data[:at] + half + data[at + len(half) :]


@pytest.mark.parametrize("rules", sorted(RULES))
@pytest.mark.parametrize("name", sorted(CARRIERS))
def test_each_form_is_found_by_the_search_of_this_test_without_rules(name: str, rules: str) -> None:
    """The search proves something: without rules it finds the text, and with them it does not."""
    body, path, headers = built((name, [5, 9], b"", "gzip", None, None))
    told = Told(1, path=path, request=body)
    events = described(Settings(), told, asked=headers)
    assert any(SECRET.encode() in text for text in readable(events))
    is_nowhere(described(RULES[rules], told, asked=headers))


@pytest.mark.parametrize("name", ["json", "utf-16", "json and a rest", "ndjson", "stream", "stream with long events", "answer", "error"])
def test_what_is_written_anew_is_not_withheld(name: str) -> None:
    prefix = b"" if name == "utf-16" else b"\n"
    body, path, headers = built((name, [5, 9], prefix, "gzip", None, "text/plain"))
    told = record(described(RULES["both"], Told(1, path=path, request=body), asked=headers))
    assert told["request"]["body"]["redacted"] == "part"


def test_a_plain_text_is_kept_if_it_names_nothing() -> None:
    told = Told(1, path=t.CHAT, request=b"no healthy upstream")
    assert "redacted" not in record(described(RULES["both"], told, asked=[("content-type", "text/plain")]))["request"]["body"]
