"""Estimated tokens: off by default, by the first tokenizer that fits the model, and never in place of what was told."""

import pytest
from msgspec import structs
from tokenizers import Tokenizer as Made
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from collector.decode import decode
from collector.errors import SettingsError
from collector.pipeline.tokenizers import open_estimator
from collector.settings import Tokenizer
from tests.decode import transcripts as t

ENDED = t.delta({}, finish="stop")


def estimated(value):
    return {"value": value, "provenance": "estimated"}


def words(model, text):
    return len(text.split())


@pytest.fixture
def file(tmp_path):
    made = Made(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_a_tokenizer_file_counts_the_tokens_of_its_models_and_of_no_others(file):
    estimator = open_estimator([Tokenizer(models="llama*", file=file), Tokenizer(models="gpt-*", bytes_per_token=4)])
    assert estimator("llama-3", "two words") == 2
    assert estimator("gpt-4", "nine char") == 3
    assert estimator("other", "two words") is None


def test_a_tokenizer_that_cannot_be_opened_is_told_at_start(tmp_path):
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(SettingsError, match=r"usage\.tokenizers\.0\.file"):
        open_estimator([Tokenizer(file=tmp_path / "t.json")])


def test_without_tokenizers_there_is_no_estimator():
    assert open_estimator([]) is None


def test_a_stream_of_a_server_that_tells_nothing():
    usage = decode(t.streamed([*t.words("a b", " c"), ENDED]), estimator=words).usage
    assert usage == {"completion_tokens": estimated(3), "prompt_tokens": estimated(1)}


def test_reasoning_and_tool_calls_were_generated_too():
    pieces = [t.delta({"reasoning_content": "let me see "}), t.delta(t.tool(0, " {} ", "c", "weather")), ENDED]
    assert decode(t.streamed(pieces), estimator=words).usage["completion_tokens"] == estimated(5)


@pytest.mark.parametrize("asked", [
    {"model": "m", "messages": [{"role": "user", "content": "a b"}, {"role": "user", "content": [{"type": "text", "text": "c"}]}]},
    {"model": "m", "prompt": ["a", "b c"]},
    {"model": "m", "input": "a b c"},
    {"model": "m", "system": "a", "messages": [{"content": "b c"}]},
    {"inputs": "a b c"},
])  # fmt: skip
def test_the_prompt_is_the_texts_of_the_request(asked):
    usage = decode(t.exchange(t.CHAT, asked, {"choices": [{"message": {"content": "x"}}]}), estimator=words).usage
    assert usage["prompt_tokens"] == estimated(3)


def test_of_a_stream_that_was_broken_off_what_was_delivered_is_estimated_beside_what_was_told():
    pieces = [t.delta({"content": "a b "}, usage=t.tokens(1, 5)), t.delta({"content": "c"}, usage=t.tokens(1, 9))]
    usage = decode(t.streamed(pieces, done=False, response_whole=False), estimator=words).usage
    assert usage["completion_tokens"] == {"value": 9, "provenance": "last_cumulative"}
    assert usage["delivered_tokens"] == estimated(3)


@pytest.mark.parametrize("captured", [
    t.exchange(t.CHAT, {"messages": [{"content": "a b"}]}, {"error": {"message": "no"}}, status=503),
    t.exchange("/v1/chat/completions/render", {"messages": [{"content": "a b"}]}, {"choices": []}),
    t.exchange("/v1/embeddings", {"input": "a b"}, {"data": []}),
], ids=["error", "render", "embeddings"])  # fmt: skip
def test_what_generated_nothing_is_not_estimated(captured):
    assert not [number for number in decode(captured, estimator=words).usage.values() if number["provenance"] == "estimated"]


def test_a_request_that_is_cut_has_no_estimated_prompt():
    captured = t.streamed([*t.words("a"), ENDED])
    assert "prompt_tokens" not in decode(structs.replace(captured, request_whole=False), estimator=words).usage


def test_a_text_that_is_too_long_is_not_estimated():
    decoded = decode(t.streamed([*t.words("a " * (1 << 20)), ENDED]), estimator=words)
    assert "completion_tokens" not in decoded.usage
    assert decoded.problems == ["completion_tokens not estimated: more than 1048576 characters"]
