"""Servers in the tests' own process end at once. uvicorn sleeps a tenth of a second between two looks at whether it shall end, and again
at its end whether connections are left; hundreds of tests stop a server, and have nothing to do meanwhile. Here it looks ten times as
often. Processes that tests start keep uvicorn's times.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import uvicorn.server

TIMES = 10


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds / TIMES)


def pytest_configure() -> None:
    uvicorn.server.asyncio = SimpleNamespace(**{**vars(asyncio), "sleep": _sleep})  # type: ignore[attr-defined]


def pytest_unconfigure() -> None:
    uvicorn.server.asyncio = asyncio  # type: ignore[attr-defined]
