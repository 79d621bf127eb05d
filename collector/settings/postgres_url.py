"""URLs of Postgres servers: libpq's form (PostgreSQL's documentation, 32.1.1.2), with SQLAlchemy's name of the driver allowed in it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

_SCHEME = re.compile(r"postgres(ql)?(\+asyncpg)?://")
_PASSWORD = re.compile(r"(://[^:@/?#]*):.*@")
_HOST = re.compile(r"(\[[^\]]+\]|[^:\[\]]*)(:[0-9]{1,5})?")


def dsn(url: str) -> str:
    """The URL as the driver takes it."""
    return _SCHEME.sub("postgresql://", url, count=1)


def is_postgres(url: str) -> bool:
    """Whether the URL names a Postgres server."""
    return _SCHEME.match(url) is not None


def fault(url: str) -> str | None:
    """What is wrong with the URL of a server, if anything. Says nothing of what could be a password."""
    try:
        parts = urlsplit(url)
        names = [name for name, _ in parse_qsl(parts.query, strict_parsing=bool(parts.query))]
    except ValueError:
        names, hosts = [], [":"]
    else:
        hosts = parts.netloc.rpartition("@")[2].split(",")
    if not all(_HOST.fullmatch(host) for host in hosts):
        return "cannot be read: expected postgresql://user@host:5432/database (in a password, / ? # and @ are written %2F %3F %23 %40)"
    if "password" in names:
        return "a password in the query would be shown: put it before the @, into sink.password_file, or into PGPASSWORD"
    return None


def shown(url: str) -> str:
    """The URL for people: without its password."""
    return _PASSWORD.sub(r"\1:***@", url)
