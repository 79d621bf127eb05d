"""Settings of one relay."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from collector.settings.section import MIB, Section, is_there
from collector.settings.sink import fault, is_postgres


class Relay(Section):
    """A copy of the sink's events to somewhere else, at its own pace (docs/relays.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_alias=True, validate_by_name=True, serialize_by_alias=True)

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?$", description="Its place is kept under this name: do not change it.")
    from_: Literal["sink"] = Field("sink", alias="from", description="Where it reads.")
    to: Literal["kafka", "sql", "http"] = Field(description="kafka: the topics of section kafka; sql and http: `url`.")
    url: str = Field("", validate_default=True, description="http(s)://host/path, sqlite:////path, or postgresql://user@host/database.")
    mode: Literal["binary", "structured", "batch"] = Field("binary", description="CloudEvents content mode of HTTP.")
    types: list[Literal["exchange", "usage", "request", "response", "ledger"]] = Field(
        ["exchange", "usage", "request", "response", "ledger"], description="Which events are copied.", min_length=1
    )
    headers: dict[str, SecretStr] = Field({}, description="Headers of each HTTP request.")
    token: SecretStr | None = Field(None, description="Bearer token for HTTP.")
    token_file: Path | None = Field(None, description="File that holds it; read anew for each batch.")
    password_file: Path | None = Field(None, description="File that holds the Postgres password.")
    tls_ca_file: Path | None = Field(None, description="PEM file of the authorities that sign the server; the usual ones if absent.")
    tls_certificate_file: Path | None = Field(None, description="PEM file of our certificate (mutual TLS).")
    tls_key_file: Path | None = Field(None, description="PEM file of its key, if not in the same file.")
    timeout_seconds: float = Field(10.0, gt=0, le=600, description="Time for one HTTP request.")
    bodies_url: str = Field("", description="Our audit API as Kafka's readers reach it: bodies too large for a record are named by it.")
    batch_exchanges: int = Field(500, ge=1, le=10_000, description="Exchanges held in memory at most.")
    batch_bytes: int = Field(8 * MIB, ge=65_536, description="Bytes held in memory, about; one exchange may be larger.")

    @field_validator("token_file", "password_file", "tls_ca_file", "tls_certificate_file", "tls_key_file")
    @classmethod
    def _is_there(cls, path: Path | None) -> Path | None:
        return is_there(path)

    @field_validator("url")
    @classmethod
    def _fits_its_target(cls, url: str, others: ValidationInfo) -> str:
        to = others.data.get("to")
        if to == "http" and not re.match(r"https?://[^/\s]+", url):
            raise ValueError("expected http://host/path or https://host/path, since `to` is http")
        if to == "sql" and not (is_postgres(url) or url.startswith("sqlite:///")):
            raise ValueError("expected sqlite:////path or postgresql://user@host/database, since `to` is sql")
        if to == "sql" and is_postgres(url) and (wrong := fault(url)):
            raise ValueError(wrong)
        if to == "kafka" and url:
            raise ValueError("is of no use with kafka: the brokers are named in section kafka")
        return url

    @field_validator("token_file")
    @classmethod
    def _one_token(cls, path: Path | None, others: ValidationInfo) -> Path | None:
        if path is not None and others.data.get("token") is not None:
            raise ValueError("token is set too: only one of them")
        return path
