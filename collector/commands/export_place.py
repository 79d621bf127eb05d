"""Where an export goes: a directory, or S3-compatible storage. A file is there whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from collector.commands.exits import InputError, UnreachableError

PIECE = 1 << 20
EXTRA = "needs pyarrow: install meshscribe[export]"


class ExportPlace(Protocol):
    """A directory, so to speak."""

    def name(self, file: str) -> str:
        """What people call this file in it."""
        ...

    def read(self, file: str) -> bytes | None:
        """A small file's content; None: there is none."""
        ...

    def write(self, file: str, content: bytes) -> None:
        """A small file, in place of one of that name."""
        ...

    def remove(self, file: str) -> None:
        """If it is there."""
        ...

    def making(self, file: str) -> AbstractContextManager[Path]:
        """A local file to write to; it gets its name in this place if the block ends well."""
        ...


class Directory:
    """See ExportPlace."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True)

    def name(self, file: str) -> str:
        return str(self._path / file)

    def read(self, file: str) -> bytes | None:
        try:
            return (self._path / file).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, file: str, content: bytes) -> None:
        with self.making(file) as path:
            path.write_bytes(content)

    def remove(self, file: str) -> None:
        (self._path / file).unlink(missing_ok=True)

    @contextmanager
    def making(self, file: str) -> Iterator[Path]:
        draft = self._path / f".{file}.unfinished"
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(self._path / file)
        directory = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class Bucket:
    """See ExportPlace. S3 keeps an object when it has come whole; each is made in a local file first."""

    def __init__(self, url: str) -> None:
        try:
            from pyarrow import fs
        except ImportError:
            raise InputError(f"{_without_secrets(url)}: S3 {EXTRA}") from None
        self._url = _without_secrets(url)
        try:
            self._store, self._prefix = fs.FileSystem.from_uri(url)
        except (ValueError, OSError) as error:
            raise InputError(f"{self._url}: {error}") from None
        self._prefix = self._prefix.rstrip("/")
        self._kinds = fs.FileType

    def name(self, file: str) -> str:
        return f"{self._url.partition('?')[0].rstrip('/')}/{file}"

    def read(self, file: str) -> bytes | None:
        with self._told():
            if self._store.get_file_info(f"{self._prefix}/{file}").type == self._kinds.NotFound:
                return None
            with self._store.open_input_stream(f"{self._prefix}/{file}") as stream:
                return bytes(stream.read())

    def write(self, file: str, content: bytes) -> None:
        with self._told(), self._store.open_output_stream(f"{self._prefix}/{file}") as stream:
            stream.write(content)

    def remove(self, file: str) -> None:
        with self._told():
            if self._store.get_file_info(f"{self._prefix}/{file}").type != self._kinds.NotFound:
                self._store.delete_file(f"{self._prefix}/{file}")

    @contextmanager
    def making(self, file: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="meshscribe-export-") as folder:
            draft = Path(folder) / file
            yield draft
            with self._told(), draft.open("rb") as made, self._store.open_output_stream(f"{self._prefix}/{file}") as stream:
                while piece := made.read(PIECE):
                    stream.write(piece)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnreachableError(f"{self._url}: {error}") from None


def open_place(to: str) -> Directory | Bucket:
    """A directory is made if it is not there. Raises InputError."""
    if to.startswith("s3://"):
        return Bucket(to)
    if re.match(r"[a-z0-9]+://", to):
        raise InputError(f"{_without_secrets(to)}: expected a directory or s3://BUCKET/PREFIX")
    return Directory(Path(to))


def _without_secrets(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)
