"""Harvests what the tests of the decoders and of redaction decode: a plugin of pytest, run by `record` in a process of its own.

It puts itself in front of `decode` and `conceal` before the tests import them, and writes each exchange that passes once.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import msgspec
import pytest

import collector.decode
import collector.redact
from collector.decode import Captured

ROOT = Path(__file__).parents[2]
TESTS = ("tests/decode",)
LARGEST = 12 << 10  # bytes of both bodies
OPTION = "--harvest"


def harvest() -> list[Captured]:
    """The exchanges, in an order of their own content. Raises RuntimeError: the tests fail."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "harvest"
        options = ["-q", "-x", "-p", "no:cacheprovider", "-p", __name__, f"{OPTION}={out}", "-k", "not properties", "--hypothesis-seed=14"]
        done = subprocess.run([sys.executable, "-m", "pytest", *options, *TESTS], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the tests whose traffic is recorded fail:\n{done.stdout[-4000:]}")
        return msgspec.msgpack.decode(out.read_bytes(), type=list[Captured])


_seen: set[bytes] = set()


def _noting(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def noted(captured: Captured, *more: Any, **named: Any) -> Any:
        if len(captured.request_body) + len(captured.response_body) <= LARGEST:
            _seen.add(msgspec.msgpack.encode(captured))
        return function(captured, *more, **named)

    return noted


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, type=Path)


def pytest_configure(config: pytest.Config) -> None:
    gzip.compress = partial(gzip.compress, mtime=0)  # which tells the time else
    collector.decode.decode = _noting(collector.decode.decode)
    collector.redact.conceal = _noting(collector.redact.conceal)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.getoption(OPTION).write_bytes(msgspec.msgpack.encode([msgspec.Raw(one) for one in sorted(_seen)]))
