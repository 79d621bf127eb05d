"""The shortcut through token streams never reads what a parser would not."""

import json

from hypothesis import given
from hypothesis import strategies as st

from collector.decode import decode
from collector.decode.template import learn
from tests.decode import transcripts as t

PATH = ("choices", 0, "delta", "content")


def taught(event):
    data = t.dumps(event)
    return learn(data, json.loads(data), PATH)


def test_the_piece_between_the_ends_is_read():
    template = taught(t.delta({"content": "abc"}))
    assert template.match(t.dumps(t.delta({"content": "déf"}))) == "déf"


def test_another_event_does_not_match():
    template = taught(t.delta({"content": "abc"}))
    for other in (t.delta({"content": "x"}, index=1), t.delta({"content": "x"}, finish="stop"), t.delta({"content": ""}), t.final(None)):
        assert template.match(t.dumps(other)) is None


def test_bytes_that_a_parser_refuses_or_reads_otherwise_do_not_match():
    template = taught(t.delta({"content": "abc"}))
    whole = t.dumps(t.delta({"content": "@"}))
    for piece in (b"\xff", b"\\n", b'","content":"x', b"a\x01b", b"\xed\xa0\x80"):
        assert template.match(whole.replace(b"@", piece)) is None


def test_a_key_that_appears_twice_or_inside_a_string_teaches_nothing_wrong():
    tricky = {'a"content': "abc", "choices": [{"index": 0, "delta": {"content": "abc"}}]}
    template = taught(tricky)
    assert template is None or template.match(t.dumps(tricky)) == "abc"
    doubled = b'{"choices":[{"delta":{"content":"abc","content":"abc"}}]}'
    assert learn(doubled, json.loads(doubled), PATH) is None


def test_the_spaces_of_pythons_json_are_no_hindrance():
    data = json.dumps(t.delta({"content": "abc"})).encode()
    assert learn(data, json.loads(data), PATH).match(data) == "abc"


pieces = st.text(max_size=6) | st.sampled_from(['"', "\\", "\n", "\u2028", "\x7f", '","content":"', "probe"])


@given(st.lists(st.tuples(st.integers(0, 1), pieces), max_size=30), st.booleans(), st.booleans())
def test_a_stream_reads_the_same_with_and_without_it(told, spaced, escaped):
    separators = (", ", ": ") if spaced else (",", ":")
    events = [json.dumps(t.delta({"content": piece}, index), separators=separators, ensure_ascii=escaped) for index, piece in told]
    choices = decode(t.streamed(events, asked=t.ASKED | {"n": 2})).inference.get("choices", [])
    expected = {index: "".join(piece for at, piece in told if at == index) for index in {at for at, _ in told}}
    assert {choice["index"]: choice["text"] for choice in choices} == expected
