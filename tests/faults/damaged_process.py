"""A `meshscribe serve` on the files in a folder, what is sent to it over its sockets, and all that it serves and says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from collector.demo.audit import Audit, Record
from collector.demo.ports import Ports
from tests.faults.test_hung_store import metric
from tests.fuzz.neighbour import NODE, Case, Neighbour
from tests.support import warm_start
from tests.support.cluster import SCRIPT, Member
from tests.support.witnesses import Told

SETTINGS = {
    "MESHSCRIBE_CORRELATE__LINGER_SECONDS": "2",
    "MESHSCRIBE_CORRELATE__LEDGER_SECONDS": "1",
    "MESHSCRIBE_JOURNAL__CHECKPOINT_SECONDS": "1",
    "MESHSCRIBE_SINK__BATCH_EXCHANGES": "10",
    "MESHSCRIBE_SERVICES__SOURCE": "none",
}
SECONDS = 60.0
STUCK_SECONDS = 3.0  # what fails for so long is told, and goes on failing
LEVELS = ("ERROR", "WARNING", "CRITICAL")


class Sender(Neighbour):
    """A proxy whose exchanges have bodies of all sizes, that nobody else has."""

    def told(self, number: int) -> Told:
        """The exchange of this number."""
        chance = random.Random(number)
        asked, answered = (chance.randbytes(chance.randrange(10, 1200)).hex() for _ in range(2))
        told = super().told(number)
        told.request = json.dumps({"model": f"m{number}", "messages": [{"role": "user", "content": asked}]}).encode()
        numbers = {"prompt_tokens": number, "completion_tokens": 1, "total_tokens": number + 1}
        told.response = (json.dumps({"choices": [{"index": 0, "message": {"content": answered}}], "usage": numbers}).encode(),)
        return told


class Seen(NamedTuple):
    """What the audit API serves as sound, and what it tells as damaged, by request id or id; `error`: it does not answer."""

    sound: dict[str, Record]
    damaged: set[str]
    wrong: list[str]
    error: str = ""


class Process:
    """One collector on the files in a folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.paths = {"MESHSCRIBE_JOURNAL__PATH": str(folder / "journal.db"), "MESHSCRIBE_SINK__URL": f"sqlite:///{folder}/events.db"}
        self.member = Member("collector", "all", folder, stack.enter_context(Ports()), {**SETTINGS, **self.paths})
        stack.callback(self.member.process.kill)

    def start(self) -> None:
        """Until it takes what proxies send. Raises ChildError."""
        self.member.start("readyz/ingest")

    def send(self, number: int, sent: int) -> dict[str, Case]:
        """So many exchanges more. Returns those that were acknowledged; fewer, if it does not take them."""
        return asyncio.run(_sent(self.member, number, sent))

    def settled(self) -> str:
        """Until all is stored. Returns what /readyz says if it does not get there, which has to be for a reason."""
        failing_since = 0.0
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self.member.process.check()
            parts = self.member.components()
            if self._is_done(parts):
                return ""
            reasons = [f"{name}: {part['detail']}" for name, part in parts.items() if not part["ok"] and part["detail"] != "starting"]
            failing_since = (failing_since or time.monotonic()) if reasons else 0.0
            if reasons and time.monotonic() - failing_since > STUCK_SECONDS:
                return "; ".join(reasons)
            time.sleep(0.1)
        raise AssertionError(f"it neither goes on nor says why: {parts}")

    def _is_done(self, parts: dict[str, Any]) -> bool:
        if parts.get("pipeline", {}).get("detail") != "0 entries behind" or not parts["sink"]["ok"]:
            return False
        return metric(self.member, "meshscribe_open_exchanges") == 0

    def seen(self, cases: dict[str, Case], ids: Iterable[str] = ()) -> Seen:
        """All that is stored, with its bodies. Where lists end at what is damaged: those of these ids that can be read."""
        with closing(Audit(self.member.url)) as audit:
            try:
                items = list(audit.exchanges(node=NODE, limit=1000))
            except httpx.HTTPStatusError as error:
                return _seen(audit, _one_by_one(audit, ids), cases)._replace(error=error.response.text)
            return _seen(audit, items, cases)

    def verified(self) -> list[str]:
        """What `meshscribe verify` says is not as it must be."""
        command = [SCRIPT, "verify", "-o", "jsonl"]
        done = warm_start.run(command, env={**os.environ, **self.paths}, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        said = [f"{one['check']} {one['subject']}: {one['said']}" for one in found if not one["ok"]]
        if done.returncode not in (0, 1):
            said.append(done.stderr.strip())
        assert bool(said) == (done.returncode != 0), f"verify ended with {done.returncode}: {done.stdout} {done.stderr}"
        return said

    def log(self) -> list[str]:
        """What it wrote that is more than a notice."""
        text = (self.folder / "collector.log").read_text(errors="replace")
        assert "Traceback" not in text, text[text.index("Traceback") - 300 :][:4000]
        return [line for line in text.splitlines() if any(f" {level} " in line for level in LEVELS) and "ingest.identity" not in line]


async def _sent(member: Member, number: int, sent: int) -> dict[str, Case]:
    sender = Sender(member.ingest_port, member.grpc_port, "d", sent=sent)
    for _ in range(number):
        sender.tell()
    sender.finish()
    try:
        await asyncio.wait_for(sender.run(), SECONDS / 2)
    except TimeoutError:
        pass  # the caller looks at why
    finally:
        sender.close()
        await asyncio.sleep(0)
    return sender.cases


def _one_by_one(audit: Audit, ids: Iterable[str]) -> Iterator[Record]:
    for one in ids:
        with suppress(httpx.HTTPStatusError):
            yield audit.record(one)


def _seen(audit: Audit, items: Iterable[Record], cases: dict[str, Case]) -> Seen:
    sound: dict[str, Record] = {}
    damaged: set[str] = set()
    wrong = []
    for item in items:
        name = item.get("request", {}).get("id") or item["id"]
        if item.get("damaged"):
            damaged.add(name)
            continue
        if name in sound:
            wrong.append(f"{name} is stored twice")
        faults = [fault for side in ("request", "response") if (fault := _fault(audit, item, side, cases.get(name)))]
        wrong += [f"{name}: {fault}" for fault in faults if fault != "damaged"]
        if "damaged" in faults:
            damaged.add(name)
        else:
            sound[name] = item
    return Seen(sound, damaged, wrong)


def _fault(audit: Audit, item: Record, side: str, case: Case | None) -> str:
    """What is wrong with this body, if anything is."""
    if case is None:
        return "never sent"
    told = item[side].get("body", {})
    try:
        body = audit.body(item["id"], side)
    except httpx.HTTPStatusError as error:
        return "damaged" if "urn:meshscribe:problem:damaged" in error.response.text else f"{side}: {error.response.text}"
    wanted = case.request_sha256 if side == "request" else case.response_sha256
    if hashlib.sha256(body).hexdigest() == wanted:
        return ""
    return "" if "complete" not in item["completeness"] and not body else f"{side}: {len(body)} bytes of {told} are not what was sent"
