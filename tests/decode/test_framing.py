"""NDJSON, gRPC frames and status, protobuf wire, multipart, and JSON that was cut."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import DEFAULT, Limits, ndjson
from collector.decode.grpc import failure, frames, messages, web_trailers
from collector.decode.json_text import NotJSONError, complete_part, loads
from collector.decode.multipart import parts
from collector.decode.wire import MalformedError, fields, packed_varints
from tests.decode import transcripts as t


def test_ndjson_lines_with_blanks_and_an_open_end():
    assert list(ndjson.events(b'{"a":1}\r\n\n{"b":2}', 10)) == [(b"", b'{"a":1}', 9), (b"", b'{"b":2}', 17)]
    assert [text for _, text, _ in ndjson.events(b'{"a":1}\n{"b":', 10)] == [b'{"a":1}']


def test_grpc_frames_as_far_as_they_came():
    body = t.grpc(b"one", b"two")
    assert [(flags, bytes(payload), end) for flags, payload, end in frames(body[:-1], 9)] == [(0, b"one", 8)]


def test_compressed_grpc_messages_are_unpacked():
    body = t.grpc(b"one", flag=1) + t.grpc(b"two")
    assert [bytes(message) for message, _ in messages(body, "gzip", DEFAULT, [])] == [b"one", b"two"]


def test_a_grpc_bomb_is_stopped():
    problems = []
    body = t.grpc(bytes(40 << 20), flag=1)
    assert list(messages(body, "gzip", DEFAULT, problems)) == [] or problems
    assert "the rest is not read" in problems[0]


def test_many_grpc_messages_stay_within_the_bound():
    problems = []
    body = t.grpc(*[bytes(90_000)] * 20, flag=1)
    kept = list(messages(body, "gzip", Limits(decoded_bytes=1_000_000, ratio=10_000), problems))
    assert len(kept) == 11
    assert "more than 1000000 bytes" in problems[0]


def test_a_compressed_grpc_message_without_its_encoding_is_a_problem():
    problems = []
    assert list(messages(t.grpc(b"one", flag=1), "", DEFAULT, problems)) == []
    assert problems


def test_grpc_status_and_percent_encoded_message():
    error = failure([("grpc-status", "5"), ("grpc-message", "model %22x%22 not found%E2%80%A6")])
    assert error == {"code": 5, "type": "NOT_FOUND", "message": 'model "x" not found…'}
    assert failure([("grpc-status", "0")]) is None
    assert failure([], []) is None


def test_a_grpc_status_that_is_no_number_is_unknown():
    assert failure([("grpc-status", "abc")]) == {"code": 2, "type": "UNKNOWN"}
    assert failure([("grpc-status", "99")]) == {"code": 99, "type": "UNKNOWN"}


def test_grpc_web_trailers_are_in_the_body():
    trailer = b"grpc-status: 3\r\ngrpc-message: bad\r\n"
    body = t.grpc(b"x") + b"\x80" + len(trailer).to_bytes(4, "big") + trailer
    assert ("grpc-status", "3") in web_trailers(body, 9)
    assert [bytes(message) for message, _ in messages(body, "", DEFAULT, [])] == [b"x"]


def test_wire_fields_of_every_type():
    message = t.member(1, 300) + t.member(2, b"abc") + b"\x1d\x01\x00\x00\x00" + b"\x21" + bytes(7) + b"\x80"
    found = [(number, bytes(value) if isinstance(value, memoryview) else value) for number, _, value in fields(memoryview(message))]
    assert found == [(1, 300), (2, b"abc"), (3, 1), (4, 1 << 63)]


@pytest.mark.parametrize("message", [b"\x0a\x05ab", b"\x0b", b"\x08", b"\xff" * 11, b"\x08" + b"\x80" * 10])
def test_wire_bytes_that_are_no_message(message):
    with pytest.raises(MalformedError):
        list(fields(memoryview(message)))


def test_packed_numbers_are_signed_and_bounded():
    data = memoryview(t.varint(-1) + t.varint(7) * 9)
    assert packed_varints(data, 3) == [-1, 7, 7]


FORM = (
    b'preamble\r\n--x y\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--x y\r\nContent-Disposition: form-data; name="file"; filename="a \\"b\\".wav"\r\nContent-Type: audio/wav\r\n\r\n'
)


def test_multipart_tells_names_and_sizes_and_holds_no_file():
    model, file = parts(FORM + b"\r\n--x \x00\xff--\r\n--x y--\r\n", 'multipart/form-data; boundary="x y"', DEFAULT)
    assert (model.name, model.value, model.size) == ("model", "whisper-1", 9)
    assert (file.name, file.filename, file.content_type, file.size, file.value) == ("file", 'a \\"b\\".wav', "audio/wav", 10, None)


def test_the_size_of_a_part_that_was_cut_is_not_known():
    assert [part.size for part in parts(FORM + b"abc", 'multipart/form-data; boundary="x y"', DEFAULT)] == [9, None]


def test_a_form_without_a_boundary_or_with_too_many_parts():
    assert parts(FORM, "multipart/form-data", DEFAULT) == []
    many = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 100
    assert len(parts(many, "multipart/form-data; boundary=b", DEFAULT)) == DEFAULT.parts


def test_json_with_a_byte_order_mark_nan_and_lone_surrogates():
    assert loads(b'\xef\xbb\xbf{"a":1}') == {"a": 1}
    assert str(loads(b'{"a":[NaN,-Infinity]}')) == "{'a': [nan, -inf]}"
    assert loads(rb'{"a":"x\ud83dy","b":"\ud83d\ude00"}') == {"a": "x\ufffdy", "b": "😀"}


@pytest.mark.parametrize("text", [b"", b"{", b"nope", b"\xff", b"[" * 100_000, b"NaN[" * 100, b"[NaN," * 100_000])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(NotJSONError):
        loads(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def is_part_of(part, whole):
    """Whether `part` is `whole` with elements missing at its end."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_part_of(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(is_part_of(*pair) for pair in zip(part, whole, strict=False))
    return part == whole


@given(st.dictionaries(st.text(max_size=3), json_values, min_size=1, max_size=4), st.data())
def test_cut_json_gives_only_what_came_whole(value, draw):
    text = json.dumps(value).encode()
    cut = text[: draw.draw(st.integers(1, len(text)))]
    assert is_part_of(json.loads(complete_part(cut)), value)


def test_cut_json_keeps_all_members_before_the_cut():
    assert json.loads(complete_part(b'{"a":"}],{","b":[1,{"c":2},3')) == {"a": "}],{", "b": [1, {"c": 2}]}
    assert complete_part(b"12") == b""
    assert complete_part(b'"abc') == b""


def test_gzip_encoded_request_bodies_are_read():
    captured = t.exchange(t.CHAT, gzip.compress(t.dumps({"model": "llama"})), {}, request_headers=[*t.JSON, ("content-encoding", "gzip")])
    from collector.decode import decode

    assert decode(captured).inference["model_requested"] == "llama"


def test_a_grpc_frame_that_says_it_is_very_long_is_not_there():
    assert list(frames(b"\0\x01\0\0\x01ab", 9)) == []


def test_multipart_without_an_end_is_read_once():
    body = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name="c"\r\n\r\n2'
    assert [(part.name, part.size) for part in parts(body, "multipart/form-data; boundary=b", DEFAULT)] == [("a", 1), ("c", None)]
