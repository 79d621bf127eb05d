"""One exchange while it is being read: what the protocol modules take from and add to.

Bodies are already without their content-encodings. A protocol module's `read(reading)` fills `inference`, `usage`, `choices` and
`content`; it may assume nothing about the bodies.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, Literal, TypeVar

import orjson

from collector.decode import eventstream, ndjson, sse
from collector.decode.answers import Answers
from collector.decode.choices import Choices
from collector.decode.form import AWS, EVENTS, JSON, LENGTH, LINES, TENSORS, Form, begin, form_of
from collector.decode.json_text import NotJSONError, complete_part, first_value, is_deep, lenient
from collector.decode.limits import Limits
from collector.decode.routes import NOWHERE
from collector.decode.usage import Usage, count
from collector.decode.values import Object, objects
from collector.messages.captured import Captured
from collector.messages.inference import Inference, ProtocolName
from collector.messages.usage import TokenClasses, UsageAbsence, UsageName

Headers = dict[str, str]
Name = Literal["model_requested", "model_answered", "model_version_requested", "model_version_answered", "id", "service_tier"]
Asked = Literal["images", "rows", "input_characters", "input_tensors", "input_bytes"]
_OF_ASKED: dict[Asked, UsageName] = {
    "images": "asked_images",
    "rows": "asked_rows",
    "input_characters": "asked_input_characters",
    "input_tensors": "asked_input_tensors",
    "input_bytes": "asked_input_bytes",
}
_JSON = (JSON, LINES, TENSORS)  # looked through by identity: an Enum is slow to hash
_STREAMS = (EVENTS, LINES, AWS)
_OPENERS = (b"{", b"[")
S = TypeVar("S")
T = TypeVar("T")


class once(Generic[S, T]):  # noqa: N801 - it is used as a decorator
    """Decorates a method without arguments, whose value is made at the first look: `functools.cached_property` without the lock that it
    takes before Python 3.12. The value stands in the instance's dict afterwards, where no descriptor is asked any more.
    """

    def __init__(self, make: Callable[[S], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __get__(self, instance: S, owner: type) -> T:
        value = instance.__dict__[self._make.__name__] = self._make(instance)
        return value


class Body:
    """A decoded body with its headers. `whole`: it came to its end, and nothing of it is missing. `json_whole`: its JSON, or that before
    binary tensors, was read and is complete. `partly_read`: a bound or a fault kept something from being read, so it can't be counted.
    `is_opened`: its encodings could be undone as far as it came.
    """

    is_opened = True

    def __init__(self, side: str, data: bytes, whole: bool, headers: Headers) -> None:
        self.side = side
        self.data = data
        self.whole = whole
        self.json_whole = False
        self.partly_read = False
        self.headers = headers
        self.content_type = headers.get("content-type", "").lower()

    @property
    def is_all_told(self) -> bool:
        """Whether no member of it is missing. Of a message that was broken off behind its JSON none is."""
        return self.whole or self.json_whole

    @once
    def form(self) -> Form:
        """What the body is."""
        return form_of(self.data, self.content_type, LENGTH in self.headers)

    @property
    def starts_as_json(self) -> bool:
        """Whether the first byte that counts is that of a JSON object, array or string."""
        return self.form in _JSON

    @property
    def is_streamed(self) -> bool:
        """Whether it is a stream of events or lines."""
        return self.form in _STREAMS

    def frames(self, limit: int) -> Iterator[sse.Event]:
        """The events or lines of a stream."""
        return frames_of(self.form, self.data, limit)


def frames_of(form: Form, data: bytes, limit: int) -> Iterator[sse.Event]:
    """The events or lines in bytes of a stream of this form."""
    if form is LINES:
        return ndjson.events(data, limit)
    return eventstream.events(data, limit) if form is AWS else sse.events(data, limit)


class Reading:
    """The state of one decode. `is_undecided`: what decides its protocol was not seen, or not all of it."""

    route = NOWHERE
    # In whose ways tokens were counted, where that was not the protocol's alone; `unknown`: in one that nobody knows.
    counted_as: frozenset[ProtocolName] = frozenset()
    is_undecided = False
    is_socket = False  # many answers, each with an end of its own: nothing is read behind the protocol's own module
    absence: UsageAbsence | None = None  # of a socket: why there is no usage
    classes: TokenClasses | None = None  # of a socket: the sums of its answers
    created: int | None = None  # see Decoded

    def __init__(self, captured: Captured, request: Body, response: Body, limits: Limits, problems: list[str]) -> None:
        self.captured = captured
        self.request = request
        self.response = response
        self.limits = limits
        self.problems = problems
        self.operation = ""
        self.parameters: dict[str, str] = {}
        self.inference: Inference = {}
        self.usage = Usage()
        self.answers = Answers(limits.answers)  # usage told apart for each of several answers
        self._asked_for: dict[Asked, int] = {}
        self.choices = Choices(limits.choices)
        self.content: list[int] = []
        self._bad_events = 0

    def problem(self, text: str) -> None:
        """Says what could not be read: once, and up to a number of things."""
        if text not in self.problems and len(self.problems) < self.limits.problems:
            self.problems.append(text)

    def has_room(self, calls: Sequence[object]) -> bool:
        """Whether one more tool call of a choice is kept beside these; if not, it is said."""
        if len(calls) < self.limits.tool_calls:
            return True
        self.problem(f"more than {self.limits.tool_calls} tool calls: the rest is not read")
        return False

    def blocks(self, told: object) -> list[Object]:
        """The content blocks of a whole answer, as many as are read; that there are more is said."""
        found, most = objects(told), self.limits.tool_calls
        if len(found) > most:
            self.problem(f"more than {most} content blocks: the rest is not read")
        return found[:most]

    def _read(self, body: Body, text: bytes) -> object:
        """As `loads`; says what of a body's JSON cannot be told as it is."""
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            return lenient(text, error, partial(self._changed, body))

    def _changed(self, body: Body, text: str) -> None:
        self.problem(f"{body.side} body: {text}")

    def put(self, key: Name, value: str | None) -> None:
        """Sets a member of `inference` if the value is known."""
        if value is not None:
            self.inference[key] = value

    def count_asked(self, called: Asked, count: int | None) -> None:
        """Notes how many of something were asked for, if all of the request is there to count them."""
        if self.request.whole:
            self.count_known(called, count)

    def count_known(self, called: Asked, count: int | None) -> None:
        """The same of what the request tells itself, so that it is known even if the rest was cut."""
        if count is not None:
            self._asked_for[called] = count

    def add_up(self) -> None:
        """Into the usage: what was told of several answers, and counted in the request. Of a call that failed that was only asked for."""
        if self.answers.are_told:
            self.answers.add_to(self.usage)
            if self.answers.left_out:
                self.problem(f"more than {self.limits.answers} answers with usage of their own: what they come to is not known")
        if self._asked_for:
            done = self._succeeded()
            for called, count in self._asked_for.items():
                self.usage.note(called if done else _OF_ASKED[called], count)

    def _succeeded(self) -> bool:
        """Whether there was an answer, and no error in place of it. Of a stream, whether at least one part of it came."""
        status = self.captured.status
        if status is not None and not 200 <= status < 300:
            return False
        if self.content:
            return True
        return "error" not in self.inference and (status is not None or bool(self.response.data))

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
    def asked(self) -> object:
        """The request's JSON; None if there is none."""
        return self.json(self.request, self.request.data)

    @once
    def answer(self) -> object:
        """The response's JSON; None if there is none. Not for streams. A proxy's own replies to failures are plain text."""
        if self.captured.status is not None and self.captured.status >= 400 and not self.response.starts_as_json:
            return None
        return self.json(self.response, self.response.data)

    @once
    def streamed(self) -> bool:
        """Whether the answer is a stream of events."""
        return self.response.is_streamed

    def json(self, body: Body, text: bytes) -> object:
        """The value of a JSON text of `body`; of a cut one, what came whole. None, with a problem, if it is not JSON."""
        if not text:
            return None
        if text[:1] not in _OPENERS:
            text = text[begin(text) :]
        if len(text) > self.limits.json_bytes:
            self.problem(f"{body.side} body: JSON of {len(text)} bytes is over the limit of {self.limits.json_bytes}")
            body.partly_read = True
            return None
        try:
            value = self._read(body, text)
            body.json_whole = type(value) is dict or type(value) is list  # `dict | list` is made anew at each look
            return value
        except NotJSONError as error:
            if body.whole:
                return self._first(body, text, error)
        try:
            return self._read(body, complete_part(text))
        except NotJSONError:
            return None

    def _first(self, body: Body, text: bytes, error: NotJSONError) -> object:
        """The value that stands before something else."""
        try:
            _, end = first_value(text)
            value = self._read(body, text[:end])
        except NotJSONError:
            self.problem(f"{body.side} body: not JSON: {error}")
            body.partly_read |= is_deep(text)
            return None
        self.problem(f"{body.side} body: {len(text) - end} bytes behind its JSON are not read")
        return value

    @once
    def events_are_left_out(self) -> bool:
        """Whether the streamed answer has more events than are read."""
        form = self.response.form
        is_over = ndjson.count_is_over if form is LINES else eventstream.count_is_over if form is AWS else sse.count_is_over
        return self.streamed and is_over(self.response.data, self.limits.events)

    def tell_background(self, answer: Object) -> None:
        """It is told to whoever asks for it, again and again; its id and when it was made name it."""
        self.inference["background"] = True
        created = count(answer.get("created_at"))
        self.created = None if created is None else int(created)

    @property
    def has_bad_events(self) -> bool:
        """Whether events or lines that were read are not JSON."""
        return self._bad_events > 0

    def frames(self) -> Iterator[tuple[bytes, bytes, int]]:
        """(event name, text, end offset) of the streamed answer."""
        if self.response.form is AWS:
            return eventstream.events(self.response.data, self.limits.events, self._spoiled)
        return self.response.frames(self.limits.events)

    def _spoiled(self, text: str) -> None:
        self.response.partly_read = True
        self.problem(f"response body: {text}")

    def events(self) -> Iterator[tuple[Object, int]]:
        """(JSON object, end offset) of the streamed answer; events that hold none are skipped."""
        for _, text, end in self.frames():
            event = self.event(text)
            if event is not None:
                yield event, end

    def typed_events(self) -> Iterator[tuple[Object, int]]:
        """As `events`; each with its `type`, which some gateways tell in the event's line alone."""
        read = self.event
        for named, text, end in self.frames():
            event = read(text)
            if event is not None:
                if named and "type" not in event:
                    event["type"] = named.decode("utf-8", "replace")
                yield event, end

    def event(self, text: bytes) -> Object | None:
        """The object of one event's text; None for end marks, and with a problem for what is not JSON."""
        try:
            event = self._read(self.response, text)
        except NotJSONError as error:
            if text.strip() not in (b"[DONE]", b""):
                self._bad_events += 1
                self.response.partly_read |= is_deep(text)
                if self._bad_events == 1:
                    self.problem(f"response body: an event that is not JSON: {error}")
            return None
        return event if isinstance(event, dict) else None
