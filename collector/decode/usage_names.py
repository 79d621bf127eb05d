"""Where servers put each number of a usage object. A name that is not here is kept under its own path (`usage.other`).

OpenAI (Chat, Completions, Embeddings, Responses, Audio), Anthropic, and who serves their forms: DeepSeek, SGLang, Mistral, Cohere,
Perplexity, xAI, gateways. Numbers that cost differently are never put together; numbers told twice have one name.
"""

from __future__ import annotations

from collector.messages.usage import UsageName

# A member of a usage object: the number's name, or the members of an object in it.
Names = dict[str, "UsageName | Names"]

_WRITES: Names = {
    "ephemeral_5m_input_tokens": "cache_creation_5m_tokens",
    "ephemeral_1h_input_tokens": "cache_creation_1h_tokens",
    "ttl_5m_tokens": "cache_creation_5m_tokens",
    "ttl_30m_tokens": "cache_creation_30m_tokens",
    "ttl_1h_tokens": "cache_creation_1h_tokens",
    "ttl_12h_tokens": "cache_creation_12h_tokens",
    "ttl_24h_tokens": "cache_creation_24h_tokens",
}
_INPUT: Names = {
    "cached_tokens": "cached_tokens",
    "cache_read_tokens": "cached_tokens",
    "cache_read_input_tokens": "cached_tokens",
    "cache_write_tokens": "cache_creation_tokens",
    "cache_creation_tokens": "cache_creation_tokens",
    "cached_creation_tokens": "cache_creation_tokens",
    "cache_creation_input_tokens": "cache_creation_tokens",
    "cache_write_tokens_details": _WRITES,
    "cache_creation_token_details": _WRITES,
    "cache_creation": _WRITES,
    "audio_tokens": "prompt_audio_tokens",
    "image_tokens": "prompt_image_tokens",
}
_OUTPUT: Names = {
    "reasoning_tokens": "reasoning_tokens",
    "thinking_tokens": "reasoning_tokens",
    "audio_tokens": "completion_audio_tokens",
    "image_tokens": "completion_image_tokens",
    "accepted_prediction_tokens": "accepted_prediction_tokens",
    "rejected_prediction_tokens": "rejected_prediction_tokens",
}
_FEES: Names = {"web_search_requests": "web_search_requests", "web_fetch_requests": "web_fetch_requests"}
USAGE: Names = {
    "prompt_tokens": "prompt_tokens",
    "completion_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "prompt_tokens_details": _INPUT,
    "prompt_token_details": _INPUT,
    "input_tokens_details": _INPUT,
    "input_token_details": _INPUT,
    "completion_tokens_details": _OUTPUT,
    "completion_token_details": _OUTPUT,
    "output_tokens_details": _OUTPUT,
    "output_token_details": _OUTPUT,
    "cached_tokens": "cached_tokens",
    "num_cached_tokens": "cached_tokens",
    "cached_input_tokens": "cached_tokens",
    "prompt_cache_hit_tokens": "cached_tokens",
    "cache_read_tokens": "cached_tokens",
    "cache_read_input_tokens": "cached_tokens",
    "cache_write_tokens": "cache_creation_tokens",
    "cache_creation_tokens": "cache_creation_tokens",
    "cache_creation_input_tokens": "cache_creation_tokens",
    "cache_creation": _WRITES,
    "server_tool_use": _FEES,
    "server_tool_use_details": _FEES,
    "num_search_queries": "web_search_requests",
    "num_sources_used": "sources_used",
    "search_units": "search_units",
    "seconds": "audio_seconds",
    "audio_seconds": "audio_seconds",
    "prompt_audio_seconds": "audio_seconds",
}  # fmt: skip
# Numbers that may be fractions; tokens, requests and the like are counts.
FRACTIONS = frozenset(("audio_seconds", "video_seconds"))
# Numbers of what was asked. Answers to one prompt all tell the same, so that they are added up over prompts, not over answers.
OF_PROMPT: frozenset[UsageName] = frozenset((
    "prompt_tokens", "cached_tokens", "cache_creation_tokens", "cache_creation_5m_tokens", "cache_creation_30m_tokens",
    "cache_creation_1h_tokens", "cache_creation_12h_tokens", "cache_creation_24h_tokens", "prompt_audio_tokens", "prompt_image_tokens",
    "tool_prompt_tokens", "audio_seconds",
))  # fmt: skip
