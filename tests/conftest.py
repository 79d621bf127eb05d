"""Holds for all tests: servers that several folders share, started once a session and only if a test asks; what asks for one, or for Go,
is `slow`, so that `make check` needs none; and a skip is a failure, unless MESHSCRIBE_ALLOW_SKIPS=1 says that this machine may lack a part.
"""

from __future__ import annotations

import gc
import inspect
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

import tests.support.effort  # noqa: F401 before any test: it sets the profile
from tests.support.quick_files import keep_in_memory

# Read when grpc is first used. Its handlers run in the child of each fork (a process started as another user) while threads use gRPC,
# and can end it with a segmentation fault. What uses gRPC in a fork (tests/support/warm_server.py) comes of a process that never did.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
# Each process that a test starts would compile the collector anew: half a second of the processor, hundreds of times.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# The tests' JVMs live for seconds: the second compiler would take longer than it saves.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
keep_in_memory()

pytest_plugins = [
    "tests.support.kafka",
    "tests.support.leftovers",
    "tests.support.made_once",
    "tests.support.postgres",
    "tests.support.quick_stops",
    "tests.support.routes_once",
    "tests.support.testers",
    "tests.support.warm_start",
]

SERVERS = {"browser", "kafka", "postgres", "real_cluster", "secured"}  # fixtures, and parameters that ask for them
SPOKEN_TO = {"database", "empty_database", "kafka", "postgres", "secured"}  # by the loop of a test
NEED_GO = Path(__file__).parent / "manifests"
ALLOWED = os.environ.get("MESHSCRIBE_ALLOW_SKIPS") == "1"


def pytest_configure() -> None:
    """A shell makes what it starts in the background deaf to Ctrl-C, and so all that this starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(NEED_GO) or (isinstance(item, pytest.Function) and SERVERS & _asked_for(item)):
            item.add_marker(pytest.mark.slow)
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function) and SPOKEN_TO & _asked_for(item):
            item.fixturenames[:] = dict.fromkeys(["connections_gone", *item.fixturenames])  # set up first, it ends last


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The tests themselves stay to the end: none of them that asks what memory it took has to look through the others, and while they are
    found nothing becomes garbage.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def _asked_for(item: pytest.Function) -> set[str]:
    parameters = item.callspec.id.split("-") if hasattr(item, "callspec") else []
    return {*item.fixturenames, *parameters}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not ALLOWED and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason}\nA skipped test proves nothing. MESHSCRIBE_ALLOW_SKIPS=1 allows it on this machine."
    return report
