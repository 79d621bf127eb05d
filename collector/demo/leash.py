"""`python -m collector.demo.leash PARENT COMMAND …`: becomes COMMAND, which dies when the process PARENT dies.

The kernel sends the signal (prctl PR_SET_PDEATHSIG, Linux), so that even a SIGKILL of the parent leaves nothing
running. Elsewhere it only becomes the command. The setting survives exec; it is made here and not in the parent because
code between fork and exec is unsafe in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replaces this process. Exits with 125 if the parent is gone already, 127 if the command cannot be run."""
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(125)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
