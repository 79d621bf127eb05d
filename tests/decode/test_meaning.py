"""What servers and clients send otherwise than the specification has it, and still mean."""

import json
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decode import Limits, decode
from collector.decode.limits import DEFAULT
from collector.decode.multipart import parts
from tests.decode import transcripts as t

ONE = {"model": "llama", "stream": True, "messages": []}
pieces = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
objects = st.dictionaries(pieces, st.integers(-(2**63), 2**63 - 1) | pieces | st.booleans() | st.lists(pieces, max_size=2), max_size=4)


def choice(decoded, index=0):
    return decoded.inference["choices"][index]


def call(arguments, name="pay", **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}} | more


def answered(message):
    return decode(t.exchange(t.CHAT, {"model": "m", "messages": []}, {"choices": [{"index": 0, "message": message}]}))


# Tools


@given(objects)
def test_arguments_sent_as_an_object_are_its_text(given_arguments):
    whole = choice(answered({"tool_calls": [call(given_arguments, id="t1")]}))["tool_calls"][0]
    streamed = choice(decode(t.streamed([t.delta({"tool_calls": [call(given_arguments, id="t1", index=0)]})])))["tool_calls"][0]
    output = [{"type": "function_call", "call_id": "t1", "name": "pay", "arguments": given_arguments}]
    response = choice(decode(t.exchange("/v1/responses", {"model": "m", "input": "x"}, {"output": output})))["tool_calls"][0]
    for found in (whole, streamed, response):
        assert json.loads(found["arguments"]) == given_arguments
        assert (found["id"], found["name"]) == ("t1", "pay")


def test_an_object_keeps_its_order():
    assert choice(answered({"tool_calls": [call({"to": "x", "sum": 900})]}))["tool_calls"] == [
        {"name": "pay", "arguments": '{"to":"x","sum":900}'}
    ]


@given(st.lists(st.sampled_from(["f", "g"]), min_size=1, max_size=4), st.sampled_from([None, 0, "none"]), st.booleans())
def test_parallel_calls_without_ids_stay_apart(names, index, streamed):
    calls = [call(f'{{"n":{number}}}', name) | ({} if index is None else {"index": index}) for number, name in enumerate(names)]
    events = [t.delta({"tool_calls": [each]}) for each in calls]
    decoded = decode(t.streamed(events)) if streamed else answered({"tool_calls": calls})
    assert [(each["name"], each["arguments"]) for each in choice(decoded)["tool_calls"]] == [
        (name, f'{{"n":{number}}}') for number, name in enumerate(names)
    ]


@given(st.text("abc }{", max_size=12), st.integers(1, 4))
def test_a_name_in_every_fragment_is_one_call(value, size):
    text = json.dumps({"a": value})
    fragments = [text[at : at + size] for at in range(0, len(text), size)]
    events = [t.delta({"tool_calls": [call(fragment, index=0)]}) for fragment in fragments]
    assert choice(decode(t.streamed(events)))["tool_calls"] == [{"name": "pay", "arguments": text}]


def test_mcp_calls_of_responses():
    item = {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "search", "arguments": "", "output": None}
    done = item | {"arguments": '{"q":1}', "output": "found"}
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.mcp_call_arguments.delta", "output_index": 0, "item_id": "mcp_1", "delta": '{"q":1}'},
    ]
    expected = [{"id": "mcp_1", "name": "search", "arguments": '{"q":1}'}]
    assert choice(decode(t.streamed(events, "/v1/responses")))["tool_calls"] == expected
    assert choice(decode(t.exchange("/v1/responses", {"input": "x"}, {"output": [done]})))["tool_calls"] == expected


@pytest.mark.parametrize("output", [[], [{"type": "message", "role": "assistant", "content": []}], None])
def test_a_last_response_without_its_output_wipes_nothing(output):
    events = [
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hello"},
        {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": output, "usage": {"output_tokens": 2}}},
    ]
    decoded = decode(t.streamed(events, "/v1/responses", done=False, named=True))
    assert choice(decoded) == {"index": 0, "text": "Hello", "finish_reason": "completed"}
    assert decoded.usage["completion_tokens"]["value"] == 2


# Choices


@pytest.mark.parametrize("first", [0, 1])
@given(texts=st.lists(st.text('ab"\n ', min_size=1, max_size=3), min_size=3, max_size=300), role=st.booleans())
def test_indexes_that_count_tokens_are_one_choice(first, texts, role):
    events = [t.delta({"role": "assistant", "content": ""}, 0)] * role
    events += [t.delta({"content": piece}, first + number) for number, piece in enumerate(texts)]
    events.append(t.delta({}, first + len(texts), finish="stop"))
    decoded = decode(t.streamed(events, asked=ONE))
    assert len(decoded.inference["choices"]) == 1
    assert (choice(decoded)["index"], choice(decoded)["text"], choice(decoded)["finish_reason"]) == (0, "".join(texts), "stop")
    assert decoded.problems == []


@given(st.lists(st.tuples(st.integers(0, 3), pieces.filter(len)), min_size=1, max_size=40))
def test_of_several_choices_asked_for_each_stays_what_it_is(told):
    decoded = decode(t.streamed([t.delta({"content": piece}, index) for index, piece in told], asked=ONE | {"n": 4}))
    expected = {index: "".join(piece for at, piece in told if at == index) for index, _ in told}
    assert {each["index"]: each["text"] for each in decoded.inference["choices"]} == expected


def test_several_prompts_have_several_answers():
    events = [{"model": "m", "choices": [{"index": index, "text": "x"}]} for index in (0, 1, 2)]
    decoded = decode(t.streamed(events, "/v1/completions", {"model": "m", "prompt": ["a", "b", "c"]}))
    assert len(decoded.inference["choices"]) == 3


def test_a_whole_message_as_one_event():
    message = {"role": "assistant", "content": "yes", "tool_calls": [call("{}", id="a"), call("{}", id="b")]}
    decoded = decode(t.streamed([{"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}]))
    assert choice(decoded)["text"] == "yes"
    assert len(choice(decoded)["tool_calls"]) == 2
    assert decoded.inference["delivered_chunks"] == 1


@given(st.lists(pieces.filter(len), min_size=1, max_size=20))
def test_pieces_sent_as_messages_are_put_together(texts):
    events = [{"model": "m", "choices": [{"index": 0, "message": {"content": piece}}]} for piece in texts]
    assert choice(decode(t.streamed(events)))["text"] == "".join(texts)


@given(st.lists(pieces.filter(len), min_size=1, max_size=20))
def test_a_message_behind_its_pieces_repeats_them(texts):
    whole = {"model": "m", "choices": [{"index": 0, "delta": {}, "message": {"content": "".join(texts)}, "finish_reason": "stop"}]}
    first = t.delta({"role": "assistant", "content": ""})
    assert choice(decode(t.streamed([first, *t.words(*texts), whole])))["text"] == "".join(texts)


# Spoken answers and thoughts


def test_the_text_of_a_spoken_answer_is_its_transcript():
    audio = {"id": "a", "data": "AAAA", "transcript": "yes sir", "expires_at": 1}
    assert choice(answered({"role": "assistant", "content": None, "audio": audio}))["text"] == "yes sir"
    assert choice(answered({"role": "assistant", "content": "written", "audio": audio}))["text"] == "written"
    events = [{"id": "a", "transcript": "yes "}, {"data": "AAAA"}, {"transcript": "sir"}, {"expires_at": 1}]
    decoded = decode(t.streamed([t.delta({"audio": piece}) for piece in events]))
    assert choice(decoded)["text"] == "yes sir"
    assert decoded.inference["delivered_chunks"] == 3


def test_thoughts_told_in_details_only():
    details = [
        {"type": "reasoning.text", "text": "hm "},
        {"type": "reasoning.summary", "summary": "so"},
        {"type": "reasoning.encrypted", "data": "x"},
    ]
    assert choice(answered({"content": "a", "reasoning_details": details}))["reasoning"] == "hm so"
    assert choice(answered({"content": "a", "reasoning": "hm so", "reasoning_details": details}))["reasoning"] == "hm so"
    assert choice(decode(t.streamed([t.delta({"reasoning_details": details})])))["reasoning"] == "hm so"


# Forms and headers


names = (
    st.text(st.characters(exclude_characters='"\\;\r\n', exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
    .map(str.strip)
    .filter(len)
)
tokens = st.text("abcXYZ019._-+", min_size=1, max_size=12)


def form(disposition):
    return parts(
        f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\nx\r\n--b--".encode(), "multipart/form-data; boundary=b", DEFAULT
    )[0]


@given(tokens, tokens, st.booleans(), st.sampled_from(["", " "]))
def test_names_of_a_form_may_be_tokens(name, filename, quoted, space):
    mark = '"' * quoted
    part = form(f"name={mark}{name}{mark};{space}filename{space}={space}{filename}")
    assert (part.name, part.filename, part.value) == (name, filename, None)
    assert form(f"NAME={name}").value == "x"


@given(names, st.sampled_from(["utf-8''", "UTF-8'en'"]), st.booleans())
def test_an_extended_file_name_holds(filename, head, first):
    both = ['filename="=?utf-8?B?eA==?="', f"filename*={head}{quote(filename, safe='')}"]
    assert form("; ".join(["name=file", *(reversed(both) if first else both)])).filename == filename


def test_odd_dispositions():
    assert form("name=file; filename*=latin").filename is None
    assert form("name=file; filename*=iso-8859-1''%E9.wav").filename == "é.wav"
    assert form('name="a; filename=b"').filename is None
    assert form('name="a').name == '"a'
    assert form("name=" + "x" * 3000).name == "x" * DEFAULT.name_chars


@given(st.lists(st.sampled_from(['; a="', "; a=", "; name=b", '"', ";", " ", "=", "\\"]), max_size=200))
def test_any_disposition_is_read(told):
    assert len(form("".join(told)).name) <= DEFAULT.name_chars


@pytest.mark.parametrize("lengths", [["{}", "{}"], ["{}, {}"], ["{},{}", "{}"]])
def test_a_length_told_several_times_is_one(lengths):
    tensors = t.dumps({"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]})
    headers = [("inference-header-content-length", told.replace("{}", str(len(tensors)))) for told in lengths]
    decoded = decode(t.exchange("/v2/models/m/infer", tensors + bytes(8), b"{}", request_headers=headers))
    assert decoded.inference["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [2]}]
    assert decoded.problems == []


def test_lengths_that_differ_are_none():
    headers = [("inference-header-content-length", "2"), ("inference-header-content-length", "3")]
    assert decode(t.exchange("/v2/models/m/infer", b"{} ", b"{}", request_headers=headers)).problems


# Bounds


@pytest.mark.slow
def test_work_stays_linear():
    """Each of these was made to be looked through again with every event."""
    fragment = t.delta({"tool_calls": [call("}", index=0)]})
    message = {"choices": [{"message": {"content": "x"}}]}
    empty = {"choices": [{"delta": {"content": ""}}]}
    ended = {"type": "response.completed", "response": {"output": [{"type": "message", "content": []}]}}
    for events, path in (
        ([fragment], t.CHAT),
        ([message], t.CHAT),
        ([empty, {"choices": [{"message": {"content": ""}}]}], t.CHAT),
        ([ended], "/v1/responses"),
    ):
        times = [decode(t.streamed(events * many, path), Limits()) for many in (1, 20_000)]
        assert all(first.problems == second.problems for first, second in pairwise(times))
