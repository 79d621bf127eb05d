"""OpenAI Responses over a WebSocket, and Realtime: many answers on one connection, each with usage at its end.

A client asks with `response.create`, or by speaking; the server's events are those of Responses and of Realtime, and vLLM's of
transcription. An answer is a response, or a transcription that has usage of its own. Behind a gap numbers and names are read and no texts.
Where the frames hold nothing of this protocol, and the path alone does not promise it, the call is unknown.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from collector.decode import failures
from collector.decode.json_text import NotJSONError, loads
from collector.decode.openai_responses import ARGUMENTS, REASONING, REFUSAL, TERMINAL, add_item, end_reason
from collector.decode.reading import Reading
from collector.decode.route_table import UNKNOWN
from collector.decode.routes import NOWHERE, is_websocket
from collector.decode.socket_answers import Answer, Sum
from collector.decode.trailing import trailing_members
from collector.decode.values import Object, mapping, name
from collector.decode.websocket import Close, Message, Reader, first_frame
from collector.messages.captured import Tail
from collector.messages.inference import SocketClose
from collector.messages.usage import UsageAbsence

_ENDS = frozenset((*TERMINAL, "response.done"))
_BEGINS = frozenset(("response.created", "response.in_progress", "response.queued"))
_SESSIONS = frozenset(("session.created", "session.updated", "transcription_session.created", "transcription_session.updated"))
_TEXTS = frozenset((
    "response.output_text.delta", "response.text.delta", "response.output_audio_transcript.delta", "response.audio_transcript.delta",
))  # fmt: skip
_DELTAS = frozenset((
    *_TEXTS, *REASONING, REFUSAL, *ARGUMENTS, "response.output_audio.delta", "response.audio.delta", "transcription.delta",
    "conversation.item.input_audio_transcription.delta",
))  # fmt: skip
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_TRANSCRIPTION = "transcription.done"  # vLLM's
_RESPONSE, _WRITTEN = "response", "transcription"
_WANTED = frozenset(("usage", "model", "service_tier", "status"))
_OPEN = 64  # answers that are under way at a time
_MODELS = ("model", "deployment")  # parameters of a path


def _name(value: object) -> str | None:
    """A name of a model, an answer or the like: one connection may tell many."""
    return name(value, 256)


def read(reading: Reading) -> None:
    """Fills the reading from what passed on the connection."""
    captured = reading.captured
    if is_websocket(captured.method, reading.request.headers, captured.status):
        _Socket(reading).run()
    elif captured.status is None:  # nobody knows what passed
        reading.response.partly_read = True
    else:
        failures.read(reading)


class _Socket:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._sum = Sum(reading.limits)
        self._open: dict[str | None, Answer] = {}
        self._current: Answer | None = None
        self._room, self._texts = reading.limits.socket_chars, True  # texts are read, as many characters
        self._session: str | None = None  # its model
        self._written_by: str | None = None  # the model of transcriptions
        self._asked: set[str] = set()  # models
        self._asks = self._messages = self._delivered = 0
        self._known = False  # an event of this protocol was seen
        self._error: Object | None = None

    def run(self) -> None:
        reading = self._reading
        captured = reading.captured
        client = Reader(reading.limits, lambda text: reading.problem(f"request body: {text}"))
        for message in client.feed(captured.request_body):
            self._client(message)
        server = Reader(reading.limits, lambda text: reading.problem(f"response body: {text}"))
        for message in server.feed(captured.response_body):
            self._server(message)
        if captured.response_tail is not None:
            self._behind(server, captured.response_tail)
        if not self._known and (self._messages or not reading.route.versioned):
            reading.route = NOWHERE
            reading.inference, reading.operation = {"protocol": UNKNOWN}, ""
            return
        reading.is_socket = True
        unseen = captured.response_unseen or server.unread
        self._tell(unseen)
        reading.absence = self._absence(unseen, client)
        if client.close or server.close:
            reading.inference["closed"] = _closed(client.close, server.close)

    def _client(self, message: Message) -> None:
        try:
            event = loads(message.data)
        except NotJSONError:
            return
        if not isinstance(event, dict):
            return
        kind = event.get("type")
        if kind == "response.create":
            self._asks += 1
            self._known = True
            self._ask_of(event.get("model") or mapping(event.get("response")).get("model"))
        elif kind == "session.update":
            self._known = True
            self._ask_of(event.get("model") or mapping(event.get("session")).get("model"))

    def _ask_of(self, model: object) -> None:
        if (named := _name(model)) and len(self._asked) < _OPEN:
            self._asked.add(named)

    def _behind(self, server: Reader, tail: Tail) -> None:
        """The last bytes of what the server sent, behind those that are missing."""
        data, most = tail.data, self._reading.limits.tail_bytes
        self._texts, self._current = False, None
        start = first_frame(data[:most], tail.ended and len(data) <= most)
        if start is None and len(data) > most:
            data = data[-most:]
            start = first_frame(data, tail.ended)
        begun = data if start is None else data[:start]
        server.gap(tail.offset + len(tail.data) - len(data) + len(begun))
        for members in trailing_members(begun, _WANTED)[:2]:  # of a message that began before
            if isinstance(usage := members.get("usage"), dict):
                self._known = True
                self._end(None, members | {"usage": usage})
        for message in server.feed(data[len(begun) :]):
            self._server(message)

    def _server(self, message: Message) -> None:
        self._messages += 1
        if not (message.text and message.data) or (event := self._reading.event(message.data)) is None:
            return
        if not isinstance(kind := event.get("type"), str):
            return
        if kind in _DELTAS:
            self._delta(kind, event)
        elif kind in _ENDS:
            self._known = True
            response = mapping(event.get("response"))
            self._end(_name(response.get("id")), response)
        elif kind in _BEGINS:
            self._known = True
            response = mapping(event.get("response"))
            self._head(self._answer(_name(response.get("id"))), response)
        elif kind in _SESSIONS:
            self._known = True
            self._read_session(mapping(event.get("session")) or event)
        elif kind == _TRANSCRIBED:
            self._written(_name(event.get("item_id")), self._written_by, event)
        elif kind == _TRANSCRIPTION:
            self._written(None, self._session or self._first_asked(), event)
        elif kind == "error":
            self._error = event

    def _delta(self, kind: str, event: Object) -> None:
        self._known = True
        self._delivered += 1
        answer = self._open.get(_name(event.get("response_id"))) or self._current
        piece = event.get("delta")
        if answer is None or not isinstance(piece, str) or not self._reads_texts():
            return
        if kind in _TEXTS:
            answer.choice.add_text(piece)
        elif kind in REASONING:
            answer.choice.add_reasoning(piece)
        elif kind == REFUSAL:
            answer.choice.add_refusal(piece)
        else:
            return
        self._room -= len(piece)

    def _answer(self, identifier: str | None) -> Answer:
        """The answer of that id, begun if it is new."""
        answer = self._open.get(identifier)
        if answer is None:
            answer = Answer(_RESPONSE, identifier)
            if self._sum.knows(identifier):
                return answer  # its end was told already: this one counts nowhere
            if len(self._open) >= _OPEN:
                self._sum.add(self._open.pop(next(iter(self._open))))
            self._open[identifier] = answer
        self._current = answer
        return answer

    def _reads_texts(self) -> bool:
        return self._texts and self._room > 0

    def _head(self, answer: Answer, response: Object) -> None:
        answer.model = _name(response.get("model")) or answer.model or self._session
        answer.tier = _name(response.get("service_tier")) or answer.tier

    def _end(self, identifier: str | None, response: Object) -> None:
        if identifier is not None and self._sum.knows(identifier):
            return
        answer = self._answer(identifier)
        del self._open[identifier]
        self._current = None
        self._head(answer, response)
        answer.ended, answer.finish = True, end_reason(response)
        answer.read_usage(response.get("usage"), self._reading.route.protocol)
        self._read_output(answer, response)
        if error := response.get("error"):
            self._error = {"error": error}
        self._sum.add(answer)

    def _read_output(self, answer: Answer, response: Object) -> None:
        """What was said, as the end repeats it: the pieces that came before are replaced."""
        if self._reads_texts() and (output := self._reading.blocks(response.get("output"))):
            pieces, answer.choice = answer.choice, type(answer.choice)()
            self._room += sum(map(len, pieces.pieces()))
            for item in output:
                add_item(answer.choice, item)
            self._room -= sum(map(len, answer.choice.pieces()))
            if not any(answer.choice.pieces()):
                answer.choice = pieces
        answer.choice.finish_reason = answer.finish

    def _written(self, identifier: str | None, model: str | None, event: Object) -> None:
        """A transcription that came to its end. Without usage it is told in that of the response, if at all."""
        self._known = True
        if not isinstance(event.get("usage"), dict) and self._reading.operation != _WRITTEN:
            return
        if identifier is not None and self._sum.knows(identifier):
            return
        answer = Answer(_WRITTEN, identifier)
        answer.model, answer.ended = model, True
        answer.read_usage(event.get("usage"), self._reading.route.protocol)
        said = event.get("text", event.get("transcript"))
        if isinstance(said, str) and self._reads_texts():
            answer.choice.add_text(said)
            self._room -= len(said)
        self._sum.add(answer)

    def _read_session(self, session: Object) -> None:
        self._session = _name(session.get("model")) or self._session
        heard = mapping(mapping(mapping(session.get("audio")).get("input")).get("transcription"))
        self._written_by = _name((heard or mapping(session.get("input_audio_transcription"))).get("model")) or self._written_by

    def _first_asked(self) -> str | None:
        return next(iter(self._asked)) if len(self._asked) == 1 else None

    def _tell(self, unseen: bool) -> None:
        reading, inference, told = self._reading, self._reading.inference, self._sum
        for answer in self._open.values():
            told.add(answer)
        named = parse_qs(reading.captured.path.partition("?")[2], max_num_fields=64) if len(reading.captured.path) < 4096 else {}
        reading.put(
            "model_requested", self._first_asked() if self._asked else next((_name(named[key][0]) for key in _MODELS if key in named), None)
        )
        if len(told.models) == 1 or (not told.models and self._session):
            reading.put("model_answered", next(iter(told.models), self._session))
        if told.number == 1:
            reading.put("id", told.kept[0].id)
            reading.put("service_tier", told.kept[0].tier)
        inference["streamed"] = True
        inference["answer_count"] = told.number
        if told.kept:
            untold: UsageAbsence = "capture_limit" if unseen else "aborted_before_usage"
            inference["answers"] = [answer.as_json(untold) for answer in told.kept]
        if unseen:
            inference["answers_unseen"] = True
        else:
            inference["delivered_chunks"] = self._delivered
        reading.usage, reading.classes = told.usage(), told.classes()
        if told.problem:
            reading.problem(told.problem)
        self._tell_choices()
        if self._error is not None and not any(answer.usage.numbers for answer in told.kept):
            failures.put(reading, failures.find(self._error, None) or self._error)

    def _tell_choices(self) -> None:
        reading, told = self._reading, self._sum
        most = reading.limits.choices
        choices = [answer.choice.as_json(number) for number, answer in enumerate(told.kept[:most])]
        if any(len(choice) > 1 for choice in choices):
            reading.inference["choices"] = choices
        if told.number > most or self._room <= 0:
            reading.problem("response body: of many or long answers of a WebSocket only the first are in `choices`")

    def _absence(self, unseen: bool, client: Reader) -> UsageAbsence | None:
        """Why there is no usage; None if there is, or if none was due: nothing was asked, or it failed."""
        told, status = self._sum, self._reading.captured.status
        refused = status is not None and not (200 <= status < 300 or status == 101)
        if refused or any(answer.usage.numbers or answer.usage.other for answer in told.kept):
            return None
        if unseen:
            return "capture_limit"
        if self._asks > told.number and self._error is None:
            return "aborted_before_usage"
        if not told.number:
            return "capture_limit" if client.unread and self._error is None else None
        if not all(answer.ended for answer in told.kept):
            return "aborted_before_usage"
        return None if self._error is not None and not self._delivered else "not_told"


def _closed(client: Close | None, server: Close | None) -> SocketClose:
    """Each side answers the other's close with the same code, so which came first two frames do not tell."""
    told: SocketClose = {}
    if client is None or server is None:
        told["by"] = "client" if client else "server"
    if first := client or server:
        told["code"] = first.code
    if reason := (client and client.reason) or (server and server.reason):
        told["reason"] = reason
    return told
