"""Who is given what: half of the testers wait for servers first, half compute first, and nobody waits for work that is there."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from tests.support.testers import InTwoHalves

LEFT = (
    "tests/decode/test_a.py",
    "tests/kafka/test_b.py",
    "tests/mesh/test_c.py",
    "tests/faults/test_d.py::test_one",
    "tests/audit/test_e.py",
    "tests/manifests/",
)


def given(*left: str, waiting: bool) -> list[str]:
    """The order in which one tester alone would get all that is left."""
    testers = InTwoHalves.__new__(InTwoHalves)
    testers.workqueue = OrderedDict((scope, {}) for scope in left)
    found = []
    while testers.workqueue:
        found.append(testers._next(waiting))
        del testers.workqueue[found[-1]]
    return found


def test_who_waits_begins_with_what_takes_longest() -> None:
    waits = ["tests/faults/test_d.py::test_one", "tests/mesh/test_c.py", "tests/kafka/test_b.py"]
    assert given(*LEFT, waiting=True) == [*waits, "tests/manifests/", "tests/decode/test_a.py", "tests/audit/test_e.py"]


def test_who_computes_helps_with_what_waits_at_the_end() -> None:
    computes = ["tests/manifests/", "tests/decode/test_a.py", "tests/audit/test_e.py"]
    assert given(*LEFT, waiting=False) == [*computes, "tests/faults/test_d.py::test_one", "tests/mesh/test_c.py", "tests/kafka/test_b.py"]


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/mesh/test_c.py::test_one[a::b]", "tests/mesh/test_c.py"),
        ("tests/faults/test_d.py::test_one[a::b]", "tests/faults/test_d.py::test_one[a::b]"),
        ("tests/faults/test_damaged_process.py::test_one", "tests/faults/test_damaged_process.py"),
        ("tests/manifests/test_f.py::test_one", "tests/manifests/"),
    ],
)
def test_what_goes_to_one_tester_at_once(nodeid: str, scope: str) -> None:
    assert InTwoHalves.__new__(InTwoHalves)._split_scope(nodeid) == scope
