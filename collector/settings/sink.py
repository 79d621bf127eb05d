"""Settings of where the pipeline writes, and whether texts are searched there.

URLs of Postgres servers have libpq's form (PostgreSQL's documentation, 32.1.1.2), with SQLAlchemy's name of the driver allowed in them.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator

from collector.settings.section import Section

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


class Sink(Section):
    """Where the pipeline writes its events."""

    url: str = Field(
        "sqlite:///data/events.db",
        description="sqlite:///relative/path, sqlite:////absolute/path, postgresql://user@host:5432/database, or kafka: (section kafka).",
    )
    password_file: Path | None = Field(None, description="File that holds the Postgres password; read anew for each connection.")
    retention_days: int | None = Field(
        None, ge=1, le=36_500, description="`serve` deletes days that are older; absent: it deletes nothing."
    )
    relay_grace_days: int = Field(
        7, ge=0, le=36_500, description="Days more that are kept for a relay that has not copied them; then they go all the same."
    )
    batch_exchanges: int = Field(1000, ge=1, le=10_000, description="Outputs written in one transaction at most.")

    @field_validator("url")
    @classmethod
    def _known(cls, url: str) -> str:
        if is_postgres(url):
            if wrong := fault(url):
                raise ValueError(wrong)
        elif not url.startswith("sqlite:///") and url not in ("kafka:", "kafka://"):
            raise ValueError("expected sqlite:////var/lib/meshscribe/events.db, postgresql://user@host:5432/database, or kafka:")
        return url

    @property
    def is_kafka(self) -> bool:
        """Whether events go to the topics of the section `kafka`."""
        return self.url.startswith("kafka:")


class Search(Section):
    """Search in prompts and answers (docs/search.md)."""

    text: bool = Field(
        False,
        description="Words of prompts and answers are put into an index as they are stored, after redaction: then `text` is a filter of the"
        " audit API. What was stored before is not found by it.",
    )
    exchange_bytes: int = Field(
        64 << 10,
        ge=1 << 10,
        le=1 << 20,
        description="Characters of an exchange whose words go into it: of the answer first, then of the messages, the newest first.",
    )
