"""One exchange while it is being read: what the protocol modules take from and add to.

Bodies are already without their content-encodings. A protocol module's `read(reading)` fills `inference`, `usage`, `choices` and
`content`; it may assume nothing about the bodies.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from collector.decode import ndjson, sse
from collector.decode.captured import Captured
from collector.decode.choices import Choices
from collector.decode.json_text import NotJSONError, complete_part, loads
from collector.decode.limits import Limits
from collector.decode.once import once
from collector.decode.usage import Usage

Headers = dict[str, str]


class Body:
    """A decoded body with its headers. `whole`: nothing of it is missing."""

    def __init__(self, side: str, data: bytes, whole: bool, headers: Headers) -> None:
        self.side = side
        self.data = data
        self.whole = whole
        self.headers = headers
        self.content_type = headers.get("content-type", "").lower()

    @property
    def starts_as_json(self) -> bool:
        """Whether the first byte that counts is that of a JSON object, array or string."""
        return self.data[:64].lstrip()[:1] in (b"{", b"[", b'"')

    @property
    def framing(self) -> str:
        """`sse`, `ndjson` or `whole`: by content type, and by the first bytes where that is missing or wrong."""
        kind = self.content_type
        if "ndjson" in kind or "jsonl" in kind or "stream+json" in kind:
            return "ndjson"
        if kind.startswith("application/grpc") or self.starts_as_json:
            return "whole"
        if "event-stream" in kind:
            return "sse"
        unsaid = not kind or kind.startswith("application/json")
        return "sse" if unsaid and sse.looks_like(self.data[:64]) else "whole"


class Reading:
    """The state of one decode."""

    def __init__(self, captured: Captured, request: Body, response: Body, limits: Limits, problems: list[str]) -> None:
        self.captured = captured
        self.request = request
        self.response = response
        self.limits = limits
        self.problems = problems
        self.operation = ""
        self.parameters: dict[str, str] = {}
        self.inference: dict[str, Any] = {}
        self.usage = Usage()
        self.choices = Choices(limits.choices)
        self.content: list[int] = []
        self._bad_events = 0
        self._changed = partial(self.changed, response)

    def problem(self, text: str) -> None:
        """Says what could not be read, up to a number of times."""
        if len(self.problems) < self.limits.problems:
            self.problems.append(text)

    def changed(self, body: Body, text: str) -> None:
        """Says once what of a body's JSON cannot be told as it is."""
        said = f"{body.side} body: {text}"
        if said not in self.problems:
            self.problem(said)

    def put(self, key: str, value: object) -> None:
        """Sets a member of `inference` if the value is known."""
        if value is not None:
            self.inference[key] = value

    def tell_streamed(self) -> None:
        """Sets `inference.streamed`: by the answer, or where there is none by what was asked for."""
        if self.response.data:
            self.inference["streamed"] = self.streamed
        elif (
            self.request.starts_as_json
            and b'"stream"' in self.request.data
            and isinstance(self.asked, dict)
            and type(wish := self.asked.get("stream")) is bool
        ):
            self.inference["streamed"] = wish

    @once
    def asked(self) -> Any:
        """The request's JSON; None if there is none."""
        return self.json(self.request, self.request.data)

    @once
    def answer(self) -> Any:
        """The response's JSON; None if there is none. Not for streams. A proxy's own replies to failures are plain text."""
        if self.captured.status is not None and self.captured.status >= 400 and not self.response.starts_as_json:
            return None
        return self.json(self.response, self.response.data)

    @once
    def streamed(self) -> bool:
        """Whether the answer is a stream of events."""
        return self.response.framing != "whole"

    def json(self, body: Body, text: bytes) -> Any:
        """The value of a JSON text of `body`; of a cut one, what came whole. None, with a problem, if it is not JSON."""
        if not text:
            return None
        if len(text) > self.limits.json_bytes:
            self.problem(f"{body.side} body: JSON of {len(text)} bytes is over the limit of {self.limits.json_bytes}")
            return None
        told = partial(self.changed, body)
        try:
            return loads(text, told)
        except NotJSONError as error:
            if body.whole:
                self.problem(f"{body.side} body: not JSON: {error}")
                return None
        try:
            return loads(complete_part(text), told)
        except NotJSONError:
            return None

    def frames(self) -> Iterator[tuple[bytes, bytes, int]]:
        """(event name, text, end offset) of the streamed answer."""
        body = self.response
        if body.framing == "ndjson":
            return ndjson.events(body.data, self.limits.events)
        return sse.events(body.data, self.limits.events)

    def events(self) -> Iterator[tuple[dict[str, Any], int]]:
        """(JSON object, end offset) of the streamed answer; events that hold none are skipped."""
        for _, text, end in self.frames():
            event = self.event(text)
            if event is not None:
                yield event, end

    def event(self, text: bytes) -> dict[str, Any] | None:
        """The object of one event's text; None for end marks, and with a problem for what is not JSON."""
        try:
            event = loads(text, self._changed)
        except NotJSONError as error:
            if text.strip() not in (b"[DONE]", b""):
                self._bad_events += 1
                if self._bad_events == 1:
                    self.problem(f"response body: an event that is not JSON: {error}")
            return None
        return event if isinstance(event, dict) else None
