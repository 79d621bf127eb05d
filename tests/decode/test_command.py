"""What `meshscribe decode` prints, and what it says of files that it cannot use."""

import pytest

from collector.decode.command import decode_files
from tests.decode import transcripts as t


def test_the_object_that_is_printed():
    body = t.sse([*t.words("a", "b"), t.final(t.tokens(1, 2))])
    printed = decode_files(
        method="post",
        path=t.CHAT,
        status=200,
        request_headers=b'[["Content-Type","application/json"]]',
        request_body=t.dumps(t.ASKED),
        response_headers=b'[["Content-Type","text/event-stream"]]',
        response_body=body,
        chunks=t.dumps([[0, len(body), 0.5]]),
    )
    assert list(printed) == ["inference", "usage", "timing"]
    assert printed["inference"]["choices"] == [{"index": 0, "text": "ab"}]
    assert printed["timing"]["first_token_ms"] == 500.0


def test_problems_are_printed():
    assert decode_files(method="POST", path=t.CHAT, request_body=b"{")["problems"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"request_headers": b"{"}, "request headers: not JSON"),
        ({"request_headers": b"{}"}, "request headers: expected a JSON array, not dict"),
        ({"response_headers": b'[["a"]]'}, r"response headers: entry 0 is not \[name, value\] with two strings"),
        ({"response_trailers": b'[["a","b"],["a",1]]'}, "response trailers: entry 1"),
        ({"chunks": b"[[0,1]]"}, "chunks: entry 0"),
        ({"chunks": b"[[0,1,0],[-1,1,0]]"}, "chunks: entry 1"),
        ({"chunks": b"[[0,1,true]]"}, "chunks: entry 0"),
        ({"chunks": b"[[0,1,Infinity]]"}, "chunks: entry 0"),
        ({"chunks": b"[[0,1.5,1]]"}, "chunks: entry 0"),
    ],
)
def test_files_of_another_form_are_refused(files, message):
    with pytest.raises(ValueError, match=message):
        decode_files(method="GET", path="/", **files)
