"""A billing job on the usage topic, in a thread of its own: reads what is committed, bills it (bills.py), then commits its offsets.

A crash between the two would repeat events, and repeated events change no bill. docs/billing_consumer.py is the same as a program.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable

from collector.demo.bills import Bill, Bills
from collector.demo.child import ChildError
from collector.kafka.clients import consumer
from collector.kafka.faults import AWAY, silence
from collector.settings import Kafka

GROUP = "meshscribe-demo-billing"
POLL_MS = 200


class BillingJob:
    """A context manager: entering starts the job, leaving ends it. Its methods are for another thread than the job's."""

    def __init__(self, bootstrap: str, topic: str = Kafka().usage_topic) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self._bills = Bills()
        self._new: list[Bill] = []
        self._changed = threading.Condition()
        self._quiet = False  # the last look found nothing new
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="billing", daemon=True)

    def __enter__(self) -> BillingJob:
        silence()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, exchanges: Iterable[str], seconds: float) -> Bills:
        """The bills, when these exchanges are among them and nothing more comes, or when the time is over. Raises ChildError."""
        wanted, deadline = set(exchanges), time.monotonic() + seconds
        with self._changed:
            while not (wanted <= self._bills.by_exchange.keys() and self._quiet) and time.monotonic() < deadline:
                self.check()
                self._changed.wait(0.1)
            self._new.clear()
            return self._bills

    def new(self) -> list[Bill]:
        """The bills that were made since this or `wait_for` was last asked. Raises ChildError."""
        self.check()
        with self._changed:
            found, self._new = self._new, []
            return found

    def check(self) -> None:
        """Raises ChildError if the job has failed."""
        if self._failure is not None:
            raise ChildError(f"the billing job failed: {type(self._failure).__name__}: {self._failure}") from self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._bill())
        except (*AWAY, ValueError, KeyError) as error:
            self._failure = error

    async def _bill(self) -> None:
        settings = Kafka(bootstrap_servers=self._bootstrap)
        async with consumer(settings, group_id=GROUP, isolation_level="read_committed", auto_offset_reset="earliest") as reader:
            reader.subscribe([self._topic])
            while not self._stop.is_set():
                found = await reader.getmany(timeout_ms=POLL_MS)
                events = [(dict(record.headers)["ce_id"].decode(), record.value) for records in found.values() for record in records]
                self._take(events)
                if events:
                    await reader.commit()

    def _take(self, events: list[tuple[str, bytes]]) -> None:
        with self._changed:
            made = [self._bills.take(event_id, data) for event_id, data in events]
            self._new += [bill for bill in made if bill is not None]
            self._quiet = not events
            self._changed.notify_all()
