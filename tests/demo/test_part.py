"""A command is a part that is done when it ends with 0; otherwise it is told what it said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from collector.demo import part
from collector.demo.child import ChildError


def python(code: str, **environment: str) -> part.Part:
    return part.command("making tables", [sys.executable, "-c", code], environment)


def test_a_command_runs_with_its_variables(tmp_path: Path) -> None:
    python(f"import os; open({str(tmp_path / 'out')!r}, 'w').write(os.environ['WHAT'])", WHAT="tables").start()
    assert (tmp_path / "out").read_text() == "tables"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_that_fails_is_an_error_with_its_words(stream: str) -> None:
    with pytest.raises(ChildError, match="making tables failed with exit code 3: no such server"):
        python(f"import sys; print('no such server', file=sys.{stream}); sys.exit(3)").start()


def test_a_command_that_hangs_is_ended() -> None:
    with pytest.raises(ChildError, match="not done within"):
        part.command("sleeping", [sys.executable, "-c", "import time; time.sleep(60)"], {}, seconds=0.1).start()


def test_a_command_has_nothing_to_stop_or_to_look_after() -> None:
    done = python("")
    done.check()
    done.stop()
