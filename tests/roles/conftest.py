"""Clusters of roles on the session's broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from collector.demo.kafka_broker import KafkaBroker
from tests.support.cluster import Cluster


@pytest.fixture
def make_cluster(kafka: KafkaBroker, tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Topics of the test's own. What it starts is stopped."""
    with ExitStack() as stack:

        def make(**changes: Any) -> Cluster:
            return Cluster(kafka.bootstrap, tmp_path, stack, **changes)

        yield make
