"""Completions, Responses, Embeddings, Rerank, Audio and Images."""

import pytest

from collector.decode import decode
from tests.decode import transcripts as t


def reported(value):
    return {"value": value, "provenance": "reported"}


def test_completions_streamed_with_two_choices():
    events = [
        {"id": "cmpl-1", "model": "m", "choices": [{"index": i, "text": x, "finish_reason": None}]}
        for i, x in ((0, "a"), (1, "b"), (0, "c"))
    ]
    events += [{"choices": [{"index": i, "text": "", "finish_reason": "length"}]} for i in (0, 1)] + [t.final(t.tokens(1, 3))]
    decoded = decode(t.streamed(events, "/openai/v1/completions", {"model": "m", "prompt": "x", "n": 2, "stream": True}))
    assert decoded.inference["protocol"] == "openai-completions"
    assert decoded.inference["choices"] == [
        {"index": 0, "text": "ac", "finish_reason": "length"},
        {"index": 1, "text": "b", "finish_reason": "length"},
    ]
    assert decoded.usage["total_tokens"] == reported(4)


def test_completions_not_streamed():
    answer = {
        "id": "cmpl-1",
        "model": "m",
        "choices": [{"index": 0, "text": "abc", "finish_reason": "stop", "logprobs": {}}],
        "usage": t.tokens(1, 1),
    }
    assert decode(t.exchange("/v1/completions", {"model": "m"}, answer)).inference["choices"] == [
        {"index": 0, "text": "abc", "finish_reason": "stop"}
    ]


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "model": "gpt-x",
    "status": "completed",
    "error": None,
    "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "think"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hel"}, {"type": "output_text", "text": "lo"}],
        },
        {"type": "function_call", "call_id": "call_1", "id": "fc_1", "name": "f", "arguments": '{"a":1}'},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ],
    "usage": {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 12,
    },
}
ONE = {
    "index": 0,
    "role": "assistant",
    "text": "Hello",
    "reasoning": "think",
    "refusal": "no",
    "tool_calls": [{"id": "call_1", "name": "f", "arguments": '{"a":1}'}],
    "finish_reason": "completed",
}


def test_a_response_not_streamed():
    decoded = decode(t.exchange("/v1/responses", {"model": "gpt", "input": "hi"}, RESPONSE))
    assert decoded.inference["choices"] == [ONE]
    assert {name: number["value"] for name, number in decoded.usage.items()} == {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "cached_tokens": 4,
        "reasoning_tokens": 3,
    }


def response_events():
    return [
        {"type": "response.created", "response": {"id": "resp_1", "model": "gpt-x", "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "think"},
        {"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "role": "assistant", "content": []}},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "Hel"},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "lo"},
        {"type": "response.output_text.done", "output_index": 1, "text": "Hello"},
        {
            "type": "response.output_item.added",
            "output_index": 2,
            "item": {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a"'},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": ":1}"},
        {"type": "response.refusal.delta", "output_index": 3, "delta": "no"},
    ]


def test_a_streamed_response_needs_no_end_mark():
    events = [*response_events(), {"type": "response.completed", "response": RESPONSE}]
    decoded = decode(t.streamed(events, "/v1/responses", {"model": "gpt", "stream": True}, done=False, named=True))
    assert decoded.inference["choices"] == [ONE]
    assert decoded.usage["completion_tokens"] == reported(7)
    assert decoded.inference["delivered_chunks"] == 7


def test_a_cancelled_response_keeps_what_was_delivered():
    decoded = decode(t.streamed(response_events(), "/v1/responses", done=False, named=True, response_whole=False))
    assert decoded.inference["choices"] == [{key: value for key, value in ONE.items() if key != "finish_reason"}]
    assert decoded.usage == {}


def test_an_incomplete_response_tells_why():
    response = RESPONSE | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    decoded = decode(t.streamed([{"type": "response.incomplete", "response": response}], "/v1/responses", done=False))
    assert decoded.inference["choices"][0]["finish_reason"] == "max_output_tokens"


def test_a_failed_response_and_an_error_event():
    failed = {
        "type": "response.failed",
        "response": {"status": "failed", "error": {"code": "server_error", "message": "boom"}, "output": []},
    }
    assert decode(t.streamed([failed], "/v1/responses")).inference["error"] == {"code": "server_error", "message": "boom"}
    error = {"type": "error", "code": "rate_limit", "message": "slow down", "param": None}
    assert decode(t.streamed([error], "/v1/responses")).inference["error"]["message"] == "slow down"


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/v1/responses/resp_1", "retrieve"),
        ("POST", "/v1/responses/resp_1/cancel", "cancel"),
        ("POST", "/v1/responses/input_tokens", "count_tokens"),
    ],
)
def test_reading_a_response_again_is_not_billed_again(method, path, operation):
    decoded = decode(t.exchange(path, None, RESPONSE, method=method))
    assert (decoded.inference["operation"], decoded.usage) == (operation, {})


def test_embeddings_count_rows_and_tell_the_shape():
    answer = {"object": "list", "model": "e5", "data": [{"embedding": [0.1] * 8}] * 3, "usage": {"prompt_tokens": 6, "total_tokens": 6}}
    decoded = decode(t.exchange("/v1/embeddings", {"model": "e", "input": ["a", "b", "c"]}, answer))
    assert decoded.inference["outputs"] == [{"name": "embedding", "shape": [3, 8]}]
    assert decoded.usage == {"rows": reported(3), "prompt_tokens": reported(6), "total_tokens": reported(6)}


@pytest.mark.parametrize(("given", "rows"), [("one text", 1), ([1, 2, 3], 1), ([[1], [2]], 2), (["a"], 1)])
def test_rows_of_every_form_of_embedding_input(given, rows):
    assert decode(t.exchange("/v1/embeddings", {"input": given}, {})).usage["rows"] == reported(rows)


def test_base64_embeddings_have_no_length():
    decoded = decode(t.exchange("/v1/embeddings", {"input": "a"}, {"data": [{"embedding": "AAAA"}]}))
    assert decoded.inference["outputs"] == [{"name": "embedding", "shape": [1]}]


def test_rerank_of_vllm_tei_and_cohere():
    vllm = {"id": "r-1", "model": "bge", "usage": {"total_tokens": 56}, "results": [{"index": 0, "relevance_score": 0.9}]}
    decoded = decode(t.exchange("/v1/rerank", {"model": "r", "query": "q", "documents": ["a", "b"]}, vllm))
    assert decoded.usage == {"rows": reported(2), "total_tokens": reported(56)}
    assert decoded.inference["outputs"] == [{"name": "results", "shape": [1]}]
    tei = decode(t.exchange("/rerank", {"query": "q", "texts": ["a", "b"]}, [{"index": 1, "score": 0.5}, {"index": 0, "score": 0.1}]))
    assert tei.inference["outputs"] == [{"name": "results", "shape": [2]}]
    cohere = {"results": [], "meta": {"billed_units": {"search_units": 1, "input_tokens": 9}, "tokens": {"input_tokens": 8}}}
    assert decode(t.exchange("/v2/rerank", {"documents": ["a"]}, cohere)).usage == {
        "rows": reported(1),
        "prompt_tokens": reported(8),
        "search_units": reported(1),
    }


def test_score_of_vllm():
    decoded = decode(
        t.exchange("/score", {"model": "r", "text_1": "q", "text_2": ["a", "b"]}, {"data": [{"score": 1}], "usage": t.tokens(4, 0)})
    )
    assert (decoded.inference["protocol"], decoded.inference["operation"]) == ("openai-rerank", "score")
    assert decoded.usage["rows"] == reported(2)


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nSECRETSOUND\r\n--b--\r\n'
)
FORM_HEADERS = [("content-type", "multipart/form-data; boundary=b")]
TRANSCRIBE = "/v1/audio/transcriptions"


def test_transcription_metadata_holds_no_audio():
    usage = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
        "output_tokens": 45,
        "total_tokens": 59,
    }
    decoded = decode(t.exchange(TRANSCRIBE, FORM, {"text": "hello", "usage": usage}, request_headers=FORM_HEADERS))
    assert decoded.inference["operation"] == "transcription"
    assert decoded.inference["model_requested"] == "whisper"
    assert decoded.inference["inputs"] == [{"name": "file", "filename": "a.wav", "content_type": "audio/wav", "size": 11}]
    assert decoded.usage["prompt_audio_tokens"] == reported(14)
    assert decoded.usage["completion_tokens"] == reported(45)
    assert "SECRETSOUND" not in str(decoded)


def test_transcription_billed_by_duration():
    decoded = decode(
        t.exchange(TRANSCRIBE, FORM, {"text": "x", "usage": {"type": "duration", "seconds": 9.0}}, request_headers=FORM_HEADERS)
    )
    assert decoded.usage == {"audio_seconds": reported(9)}


def test_transcription_as_plain_text():
    decoded = decode(
        t.exchange(TRANSCRIBE, FORM, b"hello there\n", request_headers=FORM_HEADERS, response_headers=[("content-type", "text/plain")])
    )
    assert decoded.inference["choices"] == [{"index": 0, "text": "hello there\n"}]


def test_streamed_transcription():
    events = [{"type": "transcript.text.delta", "delta": x} for x in ("hel", "lo")]
    events += [{"type": "transcript.text.done", "text": "hello", "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}}]
    decoded = decode(t.streamed(events, TRANSCRIBE, FORM, request_headers=FORM_HEADERS))
    assert decoded.inference["choices"][0]["text"] == "hello"
    assert decoded.usage["completion_tokens"] == reported(2)


def test_streamed_transcription_of_vllm():
    events = [{"object": "transcription.chunk", "choices": [{"delta": {"content": x}}]} for x in ("hel", "lo")]
    assert decode(t.streamed(events, TRANSCRIBE, FORM, request_headers=FORM_HEADERS)).inference["choices"][0]["text"] == "hello"


def test_a_cut_upload_has_no_size():
    decoded = decode(t.exchange(TRANSCRIBE, FORM[:-20], b"", request_headers=FORM_HEADERS, request_whole=False))
    assert decoded.inference["inputs"] == [{"name": "file", "filename": "a.wav", "content_type": "audio/wav"}]


def test_generated_images_are_counted():
    usage = {"input_tokens": 5, "output_tokens": 100, "total_tokens": 105}
    decoded = decode(t.exchange("/v1/images/generations", {"model": "img"}, {"data": [{"b64_json": "AA"}] * 2, "usage": usage}))
    assert decoded.usage["images"] == reported(2)
    assert decoded.usage["completion_tokens"] == reported(100)


@pytest.mark.parametrize(("seconds", "known"), [(9, 9), (9.0, 9), (9.5, 9.5), ("9", None)])
def test_audio_seconds_may_be_fractions(seconds, known):
    answer = {"text": "x", "usage": {"type": "duration", "seconds": seconds}}
    usage = decode(t.exchange(TRANSCRIBE, FORM, answer, request_headers=FORM_HEADERS)).usage
    assert usage == ({} if known is None else {"audio_seconds": reported(known)})


def test_logprobs_and_images_of_a_response():
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a", "logprobs": [{"token": "a"}]}]}]
    asked = {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}]}
    decoded = decode(t.exchange("/v1/responses", asked, {"output": output, "status": "completed"}))
    assert decoded.inference["choices"][0]["logprobs"] is True
    assert decoded.usage == {"images": reported(1)}


def test_only_deltas_of_a_response_are_content():
    events = [
        {"type": "response.output_text.done", "text": "x"},
        {"type": "response.odd.delta", "delta": "x"},
        {"type": "response.output_text.delta", "delta": "x"},
    ]
    assert decode(t.streamed(events, "/v1/responses")).inference["delivered_chunks"] == 1


def test_speech_tells_how_much_was_to_be_said():
    captured = t.exchange("/v1/audio/speech", {"model": "tts", "input": "hello"}, b"ID3", response_headers=[("content-type", "audio/mpeg")])
    decoded = decode(captured)
    assert decoded.inference == {"protocol": "openai-audio", "operation": "speech", "model_requested": "tts", "streamed": False}
    assert decoded.usage == {"input_characters": {"value": 5, "provenance": "reported"}}


def test_streamed_speech_tells_usage_in_its_last_event():
    events = [
        {"type": "speech.audio.delta", "audio": "AAAA"},
        {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 9}},
    ]
    decoded = decode(t.streamed(events, "/v1/audio/speech", {"model": "tts", "input": "hello"}, done=False))
    assert (decoded.usage["completion_tokens"]["value"], decoded.inference["delivered_chunks"]) == (9, 1)


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/v1/audio/transcriptions", "openai-audio"),
        ("/openai/v1/audio/translations", "openai-audio"),
        ("/v1/images/generations", "openai-images"),
        ("/v1/images/edits", "openai-images"),
    ],
)
def test_audio_and_images_have_protocols_of_their_own(path, protocol):
    assert decode(t.exchange(path, {"model": "m"}, {})).inference["protocol"] == protocol
