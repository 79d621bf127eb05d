"""What `meshscribe demo` does: start the lab, send traffic, print what was recorded, say where to look; with `once` check it and end."""

from __future__ import annotations

import itertools
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from types import FrameType

from httpx import HTTPError
from rich.console import Console

from collector.demo import stories, tables
from collector.demo.audit import Audit
from collector.demo.billing import BillingJob
from collector.demo.bills import billable
from collector.demo.check import Verdict, await_recorded, check
from collector.demo.envoy import EnvoyMissingError
from collector.demo.envoy_filters import TapMissingError
from collector.demo.kafka_jars import KafkaMissingError
from collector.demo.lab import Lab
from collector.demo.postgres import PostgresMissingError
from collector.demo.stores import OPEN
from collector.demo.traffic import CALLS, Traffic
from collector.errors import MeshscribeError

SECONDS_TO_RECORD = 30.0
SECONDS_TO_BILL = 30.0
TRICKLE_SECONDS = 2.0
WIDTH = 120  # of the tables where there is no terminal to ask

OK, FAILED, IMPOSSIBLE = 0, 1, 2
MISSING = (EnvoyMissingError, TapMissingError, PostgresMissingError, KafkaMissingError)


class Progress:
    """A context manager. `begin` ends the step before; a step that an exception ends is not told as done."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console, self._now = console, now
        self._status = console.status("")
        self._step: tuple[str, float] | None = None

    def __enter__(self) -> Progress:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def begin(self, what: str) -> None:
        """The next step."""
        self._done()
        self._step = (what, self._now())
        self._status.update(what)

    def end(self) -> None:
        """The last step is done."""
        self._done()
        self._status.stop()

    def _done(self) -> None:
        if self._step is not None:
            what, since = self._step
            self._console.print(f"[dim]{what}: {self._now() - since:.1f} s[/]")
            self._step = None


def run(once: bool, store: str) -> int:
    """See collector.demo.run."""
    console = _console()
    if store not in OPEN:
        console.print(f"[red]The demo cannot store in {store}.[/] It has: {', '.join(OPEN)}")
        return IMPOSSIBLE
    try:
        with _stoppable():
            return _run(once, store, console)
    except KeyboardInterrupt:
        # The signal may have come while a line was written, which the other console would write again.
        _console().print("stopped before it was checked" if once else "stopped")
        return FAILED if once else OK
    except MISSING as error:
        console.print(f"[red]The demo cannot run here:[/] {error}", soft_wrap=True)
        return IMPOSSIBLE
    except (MeshscribeError, HTTPError) as error:
        console.print(str(error), style="red", soft_wrap=True, markup=False)
        return FAILED


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does, so that it takes its parts down with it; a second signal does not disturb that."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(once: bool, store: str, console: Console) -> int:
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(console))
        lab = stack.enter_context(Lab(store, tell=progress.begin))
        if not once:
            console.print(f"[bold]Look at it:[/] {lab.store.audit_url}")
        audit = stack.enter_context(closing(Audit(lab.store.audit_url)))
        job = stack.enter_context(BillingJob(lab.store.bootstrap)) if lab.store.bootstrap else None
        traffic = stack.enter_context(Traffic(lab.proxy_ports))
        progress.begin(f"sending {len(CALLS)} requests through Envoy")
        sent = [traffic.send(call) for call in CALLS]
        progress.begin("waiting until all is recorded")
        await_recorded(audit, sent, SECONDS_TO_RECORD, lab.check_alive)
        lab.check_alive()
        verdicts = check(audit, sent, lab.seen)
        if not once:
            progress.begin("a conversation, a stream that is left, a loss: to look at")
            stories.tell(lab)
        progress.end()
        faults = [*_recorded(verdicts, console), *(_billed(job, verdicts, console) if job else [])]
        return _verdict(verdicts, faults, job, console) if once else _stay(lab, traffic, job, console)


def _recorded(verdicts: Sequence[Verdict], console: Console) -> list[str]:
    """Prints what was recorded. Returns what is wrong with it."""
    console.print(tables.recorded(verdicts))
    wrong = [verdict for verdict in verdicts if verdict.faults]
    for verdict in wrong:
        console.print(f"[red]{verdict.sent.call.what}[/] ({verdict.sent.request_id}): {'; '.join(verdict.faults)}", soft_wrap=True)
    return [f"{len(wrong)} of {len(verdicts)} requests were not recorded as they were."] if wrong else []


def _billed(job: BillingJob, verdicts: Sequence[Verdict], console: Console) -> list[str]:
    """Prints what was billed. Returns what is wrong with it."""
    expected = billable(verdict.record for verdict in verdicts if verdict.record is not None)
    bills = job.wait_for(expected, SECONDS_TO_BILL)
    found = list(bills.by_exchange.values())
    console.print(tables.billed(found))
    console.print(tables.totals(found))
    return bills.faults(expected)


def _verdict(verdicts: Sequence[Verdict], faults: Sequence[str], job: BillingJob | None, console: Console) -> int:
    for fault in faults:
        console.print(fault, style="red", soft_wrap=True, markup=False)
    if faults:
        return FAILED
    billing = ", every billable one billed once" if job else ""
    console.print(f"[green]{len(verdicts)} requests, {len(verdicts)} exchanges, complete, every body byte for byte{billing}.[/]")
    return OK


def _stay(lab: Lab, traffic: Traffic, job: BillingJob | None, console: Console) -> int:
    """A trickle of traffic until Ctrl-C, and each bill as it is made. Raises ChildError if a part ends."""
    console.print(_where(lab), soft_wrap=True)
    for call in itertools.cycle(CALLS):
        time.sleep(TRICKLE_SECONDS)
        lab.check_alive()
        traffic.send(call)
        for bill in job.new() if job else ():
            console.print(tables.bill_line(bill), soft_wrap=True)
    return OK


def _where(lab: Lab) -> str:
    url = lab.store.audit_url
    envoys = ", ".join(f"{name} http://127.0.0.1:{proxy.port} (admin {proxy.admin_port})" for name, proxy in lab.envoys.items())
    meshscribe = f"{sys.argv[0] if sys.argv[0].endswith('meshscribe') else 'meshscribe'}"
    kafka = f"\n  Kafka          {lab.store.bootstrap}" if lab.store.bootstrap else ""
    return f"""
[bold]It runs.[/] A request every {TRICKLE_SECONDS:.0f} s goes through Envoy; Ctrl-C ends everything.

  [bold]look at it     {url}[/]
  API            {url}/docs, {url}/v1/exchanges
  metrics        {lab.store.collector.url}/metrics
  Envoy          {envoys}{kafka}
  services       {lab.services} (change an annotation: the next request carries it)
  files, logs    {lab.folder}

  curl -s '{url}/v1/exchanges?status=5xx'
  curl -s http://127.0.0.1:{lab.envoys["chat"].port}/v1/chat/completions -d '{{"model":"demo-chat","messages":[],"stream":true}}'
  {meshscribe} tail --url {url}
"""
