"""Usage: who said each number. The cases that peers got wrong are here by name."""

import pytest

from collector.decode import decode
from collector.decode.usage import Told, Usage
from tests.decode import transcripts as t


def reported(value):
    return {"value": value, "provenance": "reported"}


def cumulative(value):
    return {"value": value, "provenance": "last_cumulative"}


def stream(*events, cut=False, **more):
    return decode(t.streamed(events, done=not cut, response_whole=not cut, **more)).usage


def running(text, prompt, completion):
    return t.delta({"content": text}, usage=t.tokens(prompt, completion))


def test_reported_usage_of_an_answer_that_is_not_streamed():
    usage = decode(t.exchange(t.CHAT, {"model": "m"}, {"choices": [], "usage": t.tokens(9, 2)})).usage
    assert usage == {"prompt_tokens": reported(9), "completion_tokens": reported(2), "total_tokens": reported(11)}


def test_usage_in_the_last_event_is_reported():
    assert stream(*t.words("a", "b"), t.final(t.tokens(9, 2)))["completion_tokens"] == reported(2)


def test_usage_that_is_null_in_every_event_is_absent():
    assert stream(*(event | {"usage": None} for event in t.words("a", "b"))) == {}


def test_usage_absent_from_a_stream_is_absent_not_zero():
    assert stream(*t.words("a", "b"), t.delta({}, finish="stop")) == {}


def test_cumulative_usage_in_every_event_is_not_summed():
    usage = stream(running("a", 7, 1), running("b", 7, 2), running("c", 7, 3), t.final(t.tokens(7, 3)))
    assert usage == {"prompt_tokens": cumulative(7), "completion_tokens": cumulative(3), "total_tokens": cumulative(10)}


def test_a_cancelled_stream_is_not_billed_as_zero():
    usage = stream(running("a", 7, 1), running("b", 7, 2), cut=True)
    assert usage == {"prompt_tokens": cumulative(7), "completion_tokens": cumulative(2), "total_tokens": cumulative(9)}


def test_one_running_total_before_the_cut_is_a_running_total():
    assert stream(running("a", 7, 1), cut=True)["completion_tokens"] == cumulative(1)


def test_a_stream_cut_before_its_usage_frame_has_no_usage():
    assert stream(*t.words("a", "b"), cut=True) == {}


def test_chunks_are_not_tokens():
    decoded = decode(t.streamed([t.delta(t.tool(0, "x", "c", "f")) for _ in range(26)] + [t.final(t.tokens(10, 29))]))
    assert decoded.usage["completion_tokens"] == reported(29)
    assert decoded.inference["delivered_chunks"] == 26


def test_usage_together_with_the_finish_reason_is_reported():
    assert stream(*t.words("a"), t.delta({}, finish="stop", usage=t.tokens(1, 1)))["completion_tokens"] == reported(1)


def test_final_frames_that_disagree_are_flagged():
    usage = stream(*t.words("a"), t.final(t.tokens(9, 2)), t.final(t.tokens(9, 5)))
    assert usage["completion_tokens"] == reported(5)
    assert usage["conflicts"] == [{"name": "completion_tokens", "values": [2, 5]}, {"name": "total_tokens", "values": [11, 14]}]


def test_final_frames_that_agree_are_no_conflict():
    assert "conflicts" not in stream(*t.words("a"), t.delta({}, finish="stop", usage=t.tokens(9, 2)), t.final(t.tokens(9, 2)))


def test_a_finish_frame_that_disagrees_with_the_final_one_is_flagged():
    usage = stream(t.delta({}, finish="stop", usage=t.tokens(9, 2)), t.final(t.tokens(9, 3)))
    assert usage["conflicts"][0] == {"name": "completion_tokens", "values": [2, 3]}


def test_running_totals_per_choice_are_settled_by_the_final_frame():
    events = [t.delta({"content": "x"}, i, usage=t.tokens(5, n)) for i, n in ((0, 1), (0, 2), (1, 1), (1, 2))]
    usage = stream(*events, t.final(t.tokens(5, 4)), asked=t.ASKED | {"n": 2})
    assert usage["completion_tokens"] == cumulative(4)
    assert "conflicts" not in usage


def test_running_totals_that_fall_are_flagged():
    usage = stream(running("a", 5, 9), running("b", 5, 1), cut=True)
    assert usage["conflicts"][0] == {"name": "completion_tokens", "values": [9, 1]}


def test_cached_tokens_are_not_dropped():
    usage = stream(t.final(t.tokens(100, 2, prompt_tokens_details={"cached_tokens": 64, "audio_tokens": 3})))
    assert usage["cached_tokens"] == reported(64)
    assert usage["prompt_audio_tokens"] == reported(3)


def test_zero_cached_tokens_differ_from_unknown_ones():
    assert stream(t.final(t.tokens(100, 2, prompt_tokens_details={"cached_tokens": 0})))["cached_tokens"] == reported(0)
    assert "cached_tokens" not in stream(t.final(t.tokens(100, 2, prompt_tokens_details=None)))
    assert "cached_tokens" not in stream(t.final(t.tokens(100, 2, prompt_tokens_details={"cached_tokens": None})))


def test_reasoning_tokens_are_not_missing():
    details = {"reasoning_tokens": 7, "audio_tokens": 1, "accepted_prediction_tokens": 2, "rejected_prediction_tokens": 3}
    usage = stream(t.final(t.tokens(1, 9, completion_tokens_details=details)))
    names = ["reasoning_tokens", "completion_audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"]
    assert [usage[name]["value"] for name in names] == [7, 1, 2, 3]


def test_prefill_and_decode_legs_both_tell_their_prompt_tokens():
    prefill = decode(
        t.exchange(t.CHAT, {}, {"choices": [{"index": 0, "message": {}, "finish_reason": "remote_decode"}], "usage": t.tokens(50, 1)})
    )
    assert prefill.usage["prompt_tokens"] == reported(50)
    assert prefill.inference["choices"][0]["finish_reason"] == "remote_decode"


def test_a_total_is_never_computed():
    assert "total_tokens" not in stream(t.final({"prompt_tokens": 1, "completion_tokens": 2}))


@pytest.mark.parametrize("value", [None, -1, 1.5, "3", True, [], {}, 1 << 63, float("nan")])
def test_what_is_no_count_is_not_usage(value):
    assert decode(t.exchange(t.CHAT, {}, {"usage": {"prompt_tokens": value}, "choices": []})).usage == {}


def test_estimates_are_off_by_default_and_marked_where_wanted():
    captured = t.streamed([*t.words("a b", " c"), t.delta({}, finish="stop")])
    assert decode(captured).usage == {}
    assert decode(captured, estimator=lambda model, text: len(text.split())).usage == {
        "completion_tokens": {"value": 3, "provenance": "estimated"},
        "prompt_tokens": {"value": 1, "provenance": "estimated"},
    }


def test_an_estimate_never_replaces_what_was_told():
    captured = t.streamed([*t.words("a b"), t.final(t.tokens(1, 1))])
    assert decode(captured, estimator=lambda model, text: 99).usage["completion_tokens"] == reported(1)


def test_conflicts_are_bounded():
    usage = Usage()
    for value in range(100):
        usage.note("total_tokens", value, Told.FINAL)
    assert len(usage.as_json()["conflicts"][0]["values"]) == 8
    assert usage.value("total_tokens") == 99


def test_a_running_total_after_the_final_number_does_not_lower_it():
    usage = Usage()
    usage.note("completion_tokens", 10, Told.FINAL)
    usage.note("completion_tokens", 0, Told.RUNNING)
    assert usage.value("completion_tokens") == 10
    assert usage.as_json()["conflicts"] == [{"name": "completion_tokens", "values": [10, 0]}]
