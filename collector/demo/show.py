"""What `meshscribe demo` does: start the lab, send traffic, say where to look; with `once` check it and end."""

from __future__ import annotations

import itertools
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from types import FrameType

from rich.console import Console
from rich.table import Table

from collector.demo.audit import Audit
from collector.demo.check import Verdict, await_recorded, check
from collector.demo.envoy import EnvoyMissingError
from collector.demo.lab import Lab
from collector.demo.tap_config import TapMissingError
from collector.demo.traffic import CALLS, Sent, client, send
from collector.errors import MeshscribeError

SECONDS_TO_RECORD = 30.0
TRICKLE_SECONDS = 2.0
WIDTH = 120  # of the table where there is no terminal to ask

OK, FAILED, IMPOSSIBLE = 0, 1, 2


def run(once: bool, store: str) -> int:
    """See collector.demo.run."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    if store != "sqlite":
        console.print(f"[red]The demo cannot store in {store}.[/] It has: sqlite")
        return IMPOSSIBLE
    try:
        with _terminable(), Lab(tell=lambda line: console.print(f"[dim]{line}[/]")) as lab, closing(Audit(lab.collector.url)) as audit:
            sent = _round(lab, console)
            return _once(lab, audit, sent, console) if once else _stay(lab, console)
    except KeyboardInterrupt:
        console.print("stopped")
        return OK
    except (EnvoyMissingError, TapMissingError) as error:
        console.print(f"[red]The demo cannot run here:[/] {error}", soft_wrap=True)
        return IMPOSSIBLE
    except MeshscribeError as error:
        console.print(str(error), style="red", soft_wrap=True, markup=False)
        return FAILED


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does, so that it takes its parts down with it."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _round(lab: Lab, console: Console) -> list[Sent]:
    """One request of each kind."""
    console.print(f"[dim]sending {len(CALLS)} requests through Envoy[/]")
    with client(lab.port) as through:
        return [send(through, call) for call in CALLS]


def _once(lab: Lab, audit: Audit, sent: Sequence[Sent], console: Console) -> int:
    await_recorded(audit, sent, SECONDS_TO_RECORD)
    lab.check_alive()
    verdicts = check(audit, sent, lab.seen)
    console.print(_table(verdicts))
    wrong = [verdict for verdict in verdicts if verdict.faults]
    for verdict in wrong:
        console.print(f"[red]{verdict.sent.call.what}[/] ({verdict.sent.request_id}): {'; '.join(verdict.faults)}", soft_wrap=True)
    if wrong:
        console.print(f"[red]{len(wrong)} of {len(verdicts)} requests were not recorded as they were.[/]")
        return FAILED
    console.print(f"[green]{len(verdicts)} requests, {len(verdicts)} exchanges, complete, every body byte for byte.[/]")
    return OK


def _table(verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="What was recorded", title_justify="left")
    for column in ("what", "path", "status"):
        table.add_column(column, no_wrap=True)
    for column in ("bytes sent", "answered", "ms"):
        table.add_column(column, justify="right")
    table.add_column("completeness")
    table.add_column("bodies")
    for verdict in verdicts:
        table.add_row(*_row(verdict))
    return table


def _row(verdict: Verdict) -> list[str]:
    record, sent = verdict.record or {}, verdict.sent
    sizes = [str(record.get(side, {}).get("body", {}).get("size", "–")) for side in ("request", "response")]
    status = str(record.get("response", {}).get("status", "–"))
    duration = f"{record['duration_ms']:.1f}" if "duration_ms" in record else "–"
    flags = ", ".join(record.get("completeness", ["not recorded"]))
    bodies = "[red]differ[/]" if any("body" in fault for fault in verdict.faults) else "[green]equal[/]"
    return [sent.call.what, sent.call.path.partition("?")[0], status, *sizes, duration, flags, bodies if record else "–"]


def _stay(lab: Lab, console: Console) -> int:
    """A trickle of traffic until Ctrl-C. Raises ChildError if a part ends."""
    console.print(_where(lab), soft_wrap=True)
    with client(lab.port) as through:
        for call in itertools.cycle(CALLS):
            time.sleep(TRICKLE_SECONDS)
            lab.check_alive()
            send(through, call)
    return OK


def _where(lab: Lab) -> str:
    url, envoy = lab.collector.url, f"http://127.0.0.1:{lab.port}"
    meshscribe = f"{sys.argv[0] if sys.argv[0].endswith('meshscribe') else 'meshscribe'}"
    return f"""
[bold]It runs.[/] A request every {TRICKLE_SECONDS:.0f} s goes through Envoy; Ctrl-C ends everything.

  exchanges      {url}/v1/exchanges
  ledger         {url}/v1/ledger
  API            {url}/docs
  metrics        {url}/metrics
  Envoy          {envoy} (admin http://127.0.0.1:{lab.admin_port})
  files, logs    {lab.folder}

  curl -s '{url}/v1/exchanges?status=5xx'
  curl -s {envoy}/v1/chat/completions -d '{{"model":"demo-chat","messages":[],"stream":true}}'
  {meshscribe} tail --url {url}
"""
