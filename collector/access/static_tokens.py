"""Static tokens: for jobs, and where there is neither a provider nor Kubernetes. The file holds hashes: who reads it learns no token.

A line is `NAME SHA256 [GROUP,GROUP…]`; what stands behind a # is passed over. A token has 256 random bits, and so needs no slow hash.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path

from collector.access.looker import Person
from collector.access.proof import NotProvenError
from collector.clock import Clock
from collector.complaints import Complaints
from collector.errors import BadInputError, SettingsError

PREFIX = "mscr_"  # so that a token is found where it does not belong, by whoever looks for leaked secrets
MAX_BYTES = 1 << 20  # of the file
LOOK_US = 1_000_000
_HEX = frozenset("0123456789abcdef")
_log = logging.getLogger(__name__)


def new_token() -> str:
    """A token that nobody has."""
    return PREFIX + secrets.token_urlsafe(32)


def line(name: str, token: str, groups: tuple[str, ...] = ()) -> str:
    """The token's line in the file."""
    return " ".join([name, digest(token), *([",".join(groups)] if groups else [])])


def digest(token: str) -> str:
    """What of a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read(text: str) -> Mapping[str, Person]:
    """Hash → whose. Raises BadInputError: nothing of a file with a fault counts, for half of it may say something else than all."""
    found: dict[str, Person] = {}
    for number, content in enumerate(text.splitlines(), 1):
        parts = content.split("#", 1)[0].split()
        if not parts:
            continue
        if len(parts) not in (2, 3) or len(parts[1]) != 64 or not set(parts[1]) <= _HEX:
            raise BadInputError(f"line {number} is not NAME SHA256 [GROUP,GROUP…] (`meshscribe access token NAME` makes one)")
        if parts[1] in found:
            raise BadInputError(f"line {number} has the token of {found[parts[1]].name} a second time")
        groups = tuple(group for group in parts[2].split(",") if group) if len(parts) == 3 else ()
        found[parts[1]] = Person(parts[0], "token", groups)
    return found


class StaticTokens:
    """The file's tokens. What cannot be read later leaves those that were read before, and is told; a file that is gone lets nobody in."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._complaints = Complaints(_log, clock)
        self._known: Mapping[str, Person] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._looked_us = 0
        self.fault = ""

    def open(self) -> None:
        """Reads the file for the first time. Raises SettingsError."""
        self._look()
        if self.fault:
            raise SettingsError([f"access.tokens_file: {self.fault}"])

    def takes(self, token: str) -> bool:
        """See Prover. Ours are known by their beginning; others that the file names are ours too."""
        return token.startswith(PREFIX) or digest(token) in self._current()

    async def prove(self, token: str) -> Person:
        """See Prover."""
        person = self._current().get(digest(token))
        if person is None:
            raise NotProvenError("the static token is not in access.tokens_file")
        return person

    def _current(self) -> Mapping[str, Person]:
        now = self._clock.monotonic_us()
        if now - self._looked_us >= LOOK_US:
            self._look()
        return self._known

    def _look(self) -> None:
        self._looked_us = self._clock.monotonic_us()
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp and not self.fault:  # the file that was good may come back as it was
                return
            if status.st_size > MAX_BYTES:
                raise BadInputError(f"it has {status.st_size} bytes, {MAX_BYTES} are read at most")
            known = read(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._known, self._stamp, self.fault = {}, None, f"there is no file {self._path}"
        except (OSError, UnicodeDecodeError, BadInputError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            self.fault = f"{self._path} cannot be used: {why}"
        else:
            self._known, self._stamp, self.fault = known, stamp, ""
        if self.fault:
            self._complaints.tell("file", f"access.tokens_file: {self.fault}", logging.WARNING)
