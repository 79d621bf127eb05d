"""Settings of Apache Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from collector.settings.section import MIB, Section, is_there


class Kafka(Section):
    """Apache Kafka, where `sink.url` is `kafka:` or a relay, a journal or a role uses it. Topics: `meshscribe kafka topics --create`."""

    bootstrap_servers: str = Field("", description="Brokers to ask first: host:port,host:port.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field("PLAINTEXT", description="As the brokers listen.")
    tls_ca_file: Path | None = Field(None, description="PEM file of the authorities that sign the brokers; the system's if absent.")
    tls_certificate_file: Path | None = Field(None, description="PEM file of our certificate (mutual TLS).")
    tls_key_file: Path | None = Field(None, description="PEM file of its key, if not in the same file.")
    tls_key_password: SecretStr | None = Field(None, description="Password of the key.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field("SCRAM-SHA-512", description="With SASL_* only.")
    sasl_username: str | None = Field(None, description="For the SASL mechanisms with a password.")
    sasl_password: SecretStr | None = Field(None, description="Better in a file: sasl_password_file.")
    sasl_password_file: Path | None = Field(None, description="File that holds the password, in place of sasl_password.")
    exchanges_topic: str = Field("meshscribe.exchanges", description="Topic of exchange events.")
    usage_topic: str = Field("meshscribe.usage", description="Topic of usage events, which billing reads.")
    payloads_topic: str = Field("meshscribe.payloads", description="Topic of request and response bodies.")
    ledger_topic: str = Field("meshscribe.ledger", description="Topic of ledger windows.")
    access_topic: str = Field("meshscribe.access", description="Topic of who looked, with access.to_kafka.")
    dead_letters_topic: str = Field(
        "meshscribe.dead-letters", description="Compacted topic of what could not be written, without SQL store."
    )
    raw_topic: str = Field("meshscribe.raw", description="Topic of the Kafka journal.")
    checkpoints_topic: str = Field("meshscribe.checkpoints", description="Compacted topic of the correlators' states.")
    services_topic: str = Field(
        "meshscribe.services", description="Compacted topic of services' versions, which processes without SQL store share."
    )
    raw_record_bytes: int = Field(
        17 * MIB, ge=65_536, le=100_000_000, description="Largest record of the raw topic; above ingest.max_batch_bytes."
    )
    session_seconds: float = Field(10.0, ge=6, le=300, description="A process silent for so long loses its partitions to the others.")
    max_record_bytes: int = Field(
        2_000_000, ge=65_536, le=100_000_000, description="Largest record; larger bodies are cut. Below the topics' max.message.bytes."
    )
    compression: Literal["none", "zstd", "gzip", "lz4", "snappy"] = Field("zstd", description="Of record batches.")
    timeout_seconds: float = Field(20.0, ge=1, le=50, description="Time for one transaction; after it, it is aborted and tried again.")

    @field_validator("tls_ca_file", "tls_certificate_file", "tls_key_file", "sasl_password_file")
    @classmethod
    def _is_there(cls, path: Path | None) -> Path | None:
        return is_there(path)

    @field_validator("bootstrap_servers")
    @classmethod
    def _addresses(cls, servers: str) -> str:
        for server in filter(None, servers.split(",")):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65_536:
                raise ValueError(f"{server.strip()!r} is not host:port")
        return servers

    @model_validator(mode="after")
    def _credentials(self) -> Kafka:
        faults = []
        if self.security_protocol.startswith("SASL"):
            if not self.sasl_username:
                faults.append(f"{self.security_protocol} needs sasl_username")
            if (self.sasl_password is None) == (self.sasl_password_file is None):
                faults.append(f"{self.security_protocol} needs either sasl_password or sasl_password_file")
        elif self.sasl_username:
            faults.append(f"sasl_username is of no use with {self.security_protocol}")
        if self.tls_key_file is not None and self.tls_certificate_file is None:
            faults.append("tls_key_file needs tls_certificate_file")
        if faults:
            raise ValueError("; ".join(faults))
        return self
