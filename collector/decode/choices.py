"""Puts the pieces of a streamed answer together into the message that a call without streaming would have returned.

A text that was never sent is absent; one that was sent empty is "". Tool calls are put together by their index; servers that repeat a
call's id or name, or give several whole calls the same index, with ids or without, are understood.
"""

from collections.abc import Iterator

import orjson

from collector.decode.json_text import NotJSONError, loads
from collector.messages.inference import AnswerChoice, ToolCall

_PROOFS = 8  # how often a call's arguments are looked at for their end


class Call:
    """A tool call in the making. `too_deep`: its arguments were nested deeper than JSON is written, and are left out."""

    __slots__ = ("_proofs", "arguments", "id", "name", "too_deep")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name: str | None = None
        self.arguments: list[str] = []
        self.too_deep = False
        self._proofs = 0

    def give(self, value: object) -> bool:
        """Adds arguments: a text as it is, an object or array as compact JSON. True if that is something."""
        if isinstance(value, str):
            if value:
                self.arguments.append(value)
            return bool(value)
        return isinstance(value, dict | list) and self.write(value)

    def write(self, value: object) -> bool:
        """Adds a value as compact JSON. False: it cannot be written. A reader takes more levels of nesting than a writer."""
        try:
            self.arguments.append(orjson.dumps(value).decode())
        except orjson.JSONEncodeError:
            self.too_deep = True
            return False
        return True

    def is_complete(self) -> bool:
        """Whether its arguments are a whole JSON object: what follows under another name is another call."""
        if not self.arguments or not self.arguments[-1].rstrip().endswith("}") or self._proofs >= _PROOFS:
            return False
        self._proofs += 1
        try:
            return isinstance(loads("".join(self.arguments).encode("utf-8", "replace")), dict)
        except NotJSONError:
            return False

    def as_json(self) -> ToolCall:
        """id and name as far as they were sent, the arguments as one text."""
        call: ToolCall = {}
        if self.id is not None:
            call["id"] = self.id
        if self.name is not None:
            call["name"] = self.name
        call["arguments"] = "".join(self.arguments)
        return call


class Choice:
    """One choice in the making. The lists hold pieces; None: nothing of the kind was sent."""

    __slots__ = ("_latest", "calls", "finish_reason", "logprobs", "reasoning", "refusal", "role", "text")

    def __init__(self) -> None:
        self.role: str | None = None
        self.text: list[str] | None = None
        self.reasoning: list[str] | None = None
        self.refusal: list[str] | None = None
        self.calls: list[Call] = []
        self._latest: dict[object, Call] = {}
        self.finish_reason: str | None = None
        self.logprobs = False

    def add_text(self, piece: str) -> None:
        """Appends to the text."""
        if self.text is None:
            self.text = []
        self.text.append(piece)

    def add_reasoning(self, piece: str) -> None:
        """Appends to the reasoning."""
        if self.reasoning is None:
            self.reasoning = []
        self.reasoning.append(piece)

    def add_refusal(self, piece: str) -> None:
        """Appends to the refusal."""
        if self.refusal is None:
            self.refusal = []
        self.refusal.append(piece)

    def new_call(self) -> Call:
        """A call that no fragment before this one belongs to."""
        call = Call()
        self.calls.append(call)
        return call

    def absorb(self, other: "Choice") -> None:
        """Appends all that another choice brought."""
        for pieces, add in ((other.text, self.add_text), (other.reasoning, self.add_reasoning), (other.refusal, self.add_refusal)):
            for piece in pieces or ():
                add(piece)
        self.role = self.role or other.role
        self.calls += other.calls
        self.finish_reason = other.finish_reason or self.finish_reason
        self.logprobs |= other.logprobs

    def call(self, index: object, call_id: str | None, name: str | None) -> Call:
        """The call that a fragment belongs to, made if it is new. `index` may be any JSON value or None."""
        key = index if isinstance(index, int) else "none"
        call = self._latest.get(key)
        if call is None or (name is not None and _is_another(call, key, call_id)):
            call = self.new_call()
            self._latest[key] = call
        if call_id and call.id is None:
            call.id = call_id
        if name is not None and call.name is None:
            call.name = name
        return call

    def pieces(self) -> Iterator[str]:
        """All that the model generated for it."""
        for pieces in (self.reasoning, self.text, self.refusal):
            yield from pieces or ()
        for call in self.calls:
            yield call.name or ""
            yield from call.arguments

    def as_json(self, index: int) -> AnswerChoice:
        """The record's form of a choice."""
        choice: AnswerChoice = {"index": index}
        if self.role is not None:
            choice["role"] = self.role
        if self.text is not None:
            choice["text"] = "".join(self.text)
        if self.reasoning is not None:
            choice["reasoning"] = "".join(self.reasoning)
        if self.refusal is not None:
            choice["refusal"] = "".join(self.refusal)
        if self.calls:
            choice["tool_calls"] = [call.as_json() for call in self.calls]
        if self.finish_reason is not None:
            choice["finish_reason"] = self.finish_reason
        if self.logprobs:
            choice["logprobs"] = True
        return choice


def _is_another(call: Call, key: object, call_id: str | None) -> bool:
    """Whether a fragment with a name, under the index of `call`, begins another call."""
    if call_id and call.id is not None:
        return call_id != call.id
    return call.name is not None and (key == "none" or call.is_complete())


class Choices:
    """The choices of one answer, by their index, at most `limit`."""

    __slots__ = ("_by_index", "_limit", "left_out", "odd")

    def __init__(self, limit: int) -> None:
        self._by_index: dict[int, Choice] = {}
        self._limit = limit
        self.left_out = False
        self.odd = False  # an index was told that is no number of 64 bits

    def at(self, index: object) -> Choice:
        """The choice of that index; an index that is no number means the first. Beyond the limit a choice that is not kept."""
        number = index if type(index) is int else self._odd(index)
        choice = self._by_index.get(number)
        if choice is None:
            choice = Choice()
            if len(self._by_index) < self._limit:
                self._by_index[number] = choice
            else:
                self.left_out = True
        return choice

    @property
    def are_told(self) -> bool:
        """Whether there is anything to be said of them."""
        return bool(self._by_index) or self.left_out or self.odd

    def knows(self, index: object) -> bool:
        """Whether that choice was begun. Beyond the limit none is."""
        return index in self._by_index

    def unite(self) -> Choice:
        """Makes all of them one, the first."""
        parts = [self._by_index[index] for index in sorted(self._by_index)]
        self._by_index.clear()
        whole = self.at(0)
        for part in parts:
            whole.absorb(part)
        return whole

    def _odd(self, index: object) -> int:
        self.odd |= index is not None
        return 0

    def as_json(self) -> list[AnswerChoice]:
        """The record's `choices`, by index."""
        return [self._by_index[index].as_json(index) for index in sorted(self._by_index)]

    def are_too_deep(self) -> bool:
        """Whether arguments of a call are left out, since they are nested too deep."""
        return any(choice.calls and any(call.too_deep for call in choice.calls) for choice in self._by_index.values())

    def text(self) -> str:
        """All that was generated, for an estimate."""
        return "".join(piece for choice in self._by_index.values() for piece in choice.pieces())

    def ended(self) -> bool:
        """Whether every choice told why it ended."""
        return all(choice.finish_reason for choice in self._by_index.values())
