"""The target over HTTP: CloudEvents 1.0, HTTP protocol binding, in binary, structured or batch mode.

At least once: the place is kept elsewhere (places.py) and written after the events were accepted. A repeat has the same ids. Events go one
request after the other, in order; one that is out for long is repeated beside itself (repeats.py). What a receiver's answer means stands in
`meaning`. An event's headers (§3.1) are equal to what the CloudEvents SDK makes of the same attributes (tested).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol
from urllib.parse import quote

import httpx

from collector.clock import Clock
from collector.dead_letters.events import BATCH_TYPE, EVENT_TYPE, placed, structured
from collector.errors import PermanentError, RetryableError
from collector.messages.event import Event, Output, Place
from collector.relays.places import Places
from collector.relays.protocol import LaterError, Poison, PoisonError
from collector.relays.repeats import Patience, Repeats
from collector.retry import retry_after

# §3.1.3.2: printable ASCII stays, but for the space, the double quote and the percent sign.
_STAYS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
# Answers that speak of the endpoint, its address or our credentials, not of this event: people can mend that, and no event is lost by it.
_OF_THE_ENDPOINT = frozenset({401, 402, 403, 404, 405, 407, 408, 409, 410, 421, 423, 425, 429})
_TOLD = 200  # characters of an answer that a reason quotes


def binary(event: Event, journal: str, place: Place) -> list[tuple[bytes, bytes]]:
    """The headers. A content type that no header can carry is left out: the body may be of any type then."""
    named = placed(event, journal, place)
    content_type = named.pop("datacontenttype", None)
    made = [(f"ce-{name}".encode(), _value(value)) for name, value in named.items()]
    if isinstance(content_type, str) and content_type.isascii() and content_type.isprintable() and content_type.strip():
        made.append((b"content-type", content_type.strip().encode()))
    return made


def _value(value: str | int | bool) -> bytes:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return quote(text, safe=_STAYS, errors="replace").encode()


class _Placed(NamedTuple):
    """An event with where it stands."""

    place: Place
    event: Event


class Client(Protocol):
    """What sends requests (http_client.py)."""

    url: str

    async def post(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> httpx.Response: ...
    async def close(self) -> None: ...


class HttpTarget:
    """See collector.sinks.protocol.Target. `batch`: events in one request of batch mode, `batch_bytes`: their bytes, about.

    `patience`: when a late request is repeated; by default as its target answers.
    """

    def __init__(
        self, client: Client, places: Places, clock: Clock, *, mode: str, batch: int, batch_bytes: int, patience: Patience | None = None
    ) -> None:
        self._client, self._places, self._clock = client, places, clock
        self._mode, self._batch, self._batch_bytes = mode, batch, batch_bytes
        self._repeats = Repeats(patience)
        self._accepted: set[str] = set()  # since the last place: what is tried again leaves these out

    async def high(self, journal: str) -> Place:
        """See Target."""
        return await self._places.get(journal)

    async def write(self, journal: str, outputs: Sequence[Output], high: Place) -> None:
        """See Target. Raises PoisonError too."""
        poisons = await self._send(journal, outputs)
        if poisons:
            raise PoisonError(poisons)
        await self._places.set(journal, high)
        self._accepted.clear()

    async def resend(self, journal: str, outputs: Sequence[Output]) -> None:
        """See Target."""
        poisons = await self._send(journal, outputs)
        self._accepted.clear()
        if poisons:
            raise PoisonError(poisons)

    async def close(self) -> None:
        """See Target."""
        await self._client.close()
        await self._places.close()

    async def _send(self, journal: str, outputs: Sequence[Output]) -> list[Poison]:
        events = [_Placed(o.place, event) for o in outputs for event in o.events if event.id not in self._accepted]
        poisons: list[Poison] = []
        before = len(self._accepted)
        try:
            for some in self._requests(events) if self._mode == "batch" else ([event] for event in events):
                poisons += await self._post(journal, some)
        except RetryableError as error:
            error.progressed = len(self._accepted) > before
            raise
        return poisons

    def _requests(self, events: Sequence[_Placed]) -> Iterator[Sequence[_Placed]]:
        start = size = 0
        for end, (_, event) in enumerate(events):
            if end > start and (end - start == self._batch or size + len(event.data) > self._batch_bytes):
                yield events[start:end]
                start, size = end, 0
            size += len(event.data)
        if start < len(events):
            yield events[start:]

    async def _post(self, journal: str, events: Sequence[_Placed]) -> list[Poison]:
        """One request; what is refused for ever is found by halves. Raises RetryableError."""
        refused = await self._repeats.answer(partial(self._ask, *self._message(journal, events)))
        if refused is None:
            self._accepted.update(event.id for _, event in events)
            return []
        if len(events) == 1:
            ((place, event),) = events
            return [Poison(Output(place, (event,)), str(refused))]
        half = len(events) // 2
        return [*await self._post(journal, events[:half]), *await self._post(journal, events[half:])]

    async def _ask(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> PermanentError | None:
        """Why it is refused for ever; None: it is accepted. Raises RetryableError."""
        answer = await self._client.post(headers, body)
        refused = meaning(answer, self._client.url, self._clock.now_us())
        if isinstance(refused, RetryableError):
            raise refused
        return refused

    def _message(self, journal: str, events: Sequence[_Placed]) -> tuple[list[tuple[bytes, bytes]], bytes]:
        if self._mode == "binary":
            ((place, event),) = events
            return binary(event, journal, place), event.data
        bodies = [structured(event, journal, place) for place, event in events]
        if self._mode == "structured":
            return [(b"content-type", EVENT_TYPE.encode())], bodies[0]
        return [(b"content-type", BATCH_TYPE.encode())], b"[" + b",".join(bodies) + b"]"


def meaning(answer: httpx.Response, url: str, now_us: int) -> RetryableError | PermanentError | None:
    """What an answer means for the events: None: accepted (2xx). 4xx: never, for what they are, but for those of the endpoint itself.

    All else may be mended: 5xx, redirects (which would send events where nobody said), and 4xx that speak of address or credentials.
    """
    status = answer.status_code
    if 200 <= status < 300:
        return None
    said = f"{url} answers {status}: {answer.text[:_TOLD] or answer.reason_phrase}"
    if 400 <= status < 500 and status not in _OF_THE_ENDPOINT:
        return PermanentError(said)
    seconds = retry_after(answer.headers.get("retry-after"), now_us)
    return LaterError(said, seconds) if seconds is not None else RetryableError(said)
