"""Errors in the shapes that servers and proxies use."""

import pytest

from collector.decode import Limits, decode
from tests.decode import transcripts as t


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"error": {"message": "bad", "type": "T", "code": 400, "param": "x"}}, {"message": "bad", "type": "T", "code": 400, "param": "x"}),
        ({"error": {"message": "bad", "type": None, "code": None}}, {"message": "bad"}),
        ({"object": "error", "message": "bad", "type": "T", "code": 400}, {"message": "bad", "type": "T", "code": 400}),
        ({"error": "bad"}, {"message": "bad"}),
        ({"detail": "Not Found"}, {"message": "Not Found"}),
        ({"detail": [{"loc": ["body", 1], "msg": "odd"}, "x"]}, {"message": "body.1: odd; x"}),
        ({"message": "bad", "code": 1}, {"message": "bad", "code": 1}),
        ({"error": {"odd": 1}}, {"message": "{'odd': 1}"}),
        (b"upstream connect error or disconnect", {"message": "upstream connect error or disconnect"}),
        (b'"just text"', {"message": "just text"}),
    ],
)
def test_error_bodies(answer, error):
    assert decode(t.exchange(t.CHAT, {"model": "m"}, answer, status=400)).inference["error"] == error


@pytest.mark.parametrize("answer", [b"", b"\x00\xff\x01", b"<html>no</html>", {}, [], b"null"])
def test_no_error_is_made_up(answer):
    captured = t.exchange(t.CHAT, {}, answer, status=502, response_headers=[("content-type", "text/html")])
    assert "error" not in decode(captured).inference
    assert decode(captured).problems == []


def test_a_200_with_an_error_object():
    assert decode(t.exchange(t.CHAT, {}, {"error": {"message": "x"}})).inference["error"] == {"message": "x"}


def test_long_errors_are_cut():
    decoded = decode(t.exchange(t.CHAT, {}, {"error": "x" * 99}, status=500), Limits(error_chars=10))
    assert decoded.inference["error"] == {"message": "x" * 10}


def test_errors_of_calls_that_no_protocol_claims():
    assert decode(t.exchange("/somewhere", {}, {"detail": "Not Found"}, status=404)).inference["error"] == {"message": "Not Found"}
    grpc = t.exchange("/x.Y/Z", b"", b"", response_headers=[("content-type", "application/grpc"), ("grpc-status", "12")])
    assert decode(grpc).inference["error"] == {"code": 12, "type": "UNIMPLEMENTED"}
