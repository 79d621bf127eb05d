"""SIGKILL at any moment: what was acknowledged is there, without holes, in order."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from collector.messages.entry import Entry
from tests.journal.conftest import Open
from tests.support import warm_start

# Appends from several tasks, saves checkpoints, truncates; tells each acknowledged position and each finished checkpoint.
CHILD = """
import asyncio, os, sys
from pathlib import Path
from collector import settings
from collector.clock import SystemClock
from collector.journal import Checkpoint
from collector.journal.sqlite import open_journal
from collector.messages.entry import Kind

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

async def appender(journal, run, task):
    for number in range(1_000_000):
        payload = f"{run}/{task}/{number}/".encode() + bytes(number * 997 % 30_000)
        tell("acknowledged", await journal.append(Kind.TAP, "n", payload), payload[:30].rstrip(b"\\0").decode())

async def keeper(journal):
    while True:
        position = journal.last_position
        await journal.save_checkpoint(Checkpoint(position, str(position).encode() * 500_000))
        tell("checkpoint", position)
        await journal.truncate(position - 20)

async def main():
    journal = await open_journal(settings.Journal(path=Path(sys.argv[1])), SystemClock(), 64 << 20)
    tell("open", journal.last_position)
    await asyncio.gather(keeper(journal), *(appender(journal, sys.argv[2], task) for task in range(4)))

asyncio.run(main())
"""


class Told:
    """What the child said before it died."""

    def __init__(self) -> None:
        self.payloads: dict[int, str] = {}
        self.checkpoint = -1

    def line(self, line: str) -> None:
        what, position, *rest = line.split()
        if what == "acknowledged":
            self.payloads[int(position)] = rest[0]
        elif what == "checkpoint":
            self.checkpoint = int(position)


def run_and_kill(path: Path, run: int, told: Told, lines: int) -> None:
    """Kills after so many lines and a random moment more, so that it hits any step."""
    with warm_start.Popen([sys.executable, "-c", CHILD, str(path), str(run)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(lines):
            told.line(child.stdout.readline())
        threading.Timer(random.random() * 0.02, child.kill).start()
        for line in child.stdout:
            if line.endswith("\n"):
                told.line(line)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(4))
async def test_what_was_acknowledged_survives_kills(path: Path, open_at: Open, start: int) -> None:
    told, read = Told(), dict[int, Entry]()
    for run in range(3):
        run_and_kill(path, run, told, lines=5 + start * 40 + run * 100)
        journal = await open_at()
        entries = []
        while (entries[-1].position if entries else journal.floor_position) < journal.last_position:
            entries += await journal.read(entries[-1].position if entries else 0, 1 << 20)
        checkpoint = await journal.checkpoint(1 << 60)
        await journal.close()

        positions = [entry.position for entry in entries]
        assert positions == list(range(journal.floor_position + 1, journal.last_position + 1))
        assert journal.last_position >= max(told.payloads)
        for entry in entries:
            if entry.position in told.payloads:
                assert entry.payload[:30].rstrip(b"\0").decode() == told.payloads[entry.position]
            assert read.setdefault(entry.position, entry) == entry, "a position was used twice"
            if entry.position > 1 and entry.position - 1 in read:
                assert entry.received_at >= read[entry.position - 1].received_at
        assert journal.kept_bytes == sum(len(entry.payload) for entry in entries)
        assert checkpoint is None or checkpoint.state == str(checkpoint.position).encode() * 500_000
        assert told.checkpoint < 0 or (checkpoint is not None and checkpoint.position >= told.checkpoint)
