"""`python -m collector.demo.leash PARENT [--user=NAME] COMMAND …`: becomes COMMAND, which dies when the process PARENT dies.

The kernel sends the signal (prctl PR_SET_PDEATHSIG, Linux), so that even a SIGKILL of the parent leaves nothing
running. Elsewhere it only becomes the command. The setting survives exec; it is made here and not in the parent because
code between fork and exec is unsafe in a process with threads, and a change of the user would undo it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys

USER_OPTION = "--user="
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replaces this process. Exits with 125 if the parent is gone already, 127 if the command cannot be run."""
    parent, command = int(arguments[0]), arguments[1:]
    if command[0].startswith(USER_OPTION):
        _become(command.pop(0).removeprefix(USER_OPTION))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(125)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.chdir("/")  # the folder that we are in may be closed to it
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    main(sys.argv[1:])
