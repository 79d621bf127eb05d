"""Kinds of calls that OpenAI's and Anthropic's clients make, and what servers of their forms tell."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from tests.decode.corpus import BATCH, batch_result
from tests.mesh.mix.planned import Answer, Call, Due, Kind, Step, due, dumps, events, post, stream, zipped

CHAT = "/v1/chat/completions"
ASKED = {"model": "llama", "messages": [{"role": "user", "content": "hi"}]}
COUNTED = {"stream": True, "stream_options": {"include_usage": True}}
LONG = 5_000


class Tokens:
    """Tokens by what they cost, as the server knows them, and how it tells them."""

    def __init__(self, chance: Random, most: int = 900) -> None:
        self.uncached, self.cached = chance.randint(1, most), chance.choice((0, chance.randint(1, most)))
        self.output, self.reasoning = chance.randint(1, most), chance.choice((0, chance.randint(1, most)))

    @property
    def due(self) -> Due:
        return due(input_uncached=self.uncached, input_cached=self.cached, output=self.output, reasoning=self.reasoning)

    @property
    def openai(self) -> dict[str, Any]:
        prompt, completion = self.uncached + self.cached, self.output + self.reasoning
        return {
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }  # fmt: skip

    @property
    def responses(self) -> dict[str, Any]:
        told = self.openai
        return {
            "input_tokens": told["prompt_tokens"], "output_tokens": told["completion_tokens"], "total_tokens": told["total_tokens"],
            "input_tokens_details": {"cached_tokens": self.cached}, "output_tokens_details": {"reasoning_tokens": self.reasoning},
        }  # fmt: skip


def chunk(number: int, delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": f"chatcmpl-{number:024}", "object": "chat.completion.chunk", "created": 1, "model": "llama", "choices": [choice]} | more


def words(number: int, count: int = 3) -> list[dict[str, Any]]:
    return [*(chunk(number, {"content": f" word{each}"}) for each in range(count)), chunk(number, {}, "stop")]


def final(number: int, usage: Any) -> dict[str, Any]:
    return chunk(number, {}) | {"choices": [], "usage": usage}


def completion(number: int, usage: Any, choices: int = 1) -> dict[str, Any]:
    said = [{"index": n, "message": {"role": "assistant", "content": "so"}, "finish_reason": "stop"} for n in range(choices)]
    told = {"id": f"chatcmpl-{number:024}", "object": "chat.completion", "created": 1, "model": "llama", "choices": said}
    return told if usage is None else told | {"usage": usage}


def chat(chance: Random, number: int) -> Call:
    tokens, answers = Tokens(chance), chance.randint(1, 2)
    return Call([post(CHAT, ASKED | {"n": answers}, completion(number, tokens.openai, answers), tokens.due)])


def streamed(number: int, tokens: Tokens, count: int = 3, pause: float = 0.0) -> Step:
    return stream(CHAT, ASKED | COUNTED, events(*words(number, count), final(number, tokens.openai)), tokens.due, pause=pause)


def chat_stream(chance: Random, number: int) -> Call:
    return Call([streamed(number, Tokens(chance))])


def chat_running(chance: Random, number: int) -> Call:
    """vLLM's running totals."""
    pieces, told = running(chance, number, 6)
    return Call([stream(CHAT, ASKED | COUNTED, [*pieces, b"data: [DONE]\n\n"], told)])


def running(chance: Random, number: int, count: int) -> tuple[list[bytes], Due]:
    prompt = chance.randint(1, 500)
    totals = [{"prompt_tokens": prompt, "completion_tokens": n + 1, "total_tokens": prompt + n + 1} for n in range(count)]
    told = [chunk(number, {"content": f"w{n} "}, usage=totals[n]) for n in range(count)]
    return events(*told, done=False), due(input_uncached=prompt, output=count)


def chat_long(chance: Random, number: int) -> Call:
    return Call([streamed(number, Tokens(chance), LONG)])


def chat_slow(chance: Random, number: int) -> Call:
    return Call([streamed(number, Tokens(chance), 60, 0.5)])


def chat_gzip(chance: Random, number: int) -> Call:
    """By the server, whole or in a stream, or by the proxy."""
    tokens = Tokens(chance)
    step = chance.choice((streamed(number, tokens), post(CHAT, ASKED, completion(number, tokens.openai), tokens.due)))
    if chance.random() < 0.3:
        return Call([step], "compressing")
    return Call([replace(step, answer=zipped(step.answer))])


def chat_not_asked(_: Random, number: int) -> Call:
    return Call([stream(CHAT, ASKED | {"stream": True}, events(*words(number)), due())], reasons=["not_asked"])


def chat_not_told(_: Random, number: int) -> Call:
    return Call([post(CHAT, ASKED, completion(number, None), due())], reasons=["not_told"])


def chat_hidden(chance: Random, number: int) -> Call:
    """All that is told is what a rule takes."""
    return Call([post(CHAT, ASKED, completion(number, {"units": chance.randint(1, 9)}), due())], reasons=["withheld"])


def chat_untapped(chance: Random, number: int) -> Call:
    """A policy of the tap leaves its bodies out."""
    tokens = Tokens(chance)
    return Call([post("/quiet" + CHAT, ASKED, completion(number, tokens.openai), due())], reasons=["capture_limit"])


def completions(chance: Random, number: int) -> Call:
    tokens, asked = Tokens(chance), {"model": "llama", "prompt": "Once"}
    head = {"id": f"cmpl-{number:024}", "object": "text_completion", "created": 1, "model": "llama"}
    told = [{**head, "choices": [{"index": 0, "text": " upon"}]}, {**head, "choices": [], "usage": tokens.openai}]
    if chance.random() < 0.5:
        return Call([stream("/v1/completions", asked | COUNTED, events(*told), tokens.due)])
    return Call([post("/v1/completions", asked, told[0] | {"usage": tokens.openai}, tokens.due)])


def response(number: int, status: str, usage: Any = None, **more: Any) -> dict[str, Any]:
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "so"}]}]
    return {
        "id": f"resp_{number:024}",
        "object": "response",
        "created_at": 1,
        "status": status,
        "model": "gpt",
        "output": output,
        "usage": usage,
    } | more


def responses(chance: Random, number: int) -> Call:
    tokens, asked = Tokens(chance), {"model": "gpt", "input": "hi"}
    whole = response(number, "completed", tokens.responses)
    if chance.random() < 0.5:
        return Call([post("/v1/responses", asked, whole, tokens.due)])
    told = [
        {"type": "response.created", "response": response(number, "in_progress", output=[])},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "so"},
        {"type": "response.completed", "response": whole},
    ]
    return Call([stream("/v1/responses", asked | {"stream": True}, events(*told, done=False, named=True), tokens.due)])


def background(chance: Random, number: int) -> Call:
    """Asked for once, polled until it is over, and twice more."""
    tokens, asked = Tokens(chance), {"model": "gpt", "input": "hi", "background": True}
    begun = [response(number, status, background=True, output=[]) for status in ("queued", "in_progress")]
    over = response(number, "completed", tokens.responses, background=True)
    polls = [(begun[1], due()), (over, tokens.due), (over, due()), (over, due())]
    path = f"/v1/responses/resp_{number:024}"
    steps = [Step(path, b"", Answer([dumps(told)], due=owed), "GET", ()) for told, owed in polls]
    return Call([post("/v1/responses", asked, begun[0], due()), *steps], reasons=["not_told"])


def batch(chance: Random, number: int) -> Call:
    """Asked for, polled until it is over, and listed, of OpenAI; the results read twice, of Anthropic."""
    tokens = Tokens(chance)
    if chance.random() < 0.5:
        lines = b"".join(dumps(batch_result(n, {"input_tokens": 5, "output_tokens": tokens.output})) + b"\n" for n in range(3))
        path, owed = f"/v1/messages/batches/msgbatch_{number:024}/results", due(input_uncached=15, output=3 * tokens.output)
        told = [Answer([lines], "application/x-jsonl", due=each) for each in (owed, due())]
        return Call([Step(path, b"", one, "GET", ()) for one in told])
    over = BATCH | {"id": f"batch_{number:024}", "usage": tokens.responses}
    begun = over | {"status": "validating", "usage": None}
    path = f"/v1/batches/{over['id']}"
    polls = [
        (path, begun, due()),
        (path, over, tokens.due),
        (path, over, due()),
        ("/v1/batches", {"has_more": False, "data": [over]}, due()),
    ]
    steps = [Step(path, b"", Answer([dumps(told)], due=owed), "GET", ()) for path, told, owed in polls]
    return Call([post("/v1/batches", {"input_file_id": "f", "endpoint": CHAT}, begun, due()), *steps])


def embeddings(chance: Random, number: int) -> Call:
    rows, tokens = chance.randint(1, 40), chance.randint(1, 900)
    data = [{"index": n, "embedding": [0.5, 1.0]} for n in range(rows)]
    told = {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return Call([post("/v1/embeddings", {"model": "e", "input": ["x"] * rows}, told, due(input_uncached=tokens, rows=rows))])


def rerank(chance: Random, number: int) -> Call:
    rows, units = chance.randint(1, 9), chance.randint(1, 3)
    asked = {"model": "r", "query": "q", "documents": ["d"] * rows}
    told = {"id": f"r-{number}", "results": [{"index": 0, "relevance_score": 0.5}], "meta": {"billed_units": {"search_units": units}}}
    return Call([post("/v2/rerank", asked, told, due(search_units=units, rows=rows))])


def messages(chance: Random, number: int) -> Call:
    tokens, written = Tokens(chance), chance.choice((0, chance.randint(1, 400)))
    usage = {
        "input_tokens": tokens.uncached, "cache_read_input_tokens": tokens.cached, "cache_creation_input_tokens": written,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
    }  # fmt: skip
    owed = due(input_uncached=tokens.uncached, input_cached=tokens.cached, cache_write_5m=written, output=tokens.output)
    head = {"id": f"msg_{number:024}", "type": "message", "role": "assistant", "model": "claude", "content": []}
    asked = {"model": "claude", "max_tokens": 99, "messages": ASKED["messages"]}
    if chance.random() < 0.5:
        content = [{"type": "text", "text": "so"}]
        whole = head | {"content": content, "stop_reason": "end_turn", "usage": usage | {"output_tokens": tokens.output}}
        return Call([post("/v1/messages", asked, whole, owed)])
    told = [
        {"type": "message_start", "message": head | {"usage": usage | {"output_tokens": 1}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "so"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": tokens.output}},
        {"type": "message_stop"},
    ]
    return Call([stream("/v1/messages", asked | {"stream": True}, events(*told, done=False, named=True), owed)])


def audio(chance: Random, number: int) -> Call:
    if chance.random() < 0.5:
        text = "x" * chance.randint(1, 300)
        answer = Answer([b"ID3" + bytes(50)], "audio/mpeg", due=due(input_characters=len(text)))
        return Call([Step("/v1/audio/speech", dumps({"model": "tts", "input": text, "voice": "a"}), answer)])
    seconds = chance.randint(1, 99)
    form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b--\r\n'
    answer = Answer([dumps({"text": "so", "usage": {"type": "duration", "seconds": seconds}})], due=due(audio_seconds=seconds))
    return Call([Step("/v1/audio/transcriptions", form, answer, headers=[("content-type", "multipart/form-data; boundary=b")])])


def images(chance: Random, number: int) -> Call:
    count = chance.randint(1, 3)
    told = {"created": 1, "data": [{"b64_json": "aGk="}] * count}
    return Call([post("/v1/images/generations", {"model": "i", "prompt": "x", "n": count}, told, due(images=count))])


KINDS: dict[str, tuple[Kind, int]] = {
    "chat": (chat, 8), "chat, streamed": (chat_stream, 9), "running totals": (chat_running, 3), "gzip": (chat_gzip, 4),
    "5,000 tokens": (chat_long, 1), "usage not asked for": (chat_not_asked, 3), "usage not told": (chat_not_told, 2),
    "usage hidden by a rule": (chat_hidden, 2), "left out by a policy": (chat_untapped, 2), "completions": (completions, 3),
    "responses": (responses, 4), "background": (background, 3), "batch": (batch, 2), "embeddings": (embeddings, 4), "rerank": (rerank, 2),
    "messages": (messages, 5), "audio": (audio, 2), "images": (images, 1),
}  # fmt: skip
