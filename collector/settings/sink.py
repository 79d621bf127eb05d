"""Settings of where the pipeline writes."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from collector.settings.postgres_url import fault, is_postgres
from collector.settings.section import Section


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
