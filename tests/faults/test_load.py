"""Under load every request is one exchange, complete, and the ledger shows no loss.

MESHSCRIBE_SOAK_REQUESTS and MESHSCRIBE_SOAK_RATE set the long form's size.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

from collector.messages.completeness import Completeness
from tests.bench.load import Load
from tests.faults.rig import Rig
from tests.support.waits import until

SOAK_REQUESTS = int(os.environ.get("MESHSCRIBE_SOAK_REQUESTS", "30000"))
SOAK_RATE = float(os.environ.get("MESHSCRIBE_SOAK_RATE", "2000"))


@pytest.mark.parametrize(
    ("requests", "rate"), [(4000, 2000.0), pytest.param(SOAK_REQUESTS, SOAK_RATE, marks=pytest.mark.soak)], ids=["short", "soak"]
)
def test_every_request_is_one_complete_exchange(make_rig: Callable[..., Rig], requests: int, rate: float) -> None:
    rig = make_rig()
    (result,) = rig.load(Load(rig.tapped, requests=requests, rate=rate)).wait()
    assert (result.answered, result.failed) == (requests, 0)
    sent = requests + rig.settle()
    recorded = until(rig.recorded, lambda found: list(found.values()).count(Completeness.COMPLETE) == sent, 60)
    assert Counter(recorded.values()) == {Completeness.COMPLETE: sent}
    ledger = until(rig.ledger, lambda found: found.get("announced") == found.get("both") == sent, 30)
    assert (ledger["announced"], ledger["received"], ledger["both"]) == (sent, sent, sent)
    assert (ledger["dropped"]["total"], ledger["missing"], ledger["tap_only"], ledger["access_log_only"]) == (0, 0, 0, 0)
