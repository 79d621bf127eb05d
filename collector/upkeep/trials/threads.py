"""Threads that nobody waits for: what hangs in one, on a dead disk or a silent name server, can be neither cancelled nor joined.

asyncio joins its threads before a loop is closed, and Python joins those of every executor before it ends. Daemon threads it leaves alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Loop(asyncio.SelectorEventLoop):
    """A loop whose own threads, those of `to_thread` and of name lookups, are such threads."""

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        return asyncio.wrap_future(_started(lambda: func(*args)), loop=self)


def in_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
    """Runs it in a thread with a loop of its own."""

    def run() -> T:
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(work())

    return _started(run)


def _started(work: Callable[[], T]) -> Future[T]:
    done: Future[T] = Future()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is for who waits for the future
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done
