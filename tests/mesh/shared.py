"""The mesh of two hops that several test files share. A plugin of its own, so that it is started once for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.mesh.two_hops import TwoHops


@pytest.fixture(scope="session")
def two_hops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHops]:
    with ExitStack() as stack:
        yield TwoHops(tmp_path_factory.mktemp("two-hops"), stack)
