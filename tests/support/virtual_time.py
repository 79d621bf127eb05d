"""An event loop whose time passes only while everything in it waits: what takes how long is a matter of arithmetic, not of the machine."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Leaping(selectors.SelectSelector):
    """Leaps to the end of each wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout:
            self.now += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now


def in_virtual_time(what: Coroutine[Any, Any, T]) -> T:
    """Runs it. Nothing in it may wait for sockets, files or threads."""
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(what)
