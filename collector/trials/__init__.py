"""Tries what the settings name before anything runs with it: files, databases, brokers, targets, ports. Nothing lasting is made.

A trial says what it found, or raises; each has so long, and all run side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from collector.errors import MeshscribeError

SECONDS = 5.0


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


async def run(trials: Sequence[Trial], seconds: float | None = None) -> list[Result]:
    """All results, in the trials' order."""
    return list(await asyncio.gather(*(_run(trial, SECONDS if seconds is None else seconds) for trial in trials)))


async def _run(trial: Trial, seconds: float) -> Result:
    try:
        async with asyncio.timeout(seconds) as limit:
            found, ok = await trial.work(), True
    except TimeoutError as error:
        found, ok = f"no answer within {seconds:g} s" if limit.expired() else _told(error), False
    except (MeshscribeError, OSError) as error:
        found, ok = _told(error), False
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the other trials have results
        found, ok = f"{type(error).__name__}: {error}", False
    return Result(trial.setting, trial.where, ok, found)


def _told(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
