"""Tries what the settings name before anything runs with it: files, databases, brokers, targets, ports. Nothing lasting is made.

A trial says what it found, or raises; each has so long, and all run side by side, each in a thread that the process can end without:
what hangs in one, on a dead disk or a silent name server, can be neither cancelled nor joined. asyncio joins its threads before a loop is
closed, and Python joins those of every executor before it ends. Daemon threads it leaves alone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future, wait
from functools import partial
from typing import NamedTuple, TypeVar

from collector.errors import MeshscribeError

T = TypeVar("T")
SECONDS = 5.0
LEAVING_SECONDS = 0.5  # that a trial which is given up has for closing what it opened


class Loop(asyncio.SelectorEventLoop):
    """A loop whose own threads, those of `to_thread` and of name lookups, are such threads."""

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: object) -> asyncio.Future[T]:
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        return asyncio.wrap_future(_started(lambda: func(*args)), loop=self)


def in_loop(work: Callable[[], Coroutine[object, object, T]]) -> Future[T]:
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


class Trial(NamedTuple):
    """`setting` names it, `where` is what is tried. `work` returns what it found; raises MeshscribeError or OSError."""

    setting: str
    where: str
    work: Callable[[], Awaitable[str]]


class Result(NamedTuple):
    """Of one trial."""

    setting: str
    where: str
    ok: bool
    detail: str


def run(trials: Sequence[Trial], seconds: float = SECONDS) -> list[Result]:
    """All results, in the trials' order, whatever hangs. Each trial has so many seconds."""
    running = [in_loop(partial(_run, trial, seconds)) for trial in trials]
    wait(running, seconds + LEAVING_SECONDS)
    return [_found(trial, done, seconds) for trial, done in zip(trials, running, strict=True)]


async def _run(trial: Trial, seconds: float) -> Result:
    try:
        async with asyncio.timeout(seconds) as limit:
            found, ok = await trial.work(), True
    except TimeoutError as error:
        found, ok = _late(seconds) if limit.expired() else _told(error), False
    except (MeshscribeError, OSError) as error:
        found, ok = _told(error), False
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the other trials have results
        found, ok = f"{type(error).__name__}: {error}", False
    return Result(trial.setting, trial.where, ok, found)


def _found(trial: Trial, done: Future[Result], seconds: float) -> Result:
    return done.result() if done.done() else Result(trial.setting, trial.where, False, _late(seconds))


def _late(seconds: float) -> str:
    return f"no answer within {seconds:g} s"


def _told(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
