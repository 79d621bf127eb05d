"""How `make test` shares the tests out: half of the testers begin with what waits for servers, half with what computes.

Both kinds at the same time fill the processors, of which there may be fewer than testers. A file goes to one tester, so that what its
tests share is made once; a folder does whose files share a program that takes a minute to build; in folders whose tests share nothing each
test goes where there is room.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

APART = ("tests/faults/",)
TOGETHER = ("tests/faults/test_damaged_process.py",)  # of these, those whose tests share files that took long to make
WHOLE = ("tests/manifests/",)
WAITING = (*APART, "tests/mesh/", "tests/kafka/")
LONG = (*WHOLE, *WAITING)  # of what is left the longest first, so that the end finds the testers equally busy


class InTwoHalves(LoadScopeScheduling):
    """Scopes, in xdist's words, are what goes to one tester at once."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(APART) and not nodeid.startswith(TOGETHER):
            return nodeid
        return next((folder for folder in WHOLE if nodeid.startswith(folder)), nodeid.partition("::")[0])

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(self._next(waiting=self.nodes.index(node) % 2 == 0), last=False)
        super()._assign_work_unit(node)

    def _next(self, waiting: bool) -> str:
        """Of what is left the first of this kind; if there is none, the first at all."""
        left = [scope for scope in self.workqueue if scope.startswith(WAITING) is waiting] or list(self.workqueue)
        return min(left, key=lambda scope: next((place for place, folder in enumerate(LONG) if scope.startswith(folder)), len(LONG)))

    def _reschedule(self, node: WorkerController) -> None:
        """A tester that holds a long test in reserve would keep it from one that has nothing to do."""
        if not self.workqueue or self._pending_of(self.assigned_work[node]) < 2:
            super()._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> InTwoHalves:
    """Called by xdist, whatever --dist says."""
    return InTwoHalves(config, log)
