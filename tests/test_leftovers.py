"""What a failed test leaves open fails no other test; what a passed one leaves open is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = """
import gc, warnings

class Connection:
    def __init__(self):
        self.itself = self  # a circle: it goes when the collector comes

    def __del__(self):
        warnings.warn("not closed", ResourceWarning)

def test_one():
    connection = Connection()
    assert {passes}, "with the connection open"

def test_two():
    gc.collect()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("passes", "blamed"), [(False, "test_one"), (True, "test_two")])
def test_a_complaint_is_that_of_the_test_that_left_it(tmp_path: Path, passes: bool, blamed: str) -> None:
    (tmp_path / "test_them.py").write_text(TESTS.format(passes=passes))
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.leftovers", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    failed = [line.split("::")[1].split()[0] for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed == [blamed], done.stdout + done.stderr
