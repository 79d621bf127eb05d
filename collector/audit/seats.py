"""Long answers hold a page in memory for as long as their clients read: so there is a seat for each, and a bound on seats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class NoSeatError(Exception):
    """All seats are taken, or all that one client may have: 429."""

    def __init__(self, what: str, quota: int, mine: bool, setting: str) -> None:
        whose = "of this client" if mine else "in all"
        super().__init__(f"{quota} {what} {whose} are under way ({setting}): wait until one has ended.")
        self.what, self.quota = what, quota


class Seats:
    """So many in all, and so many for one client. `what` is also the setting's name."""

    def __init__(self, what: str, in_all: int, each: int) -> None:
        self._what, self._in_all, self._each = what, in_all, each
        self._taken = Counter[str]()

    def take(self, client: str) -> Seat:
        """Raises NoSeatError."""
        if self._taken[client] >= self._each:
            raise NoSeatError(self._what, self._each, True, f"audit.client_{self._what}")
        if self._taken.total() >= self._in_all:
            raise NoSeatError(self._what, self._in_all, False, f"audit.{self._what}")
        self._taken[client] += 1
        return Seat(self, client)

    def leave(self, client: str) -> None:
        """One is free again."""
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]

    @property
    def taken(self) -> int:
        return self._taken.total()


class Seat:
    """Taken until it is left; leaving it twice does no harm."""

    def __init__(self, seats: Seats, client: str) -> None:
        self._seats, self._client = seats, client
        self._left = False

    def leave(self) -> None:
        """It is free."""
        if not self._left:
            self._left = True
            self._seats.leave(self._client)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Until the end of this, unless it ends well: then whoever goes on with the answer leaves it."""
        try:
            yield
        except BaseException:
            self.leave()
            raise
