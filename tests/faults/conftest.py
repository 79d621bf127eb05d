"""A rig for each test: what one test did to its collector is nothing to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rig import Rig


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Call it with the tap's settings."""
    with ExitStack() as stack:

        def make(**tap: Any) -> Rig:
            return Rig(tmp_path, stack, **tap)

        yield make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and "make_rig" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.mesh)
