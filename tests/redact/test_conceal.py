"""What the rules hide is nowhere, what they do not hide stays, and where they cannot be applied surely nothing of the body is kept."""

import gzip
import json

import brotli
import orjson
import pytest
from msgspec import structs

from collector.decode import Limits, Tail, decode
from collector.redact import Rules
from tests.decode import transcripts as t
from tests.decode.corpus import CORPUS, gemini, ollama_lines
from tests.redact.concealing import conceal

CARD = "4111111111111111"
WHOLE = (False, False)
RULES = Rules(paths=["user", "messages[*].content", "input"], patterns=[r"\d{16}"])
PATHS = Rules(paths=["user", "messages[*].content", "input", "inputs[*].data", "prompt"])
GRPC = [("content-type", "application/grpc")]


def told(found):
    return b"\n".join((found.request.data, found.response.data, orjson.dumps(structs.asdict(found.decoded)))).decode("utf-8", "replace")


def hidden(captured, rules=RULES):
    found = conceal(captured, rules, WHOLE)
    assert CARD not in told(found)
    return found


def answered(body, **more):
    return t.exchange(t.CHAT, {"model": "m"}, body, **more)


def message(content, **more):
    return {"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": content} | more}], "usage": t.tokens(1, 2)}


def test_a_path_takes_its_value_and_nothing_else():
    asked = {"model": "m", "user": "jo", "messages": [{"role": "user", "content": "hi"}], "temperature": 1}
    found = conceal(t.exchange(t.CHAT, asked, message("ok")), PATHS, WHOLE)
    assert json.loads(found.request.data) == asked | {"user": "[redacted]", "messages": [{"role": "user", "content": "[redacted]"}]}
    assert (found.request.redacted, found.response.redacted) == ("part", "")


def test_a_body_without_anything_to_hide_stays_as_it_passed_byte_for_byte():
    captured = t.encoded(answered(b'{ "model": "m",\t"choices": [] }'), "gzip", gzip.compress)
    found = conceal(captured, RULES, WHOLE)
    assert (found.response.data, found.response.redacted) == (captured.response_body, "")


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_rules_that_find_nothing_change_nothing_in_the_record(name):
    found = conceal(CORPUS[name], Rules(paths=["nobody.at.home"]), WHOLE)
    kept = [side for side in ("request", "response") if not getattr(found, side).redacted]
    if len(kept) == 2:
        assert found.decoded == decode(CORPUS[name])


@pytest.mark.parametrize(
    "answer",
    [
        message(f"card {CARD}"),
        message("x", reasoning_content=CARD),
        message(None, tool_calls=[{"id": "c", "function": {"name": "pay", "arguments": json.dumps({"card": CARD})}}]),
        message("x", refusal=f"no {CARD}"),
        message([{"type": "text", "text": CARD[:9]}, {"type": "text", "text": CARD[9:]}]),
        message(CARD, **{CARD: 1}),
        {"error": {"message": f"bad card {CARD}", "code": 400}},
        {"predictions": [int(CARD)]},
        [CARD],
        CARD,
    ],
    ids=["text", "reasoning", "tool call", "refusal", "two parts", "a name", "error", "number", "array", "string"],
)
def test_a_pattern_finds_every_place_of_an_answer(answer):
    hidden(answered(answer))


def test_of_two_members_with_one_name_the_one_that_parsers_drop_is_not_stored_either():
    found = hidden(answered(b'{"user":"%s","x":{"a":"\\u0034111111111111111","a":"x"},"user":""}' % CARD.encode()))
    assert json.loads(found.response.data) == {"user": "", "x": {"a": "x"}}


def test_escapes_hide_nothing_from_a_pattern():
    found = hidden(answered(b'{"a":"\\u0034111111111111111"}'))
    assert json.loads(found.response.data) == {"a": "[redacted]"}


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("br", brotli.compress)])
def test_a_redacted_body_is_stored_without_its_encoding(coding, pack):
    found = hidden(t.encoded(answered(message(CARD)), coding, pack))
    assert json.loads(found.response.data)["choices"][0]["message"]["content"] == "[redacted]"
    assert found.decoded.inference["choices"][0]["text"] == "[redacted]"


def test_what_stands_behind_the_end_of_encoded_bytes_is_not_stored():
    captured = t.encoded(answered(message("ok")), "gzip", lambda data: gzip.compress(data) + b"\n" + CARD.encode())
    assert json.loads(hidden(captured).response.data) == message("ok")


def test_a_redacted_stream_is_still_the_stream_that_it_was():
    pieces = [t.delta({"role": "assistant", "content": ""}), *t.words("my ", CARD[:5], CARD[5:], "!"), t.delta({}, finish="stop")]
    captured = t.by_event(t.streamed([*pieces, t.final(t.tokens(9, 4))]))
    found = hidden(captured)
    plain = decode(captured)
    assert found.decoded.inference["choices"][0]["text"] == "my [redacted]!"
    assert found.response.data.count(b"\n\n") == captured.response_body.count(b"\n\n")
    assert found.response.data.endswith(b"data: [DONE]\n\n")
    assert (found.decoded.usage, found.decoded.timing) == (plain.usage, plain.timing)
    assert found.decoded.inference["delivered_chunks"] == plain.inference["delivered_chunks"]


def test_choices_that_interleave_are_looked_at_one_by_one():
    pieces = [t.delta({"content": CARD[at : at + 4]}, index) for at in (0, 4, 8, 12) for index in (1, 0)]
    found = hidden(t.streamed(pieces))
    assert [choice["text"] for choice in found.decoded.inference["choices"]] == ["[redacted]", "[redacted]"]


def test_pieces_of_one_event_are_one_text_in_their_order():
    calls = [t.tool(0, CARD[at : at + 8])["tool_calls"][0] for at in (0, 8)]
    found = hidden(t.streamed([t.delta({"tool_calls": calls})]))
    assert found.response.redacted == "part"
    assert found.decoded.inference["choices"][0]["tool_calls"] == [{"arguments": "[redacted]"}]


def test_a_path_in_a_stream_marks_the_text_once():
    found = conceal(t.streamed(t.words("a", "b", "c")), Rules(paths=["choices[*].delta.content"], key=b"k" * 16), WHOLE)
    [choice] = found.decoded.inference["choices"]
    assert choice["text"].count("[redacted:") == 1


def test_tokens_and_their_probabilities_do_not_tell_the_text_again():
    logprobs = {"content": [{"token": piece, "bytes": list(piece.encode()), "logprob": -1.0} for piece in (CARD[:9], CARD[9:])]}
    answer = {"model": "m", "choices": [{"index": 0, "message": {"content": CARD}, "logprobs": logprobs}], "prompt_token_ids": [4, 1]}
    found = hidden(answered(answer))
    stored = json.loads(found.response.data)
    assert (stored["choices"][0]["logprobs"], stored["prompt_token_ids"]) == (None, None)


@pytest.mark.parametrize(
    "captured",
    [
        t.streamed([{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": CARD[:9]}},
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": CARD[9:]}},
                    {"type": "message_stop"}], "/v1/messages", done=False, named=True),
        t.streamed([{"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": piece}}
                    for index, piece in enumerate((CARD[:9], CARD[9:]))], "/v1/messages", done=False, named=True),
        t.streamed([{"type": "response.output_text.delta", "output_index": 0, "delta": piece} for piece in (CARD[:3], CARD[3:])],
                   "/v1/responses", done=False, named=True),
        t.streamed([{"token": {"id": 7, "text": piece}} for piece in CARD], "/generate_stream", {"inputs": "hi"}, done=False),
        t.streamed([t.delta(t.tool(0, '{"card":"' + CARD[:4], "c", "pay")), t.delta(t.tool(0, CARD[4:] + '"}'))]),
        t.exchange("/v1/models/m:predict", {}, b"data: 41111111\n\ndata: 11111111\n\n", response_headers=[]),
        t.exchange("/generate", {}, b'{"text":"41111111"}\n{"text":"11111111"}', response_headers=[("content-type", "application/jsonl")]),
        t.exchange("/api/chat", {"model": "m", "messages": []}, t.lines(ollama_lines({"content": CARD[:9]}, {"content": CARD[9:]})),
                   response_headers=t.LINES),
        t.streamed([gemini({"text": CARD[:9]}), gemini({"text": CARD[9:]})], "/models/m:streamGenerateContent", {}, done=False),
        t.exchange("/models/m:streamGenerateContent", {}, [gemini({"text": CARD[:9]}), gemini({"text": CARD[9:]})]),
    ],
    ids=["messages", "messages, two blocks", "responses", "tgi", "tool call", "V1 text", "ndjson", "ollama", "gemini", "gemini array"],
)  # fmt: skip
def test_a_secret_in_pieces_is_found_in_every_kind_of_stream(captured):
    found = hidden(captured)
    texts = "".join(part for part in found.response.data.decode().split('"') if part.isdigit())
    assert CARD not in texts


def test_comments_ids_and_what_the_end_left_open_are_looked_at_too():
    body = t.sse(t.words("a")) + f": {CARD}\n\nid: {CARD}\ndata: {{}}\n\ndata: {CARD}".encode()
    found = hidden(answered(body, response_headers=t.SSE))
    assert found.response.redacted == "part"


WITHHELD = {
    "a cut text": (answered(b"text " * 3, response_headers=[], response_whole=False), RULES),
    "JSON that was broken off": (answered(b'{"user":"jo","a":', response_whole=False), PATHS),
    "damaged JSON": (answered(b'{"user":"jo",,}'), PATHS),
    "a damaged encoding": (t.encoded(answered(message("x")), "gzip", lambda data: gzip.compress(data)[:-12] + b"damaged"), PATHS),
    "an unknown encoding": (t.encoded(answered(message("x")), "snappy", lambda data: bytes(byte ^ 0x80 for byte in data)), PATHS),
    "a stream that was broken off": (t.streamed(t.words("a", CARD[:9]), done=False, response_whole=False), RULES),
    "a damaged event": (answered(b'data: {"a":\n\n', response_headers=t.SSE), PATHS),
    "sound": (answered(b"ID3\x04\x00\xff", response_headers=[("content-type", "audio/mpeg")]), RULES),
    "UTF-16": (answered(CARD.encode("utf-16"), response_headers=[("content-type", "text/plain")]), RULES),
    "gRPC": (t.exchange("/inference.GRPCInferenceService/ModelInfer", b"", t.grpc(t.infer_response([t.proto_tensor("y", "BYTES", [1])],
             [len(CARD).to_bytes(4, "little") + CARD.encode()]), flag=1), response_headers=[*GRPC, ("grpc-encoding", "gzip")]), RULES),
    "gRPC that a path may name": (CORPUS["v2 grpc"], PATHS),
    "gRPC that is cut": (structs.replace(CORPUS["v2 grpc"], response_body=CORPUS["v2 grpc"].response_body[:-1]), RULES),
    "an AWS event stream": (CORPUS["converse stream"], PATHS),
    "an AWS event stream under patterns": (CORPUS["invoke stream"], RULES),
    "gRPC of others": (t.exchange("/other.Service/Do", b"", t.grpc(b"\x0a\x01x"), response_headers=GRPC), PATHS),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHHELD)
def test_where_the_rules_cannot_be_applied_surely_the_body_is_withheld(name):
    captured, rules = WITHHELD[name]
    found = hidden(captured, rules)
    assert (found.response.data, found.response.redacted) == (b"", "all")
    assert any(problem.startswith("response body: withheld: ") for problem in found.decoded.problems)


def tensors(tail, size, datatype="BYTES"):
    header = t.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": size}}]})
    return t.exchange(
        "/v2/models/m/infer", header + tail, {}, request_headers=[("inference-header-content-length", str(len(header)))]
    )  # fmt: skip


def test_binary_tensors_are_looked_through():
    text = b"\x12\x00\x00\x00a " + CARD.encode() + b"\x31\x00\x00\x001" + b"x" * 0x30
    assert conceal(tensors(text, len(text)), Rules(patterns=[r"\b\d{16}\b"]), WHOLE).request.redacted == "all"
    assert conceal(tensors(bytes(4), 4, "FP32"), RULES, WHOLE).request.redacted == ""
    assert conceal(tensors(bytes(4), 4, "FP32"), PATHS, WHOLE).request.redacted == "all"
    assert conceal(tensors(bytes(4), 3, "FP32"), RULES, WHOLE).request.redacted == "all"


def test_a_form_with_a_hidden_field_is_withheld():
    form = CORPUS["transcription"]
    assert conceal(form, PATHS, WHOLE).request.redacted == ""
    assert conceal(form, Rules(paths=["model"]), WHOLE).request.redacted == "all"
    assert conceal(form, RULES, WHOLE).request.redacted == "all"


def test_of_a_body_of_which_bytes_are_missing_nothing_is_kept():
    found = conceal(t.exchange(t.CHAT, {"model": "m"}, message("ok")), PATHS, (True, True))
    assert (found.request.redacted, found.response.redacted) == ("all", "all")


def test_billing_needs_no_text():
    """Model, tokens and times are the same although both bodies are withheld."""
    captured = t.chunked(t.exchange(t.CHAT, {"model": "m", "user": CARD}, message(CARD)), [10])
    found = conceal(captured, RULES, (True, True))
    plain = decode(captured)
    assert (found.decoded.usage, found.decoded.timing) == (plain.usage, plain.timing)
    names = ("protocol", "operation", "model_requested", "model_answered", "streamed")
    assert {name: found.decoded.inference[name] for name in names} == {name: plain.inference[name] for name in names}
    assert "choices" not in found.decoded.inference


def test_a_model_name_that_a_rule_hides_is_hidden_of_a_withheld_body_too():
    captured = t.exchange(t.CHAT, {"model": f"m-{CARD}"}, message("ok"))
    assert conceal(captured, RULES, (True, False)).decoded.inference["model_requested"] == "m-[redacted]"
    assert "model_requested" not in conceal(captured, Rules(paths=["model"]), (True, False)).decoded.inference


def test_more_events_than_are_read_are_not_stored():
    found = conceal(t.streamed(t.words(*"abcdefgh")), RULES, WHOLE, Limits(events=4))
    assert found.response.redacted == "all"


def test_of_a_body_with_a_hole_its_end_tells_numbers_and_no_text():
    captured = t.streamed([*t.words(*["word "] * 100), *t.words(CARD), t.delta({}, finish="stop"), t.final(t.tokens(9, 101))])
    body = captured.response_body
    start = body.index(CARD.encode()) - 300
    cut = structs.replace(captured, response_body=body[:900], response_whole=False, response_tail=Tail(start, body[start:], True))
    found = conceal(cut, RULES, (False, True))
    assert CARD not in told(found)
    assert (found.response.data, found.response.redacted) == (b"", "all")
    assert found.decoded.usage == decode(captured).usage
    assert "choices" not in found.decoded.inference


def test_of_a_request_with_a_hole_the_model_behind_it_is_told_unless_rules_hide_it():
    asked = t.dumps({"messages": [{"role": "user", "content": CARD * 50}], "model": "behind"})
    cut = t.exchange(t.CHAT, asked[:200], message("ok"), request_whole=False, request_tail=Tail(600, asked[600:], True))
    assert conceal(cut, RULES, (True, False)).decoded.inference["model_requested"] == "behind"
    hiding = conceal(cut, Rules(paths=["model"]), (True, False))
    assert "behind" not in told(hiding)


def test_a_call_whose_bodies_were_no_inference_is_none_without_them_either():
    service = t.exchange("/api/v1/score", {"prompt": CARD, "items": [1]}, {"ok": CARD})
    found = conceal(service, RULES, (True, True))
    assert (found.request.redacted, found.response.redacted) == ("all", "all")
    assert found.decoded.inference == {"protocol": "unknown"}
    assert found.decoded.usage == {}


@pytest.mark.parametrize(
    "sent",
    [
        {"choices": [{"index": 0, "message": {"audio": {"transcript": f"card {CARD}"}}}]},
        {"choices": [{"index": 0, "message": {"reasoning_details": [{"text": CARD}]}}]},
        {"choices": [{"index": 0, "message": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": [CARD]}}}]}}]},
    ],
)
def test_meaning_that_is_sent_oddly_is_hidden_all_the_same(sent):
    hidden(answered(sent))
    hidden(t.streamed([sent]))


def test_pieces_whose_indexes_count_tokens_are_one_text():
    pieces = [t.delta({"content": piece}, index) for index, piece in enumerate(("my ", CARD[:5], CARD[5:], "!"), 1)]
    assert hidden(t.streamed(pieces)).response.redacted == "all"


def test_a_field_of_a_form_without_quotes_is_hidden():
    form = f"--b\r\nContent-Disposition: form-data; name=user\r\n\r\n{CARD}\r\n--b--\r\n".encode()
    captured = t.exchange("/v1/audio/transcriptions", form, {}, request_headers=[("content-type", "multipart/form-data; boundary=b")])
    hidden(captured, Rules(paths=["user"]))
