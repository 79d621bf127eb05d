"""Tries what the settings name before anything runs with it: files, databases, brokers, targets, ports. Nothing lasting is made.

A trial says what it found, or raises; each has so long, and all run side by side, each in a thread that the process can end without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import NamedTuple

from collector.errors import MeshscribeError
from collector.upkeep.trials.threads import in_loop

SECONDS = 5.0
LEAVING_SECONDS = 0.5  # that a trial which is given up has for closing what it opened


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
