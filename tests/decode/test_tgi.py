"""Text Generation Inference, and SGLang's native endpoint of the same path."""

from collector.decode import decode
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS


def reported(value):
    return {"value": value, "provenance": "reported"}


def token(text, special=False, **more):
    return {
        "index": 1,
        "token": {"id": 1, "text": text, "logprob": -0.5, "special": special},
        "generated_text": None,
        "details": None,
    } | more


def test_generate():
    answer = {
        "generated_text": "Hello",
        "details": {"finish_reason": "length", "generated_tokens": 2, "seed": None, "tokens": [{"logprob": -1}]},
    }
    headers = [*t.JSON, ("x-prompt-tokens", "7"), ("x-generated-tokens", "2")]
    decoded = decode(t.exchange("/generate", {"inputs": "hi"}, answer, response_headers=headers))
    assert decoded.inference["choices"] == [{"index": 0, "text": "Hello", "finish_reason": "length", "logprobs": True}]
    assert decoded.usage == {"completion_tokens": reported(2), "prompt_tokens": reported(7)}


def test_generate_on_the_root_answers_with_a_list():
    decoded = decode(t.exchange("/", {"inputs": "hi"}, [{"generated_text": "Hello"}]))
    assert decoded.inference["protocol"] == "tgi"
    assert decoded.inference["choices"][0]["text"] == "Hello"


def test_generate_stream():
    decoded = decode(CORPUS["tgi stream"])
    assert decoded.inference["choices"] == [{"index": 0, "text": "Hello", "finish_reason": "length", "logprobs": True}]
    assert decoded.usage == {"completion_tokens": reported(2), "prompt_tokens": reported(4)}


def test_a_cancelled_stream_keeps_its_text_and_has_no_usage():
    decoded = decode(t.streamed([token("<s>", special=True), token("Hel"), token("lo")], "/generate_stream", {"inputs": "x"}, done=False))
    assert decoded.inference["choices"][0]["text"] == "Hello"
    assert decoded.inference["delivered_chunks"] == 2
    assert decoded.usage == {}


def test_an_error_event():
    decoded = decode(
        t.streamed(
            [{"error": "Request failed during generation", "error_type": "generation"}], "/generate_stream", {"inputs": "hi"}, done=False
        )
    )
    assert decoded.inference["error"] == {"message": "Request failed during generation", "type": "generation"}


def test_cumulative_texts_of_sglang_are_not_appended():
    events = [
        {"text": text, "meta_info": {"id": "x", "prompt_tokens": 3, "completion_tokens": n, "finish_reason": None}}
        for n, text in enumerate(("He", "Hell", "Hello"), 1)
    ]
    events[-1]["meta_info"]["finish_reason"] = {"type": "stop"}
    decoded = decode(t.streamed(events, "/generate", {"text": "x", "stream": True}))
    assert decoded.inference["choices"] == [{"index": 0, "text": "Hello", "finish_reason": "stop"}]
    assert decoded.usage["completion_tokens"] == {"value": 3, "provenance": "last_cumulative"}


def test_a_validation_error():
    decoded = decode(
        t.exchange("/generate", {"inputs": ""}, {"error": "`inputs` must have at least 1", "error_type": "validation"}, status=422)
    )
    assert decoded.inference["error"]["type"] == "validation"


def test_only_cumulative_texts_that_grew_are_content():
    events = [{"text": text, "meta_info": {"id": "x"}} for text in ("", "He", "He", "Hello")]
    assert decode(t.streamed(events, "/generate", {"text": "x", "stream": True})).inference["delivered_chunks"] == 2


def test_sglang_without_a_tokenizer_tells_token_ids_and_usage():
    meta = {"id": "q", "prompt_tokens": 5, "completion_tokens": 2, "finish_reason": {"type": "stop"}}
    answer = {"output_ids": [1, 2], "meta_info": meta}
    whole = decode(t.exchange("/generate", {"input_ids": [1]}, answer))
    assert whole.usage == {"prompt_tokens": reported(5), "completion_tokens": reported(2)}
    assert whole.inference["choices"] == [{"index": 0, "finish_reason": "stop"}]
    running = {"output_ids": [1], "meta_info": meta | {"completion_tokens": 1, "finish_reason": None}}
    streamed = decode(t.streamed([running, answer], "/generate", {"input_ids": [1], "stream": True}))
    assert (streamed.usage["completion_tokens"]["value"], streamed.inference["delivered_chunks"]) == (2, 2)
