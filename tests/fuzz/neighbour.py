"""The well-behaved neighbour: its exchanges are ordinary, each in a batch of its own, posted until it is acknowledged, then logged."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass

from tests.fuzz.posts import NO_ANSWER, Connection, Post
from tests.fuzz.streams import Calls, Stream
from tests.support.witnesses import Told, Vm, log_message, parts

NODE = "sidecar~10.5.5.5~neighbour-0.good~good.svc.cluster.local"
VM = "00000000900d900d"
RETRY_SECONDS = 0.05


@dataclass
class Case:
    """One exchange as it was sent. Times of the monotonic clock."""

    request_id: str
    request_sha256: str
    response_sha256: str
    posted: float
    acknowledged: float = 0.0
    logged: float = 0.0
    seen: float = 0.0
    disturbed: bool = False  # the collector was ended or away about then: its log entry may be lost, and it may take longer


class Neighbour:
    """Sends one exchange each time that `tell` is called; `cases` are all that were acknowledged."""

    def __init__(self, port: int, grpc_port: int, prefix: str = "good", vm: str = VM, sent: int = 0) -> None:
        """`sent`: how many exchanges this VM has told of before."""
        self.cases: dict[str, Case] = {}
        self.waiting: dict[str, Case] = {}  # acknowledged, and not seen in the store yet
        self.refused = 0
        self._prefix = prefix
        self._connection = Connection(port, self._answered, ahead=1)
        self._calls = Calls(grpc_port)
        self._stream: Stream | None = None
        self._vm = Vm(name=vm, node=NODE, sequence=sent, ends=sent)
        self._due: asyncio.Queue[bool] = asyncio.Queue()
        self._status = NO_ANSWER
        self._number = sent

    @property
    def untold(self) -> int:
        """How many it is still to tell of."""
        return self._due.qsize()

    def tell(self) -> None:
        """One more."""
        self._due.put_nowait(True)

    def finish(self) -> None:
        """No more: `run` returns once all is told."""
        self._due.put_nowait(False)

    async def run(self) -> None:
        while await self._due.get():
            await self._one()
        if self._stream is not None:
            await self._calls.end(self._stream)

    def close(self) -> None:
        """Its connections."""
        self._calls.close()
        self._connection.close()

    def disturb(self) -> None:
        """The collector ends now: log entries of what is not stored yet may go with it."""
        for case in self.waiting.values():
            case.disturbed = True

    def disturb_since(self, began: float) -> None:
        """The collector was away since then. What was acknowledged while it was being ended counts too: its log entry came after."""
        for case in reversed(self.cases.values()):
            if case.acknowledged < began:
                break
            case.disturbed = True

    def oldest_unseen(self) -> float:
        """For how many seconds the oldest acknowledged and undisturbed one has not been visible; 0: all are."""
        ages = (time.monotonic() - case.acknowledged for case in self.waiting.values() if not case.disturbed)
        return max(ages, default=0.0)

    async def _one(self) -> None:
        self._number += 1
        told = self.told(self._number)
        case = Case(told.request_id, _sha(told.request), _sha(told.response_body), time.monotonic())
        post = Post(self._vm.seal(parts(told)).SerializeToString())
        while await self._post(post) != 200:
            self.refused += self._status != NO_ANSWER
            case.disturbed = case.disturbed or self._status == NO_ANSWER
            await asyncio.sleep(RETRY_SECONDS)
        case.acknowledged = time.monotonic()
        self.cases[told.request_id] = self.waiting[told.request_id] = case
        if not await self._log(told):
            case.disturbed = True
        case.logged = time.monotonic()

    async def _post(self, post: Post) -> int:
        self._status = NO_ANSWER
        await self._connection.send(post)
        await self._connection.idle()
        return self._status

    def _answered(self, post: Post, status: int) -> None:
        self._status = status

    async def _log(self, told: Told) -> bool:
        """False: the stream broke about now."""
        unbroken = self._stream is None or self._stream.status is None
        while True:
            first = self._stream is None or self._stream.status is not None
            if first or self._stream is None:
                self._stream = await self._calls.begin()
            if await self._calls.send(self._stream, log_message([told], NODE if first else None).SerializeToString()):
                return unbroken
            unbroken = False

    def told(self, number: int) -> Told:
        """The exchange of this number."""
        return Told(
            number,
            request_id=f"{self._prefix}-{number}",
            start_us=time.time_ns() // 1000,
            downstream=f"10.0.0.9:{1024 + number % 60_000}",
            path="/v1/chat/completions",
            request=b'{"model":"m-7b","messages":[{"role":"user","content":"%d"}]}' % number,
            response=(b'{"model":"m-7b","choices":[{"index":0,"message":{"content":"', b"%d" % number, b'"},"finish_reason":"stop"}]}'),
        )


def _sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
