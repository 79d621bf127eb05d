"""Who a request's body says is behind it: only what is a person's or a session's name, and only where it is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import decode
from collector.decode.people import PROTOCOLS, find
from collector.messages.captured import Captured
from collector.messages.people import LONGEST
from tests.decode import transcripts as t

MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
CLAUDE, SESSION = f"user_{'0a' * 32}_account_", "123e4567-e89b-12d3-a456-426614174000"
DEVICE = {"device_id": "d1", "account_uuid": "", "session_id": SESSION}


@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        (t.CHAT, {"user": "ann"}, {"user": "ann"}),
        (t.CHAT, {"user": "ann", "safety_identifier": "a1"}, {"user": "a1"}),
        (t.CHAT, {"prompt_cache_key": "k", "metadata": {"user_id": "u"}, "conversation": "c"}, {}),
        (t.CHAT, {"user": ["ann"], "safety_identifier": ""}, {}),
        (t.CHAT, {"user": "x" * (LONGEST + 1)}, {}),
        ("/v1/completions", {"user": "ann"}, {"user": "ann"}),
        ("/v1/embeddings", {"user": "ann", "input": "a"}, {"user": "ann"}),
        ("/v1/images/generations", {"user": "ann", "prompt": "a"}, {"user": "ann"}),
        (RESPONSES, {"conversation": "conv_1", "previous_response_id": "resp_1", "user": "ann"}, {"user": "ann", "session": "conv_1"}),
        (RESPONSES, {"conversation": {"id": "conv_1"}}, {"session": "conv_1"}),
        (RESPONSES, {"previous_response_id": "resp_1", "conversation": {}}, {}),
        (MESSAGES, {"metadata": {"user_id": "ann"}, "user": "bob"}, {"user": "ann"}),
        (MESSAGES, {"metadata": "ann"}, {}),
        (MESSAGES, {"metadata": {"user_id": f"{CLAUDE}_session_{SESSION}"}}, {"user": CLAUDE, "session": SESSION}),
        (t.CHAT, {"user": f"{CLAUDE}_session_{SESSION}"}, {"user": CLAUDE, "session": SESSION}),
        (MESSAGES, {"metadata": {"user_id": json.dumps(DEVICE)}}, {"user": "d1", "session": SESSION}),
        (MESSAGES, {"metadata": {"user_id": json.dumps(DEVICE | {"account_uuid": "a1"})}}, {"user": "a1", "session": SESSION}),
        (MESSAGES, {"metadata": {"user_id": "{not json"}}, {"user": "{not json"}),
        (MESSAGES, {"metadata": {"user_id": "[" * 500}}, {"user": "[" * 500}),
        (MESSAGES, {"metadata": {"user_id": '{"a":' * 99}}, {"user": '{"a":' * 99}),
        (MESSAGES, {"metadata": {"user_id": "ann_session_1"}}, {"user": "ann_session_1"}),
        ("/api/chat", {"user": "ann"}, {}),
    ],
)
def test_what_a_request_says_of_its_user_and_its_session(path: str, asked: dict[str, Any], said: dict[str, str]) -> None:
    captured = t.exchange(path, {"model": "m", "messages": [], **asked}, {})
    assert decode(captured, with_people=True).people == said
    assert decode(captured).people == {}
    assert "ann" not in repr(decode(captured).inference)


@given(st.sampled_from(sorted(PROTOCOLS)), st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.dictionaries(
        st.sampled_from(["user", "safety_identifier", "metadata", "user_id", "conversation", "id"]), inner, max_size=4
    ) | st.lists(inner, max_size=2),
))  # fmt: skip
def test_whatever_stands_there_is_a_short_text_or_nothing(protocol: Any, asked: Any) -> None:
    assert all(isinstance(name, str) and 0 < len(name) <= LONGEST for name in find(protocol, asked).values())


def test_a_form_is_not_read_as_json_for_it() -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n\x89PNG\r\n--b--\r\n'
    headers = [("content-type", "multipart/form-data; boundary=b")]
    captured = Captured("POST", "/v1/images/edits", 200, headers, form, True, t.JSON, [], b'{"data":[]}', True, [], None, None)
    assert decode(captured, with_people=True).problems == decode(captured).problems == []
