"""What a failed test left open is its own fault: it is thrown away with the test, and no later test is told of it.

A failure keeps its traceback, and with it the producers and connections of its frames. Whenever those are collected they complain, and
the complaint, an error here, would be that of the test that runs by then. What a test that passed leaves open stays an error.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator

import pytest

FAILED = pytest.StashKey[bool]()
KEPT = ("last_type", "last_value", "last_traceback", "last_exc")  # by pytest, for debuggers


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    done = yield
    if item.stash.get(FAILED, False):
        throw_away()
    return done


def throw_away() -> None:
    """Collects what only a failure's traceback held, and hears no complaint of it."""
    for name in KEPT:
        if hasattr(sys, name):
            delattr(sys, name)
    told, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = told
