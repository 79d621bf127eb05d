"""What the `openai` library parsed, in the words of a record: what was not told is absent."""

from __future__ import annotations

from typing import Any

USAGE = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "prompt_tokens_details.cached_tokens": "cached_tokens",
    "prompt_tokens_details.cache_write_tokens": "cache_creation_tokens",
    "prompt_tokens_details.audio_tokens": "prompt_audio_tokens",
    "completion_tokens_details.reasoning_tokens": "reasoning_tokens",
    "completion_tokens_details.audio_tokens": "completion_audio_tokens",
}
RESPONSES_USAGE = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_tokens_details.cached_tokens": "cached_tokens",
    "input_tokens_details.cache_write_tokens": "cache_creation_tokens",
    "output_tokens_details.reasoning_tokens": "reasoning_tokens",
}


def chat(completion: Any) -> dict[str, Any]:
    """The record's inference of a chat completion, without what the request alone tells."""
    return {
        "protocol": "openai-chat",
        "operation": "chat",
        "id": completion.id,
        "model_answered": completion.model,
        "choices": [_choice(choice) for choice in completion.choices],
    }


def _choice(choice: Any) -> dict[str, Any]:
    message = choice.message
    calls = [_known(id=call.id, name=call.function.name, arguments=call.function.arguments) for call in message.tool_calls or []]
    told = _known(index=choice.index, role=message.role, text=message.content, refusal=message.refusal, finish_reason=choice.finish_reason)
    return told | ({"tool_calls": calls} if calls else {})


def response(answer: Any) -> dict[str, Any]:
    """The record's inference of a response of the Responses API."""
    calls = [_known(id=item.call_id, name=item.name, arguments=item.arguments) for item in answer.output if item.type == "function_call"]
    choice = {"index": 0, "role": "assistant", "text": answer.output_text, "tool_calls": calls, "finish_reason": answer.status}
    return {
        "protocol": "openai-responses",
        "operation": "response",
        "id": answer.id,
        "model_answered": answer.model,
        "choices": [choice],
    }


def usage(told: Any, names: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The record's usage of a usage object: every number that it holds was reported."""
    found = {ours: _value(told, path) for path, ours in names.items()}
    return {name: {"value": value, "provenance": "reported"} for name, value in found.items() if value is not None}


def _value(told: Any, path: str) -> int | None:
    for name in path.split("."):
        told = getattr(told, name, None)
    return told if isinstance(told, int) else None


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
