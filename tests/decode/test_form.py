"""What a body is: by its bytes, and by its type where these do not tell."""

import gzip

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import DEFAULT, decode
from collector.decode.form import Form, form_of, is_framed, transcoded
from collector.decode.opening import open_body
from tests.decode import transcripts as t

ANY = ("", "application/json", "text/plain", "text/html", "application/octet-stream", "multipart/form-data; boundary=b", "audio/mpeg")


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf", b" " * 5000, b"\r\n\t\xef\xbb\xbf\n"])
@pytest.mark.parametrize("declared", ANY)
@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b'{"a":1}', Form.JSON),
        (b'{\n "a": [\n1]\n}\n', Form.JSON),
        (b'{"a":1}\n', Form.JSON),
        (b'["a"]', Form.JSON),
        (b'"a"', Form.JSON),
        (b'{"a":1}\n{"a":2}', Form.LINES),
        (b"[1]  \r\n\r\n[2]\r\n", Form.LINES),
        (b"data: x\n\n", Form.EVENTS),
        (b"event: x\r\ndata: x\r\n\r\n", Form.EVENTS),
        (b": ping\n\n: ping\n\nid: 1\nretry: 5\ndata:{}\n\n", Form.EVENTS),
    ],
)
def test_the_bytes_decide(prefix, declared, body, form):
    assert form_of(prefix + body, declared) is form


@pytest.mark.parametrize(
    ("body", "declared", "form"),
    [
        (b": ping\n\n", "", Form.EVENTS),
        (b": ping\n\n", "application/json", Form.EVENTS),
        (b": ping\n\n", "text/plain", Form.TEXT),
        (b"event: x", "", Form.EVENTS),
        (b"database: x", "", Form.TEXT),
        (b"", "text/event-stream", Form.EVENTS),
        (b"", "", Form.TEXT),
        (b'{"a":1}', "application/x-ndjson", Form.LINES),
        (b"a=b", "application/x-www-form-urlencoded", Form.FIELDS),
        (b"--b", "multipart/form-data; boundary=b", Form.MULTIPART),
        (b"\0\0\0\0\2ab", "application/grpc", Form.GRPC),
        (b"\0\0\0\0\2ab", "", Form.GRPC),
        (b"\0\0\0\0\3ab", "", Form.UNKNOWN),
        (b"caf\xc3", "", Form.TEXT),
        (b"caf\xe9 au lait", "", Form.UNKNOWN),
        (b"ID3\x04\0", "audio/mpeg", Form.UNKNOWN),
    ],
)
def test_the_type_decides_where_the_bytes_do_not_tell(body, declared, form):
    assert form_of(body, declared) is form


def test_json_before_tensors_is_told_by_a_header():
    assert form_of(b" {}\0\0", "", length_told=True) is Form.TENSORS
    assert form_of(b"data: {}", "", length_told=True) is Form.EVENTS


@given(st.binary(max_size=40), st.text(max_size=20), st.booleans(), st.booleans())
def test_there_is_always_a_judgement(data, declared, told, whole):
    assert isinstance(form_of(data, declared, told), Form)
    transcoded(data, whole)
    is_framed(data)


@pytest.mark.parametrize("body", [b" " * (4 << 20), b": x\n" * (1 << 20), b"\xef\xbb\xbf" * (1 << 20), b'{}"' * (1 << 20), bytes(4 << 20)])
def test_large_bodies_of_nothing_are_judged_in_one_pass(body):
    """What is not one pass ends by the test's timeout."""
    opened = open_body("request", body, True, {"content-encoding": "br, gzip"}, (), DEFAULT)
    assert opened.body.form in Form


PLAIN = t.dumps({"model": "m"})


@pytest.mark.parametrize(
    ("data", "told", "problem"),
    [
        (PLAIN, "", ""),
        (PLAIN, "identity", ""),
        (gzip.compress(PLAIN, mtime=0), "gzip", ""),
        (PLAIN, "none", "content-encoding 'none' is told, the bytes are not encoded so"),
        (PLAIN, "gzip", "content-encoding 'gzip' is told, the bytes are not encoded so"),
        (gzip.compress(PLAIN, mtime=0), "br", "content-encoding 'br' is told, the bytes are in gzip"),
        (gzip.compress(PLAIN, mtime=0), "gzip, gzip", "content-encoding 'gzip' is told, the bytes are not encoded so"),
        (gzip.compress(PLAIN, mtime=0), "utf-8, gzip", "content-encoding 'utf-8' is told, the bytes are not encoded so"),
        (gzip.compress(PLAIN, mtime=0), "", "content-encoding gzip is not told"),
        (gzip.compress(zstandard.compress(PLAIN), mtime=0), "gzip", "content-encoding zstd is not told"),
    ],
)
def test_a_content_encoding_is_believed_as_far_as_the_bytes_bear_it_out(data, told, problem):
    opened = open_body("request", data, True, {"content-encoding": told} if told else {}, (), DEFAULT)
    assert (opened.body.data, opened.body.whole, opened.fault) == (PLAIN, True, None)
    assert list(opened.lies) == ([problem] if problem else [])


def test_a_coding_that_is_not_known_is_a_fault_where_the_bytes_are_not_legible():
    opened = open_body("request", bytes(range(256)), True, {"content-encoding": "dcz"}, (), DEFAULT)
    assert (opened.body.data, opened.fault) == (b"", "content-encoding 'dcz' is not known")


def test_json_in_utf_16_that_was_cut_is_read_as_far_as_it_came():
    body = '{"model":"m","user":"'.encode("utf-16") + "😀".encode("utf-16-le")[:3]
    assert decode(t.exchange(t.CHAT, body, {}, request_whole=False)).inference["model_requested"] == "m"


def test_of_json_with_something_behind_it_the_first_value_is_read():
    decoded = decode(t.exchange(t.CHAT, PLAIN + b"\nand {more", {}))
    assert decoded.inference["model_requested"] == "m"
    assert decoded.problems == ["request body: 10 bytes behind its JSON are not read"]
