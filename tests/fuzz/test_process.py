"""The running process under hostile senders: it lives, restarts on its files, and a good neighbour's exchanges are stored once, soon.

MESHSCRIBE_FUZZ_MESSAGES sets the short form's number, MESHSCRIBE_FUZZ_SOAK the long form's, MESHSCRIBE_FUZZ_SECONDS bounds it,
FUZZ_CHECKPOINT_SECONDS is how often the collector saves its state.
What fails prints its seed, and the command that does it again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.demo.kafka_broker import KafkaBroker
from collector.demo.ports import Ports
from tests.fuzz.roles import Roles
from tests.fuzz.run import Plan, run
from tests.fuzz.target import Collector
from tests.support.cluster import Cluster

pytestmark = pytest.mark.cold

MESSAGES = int(os.environ.get("MESHSCRIBE_FUZZ_MESSAGES", "20000"))
SEED = int(os.environ.get("MESHSCRIBE_FUZZ_SEED", str(time.time_ns() // 1_000_000_000 // 86_400)))  # another one each day
SOAK = int(os.environ.get("MESHSCRIBE_FUZZ_SOAK", "5000000"))
SOAK_SECONDS = float(os.environ.get("MESHSCRIBE_FUZZ_SECONDS", "3300"))
PER_RUN = 250_000  # then a new seed on new files
PROCESSES = 2
KAFKA_MESSAGES = int(os.environ.get("MESHSCRIBE_FUZZ_KAFKA", "2000"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whatever_comes_it_lives_and_the_neighbour_is_stored_once(tmp_path: Path) -> None:
    with ExitStack() as stack:
        target = Collector(tmp_path, stack.enter_context(Ports()))
        stack.callback(target.abandon)
        figures = run(target, Plan(SEED, MESSAGES, ("kill", "kill")), tmp_path)
        target.end()
    print(json.dumps(figures.summary()))
    assert figures.messages >= MESSAGES
    assert figures.neighbours >= MESSAGES // 200


@pytest.mark.timeout(900)
def test_the_roles_live_too(kafka: KafkaBroker, tmp_path: Path) -> None:
    with ExitStack() as stack:
        target = Roles(Cluster(kafka.bootstrap, tmp_path, stack, partitions=2), tmp_path)
        figures = run(target, Plan(SEED, KAFKA_MESSAGES, ("kill", "stop"), neighbour_every=20), tmp_path)
    print(json.dumps(figures.summary()))
    assert figures.messages >= KAFKA_MESSAGES


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_millions_of_messages_of_many_seeds(tmp_path: Path) -> None:
    """Several collectors at a time, one after the other on new files, until enough is sent or the time is over."""
    deadline, sent, seed = time.monotonic() + SOAK_SECONDS, 0, SEED
    running: list[subprocess.Popen[str]] = []
    try:
        while running or (sent < SOAK and time.monotonic() < deadline):
            while len(running) < PROCESSES and sent + PER_RUN * len(running) < SOAK and time.monotonic() < deadline:
                seed += 1
                running.append(_runner(seed, min(PER_RUN, SOAK), max(30.0, deadline - time.monotonic()), tmp_path))
            ended = [one for one in running if one.poll() is not None]
            for one in ended:
                running.remove(one)
                sent += _told(one)
            time.sleep(0.2)
    finally:
        for one in running:
            one.kill()
            one.communicate()
    print(f"{sent} messages of {seed - SEED} seeds")
    assert sent >= SOAK, f"only {sent} messages in {SOAK_SECONDS:.0f} s, and nothing failed"


def _runner(seed: int, messages: int, seconds: float, keep: Path) -> subprocess.Popen[str]:
    numbers = ("--seed", str(seed), "--messages", str(messages), "--seconds", f"{seconds:.0f}", "--restarts", "4", "--keep", str(keep))
    command = [sys.executable, "-m", "tests.fuzz", *numbers]
    often = {"FUZZ_CHECKPOINT_SECONDS": "5"}  # each takes as long as the state is large: so more gets through
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**often, **os.environ})


def _told(ended: subprocess.Popen[str]) -> int:
    out, _ = ended.communicate()
    print(out)
    assert ended.returncode == 0, out
    return int(json.loads(out.splitlines()[-1])["messages"])
