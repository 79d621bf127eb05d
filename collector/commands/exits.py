"""Exit codes, and the errors that lead to them."""

from __future__ import annotations

from enum import IntEnum

from collector.errors import MeshscribeError, PermanentError, RetryableError


class Exit(IntEnum):
    """What a command's end says to a script."""

    OK = 0
    NEGATIVE = 1  # it worked, and the answer is no: not found, something was lost, the demo's check failed
    USAGE = 2  # wrong options, settings or input
    UNREACHABLE = 3  # the audit API does not answer, or not with an answer
    DENIED = 4  # the audit API does not know who asks, or does not let him see it
    FAULT = 70  # what nobody expected: a fault of the machine or of this program (EX_SOFTWARE of sysexits.h)


class UnreachableError(RetryableError):
    """No answer from the audit API, or a fault in place of one."""


class RefusedError(PermanentError):
    """The audit API refused the query."""


class DeniedError(PermanentError):
    """The audit API does not know who asks (401), or does not let him see what he asks for (403)."""


class NothingThereError(PermanentError):
    """The audit API has nothing of that name."""


class InputError(PermanentError):
    """A file or option of the command line cannot be used."""


def code(error: MeshscribeError) -> Exit:
    """The exit code of an error that ends a command."""
    if isinstance(error, NothingThereError):
        return Exit.NEGATIVE
    if isinstance(error, DeniedError):
        return Exit.DENIED
    return Exit.UNREACHABLE if isinstance(error, UnreachableError) else Exit.USAGE
