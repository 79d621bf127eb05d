"""What goes wrong with a SQL store whose data are ours alone: it is down, busy or not migrated, and may be well later."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from collector.errors import RetryableError
from collector.store.postgres_server import FAILURES


@contextmanager
def retryable(what: str) -> Iterator[None]:
    """Raises RetryableError for every failure of the store or of the way to it. `what`: what was read or written, for the message."""
    try:
        yield
    except (SQLAlchemyError, *FAILURES) as error:
        told = getattr(error, "orig", None) or error
        damaged = ": the store's file is damaged, `meshscribe verify` names what is" if of_file(told) else ""
        raise RetryableError(f"{what}: {str(told) or type(told).__name__}{damaged}") from error


def of_file(error: BaseException) -> bool:
    """Whether SQLite says that its file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
