"""All settings, checked at start, all errors at once. `meshscribe config check` does only that.

Sources, the later wins: defaults, the YAML file named by `--config` or MESHSCRIBE_CONFIG, environment variables
(MESHSCRIBE_JOURNAL__PATH=… for `journal.path`). An unknown name is an error, so that a typing mistake is not a silent default.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from collector.errors import SettingsError
from collector.postgres_url import fault, is_postgres

PREFIX = "MESHSCRIBE_"
MIB = 1 << 20
Role = Literal["all", "receive", "process", "store", "audit"]


class Section(BaseModel):
    """A group of settings: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ingest(Section):
    """The listeners that proxies send to."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="HTTP: POST /v1/tap. 0 takes a free port.")
    grpc_port: int = Field(4315, ge=0, le=65535, description="gRPC: Envoy's access log service. 0 takes a free port.")
    token: SecretStr | None = Field(None, description="If set, tap batches must carry it as a bearer token.")
    max_batch_bytes: int = Field(16 * MIB, ge=1024, description="Largest tap batch or log message, decompressed.")
    max_waiting_bytes: int = Field(64 * MIB, ge=MIB, description="Bytes that may wait for the journal; beyond: 503, or counted drops.")


class Audit(Section):
    """The listener for people and billing: REST, health, metrics."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8081, ge=0, le=65535, description="0 takes a free port.")
    page_limit: int = Field(1000, ge=1, le=10_000, description="Largest page that a query may ask for.")


class Journal(Section):
    """The durable order of what was received."""

    url: Literal["", "kafka:"] = Field(
        "", description="Empty: the file `path`. kafka: the raw topic of section `kafka` (docs/scale-out.md)."
    )
    path: Path = Field(Path("data/journal.db"), description="SQLite file.")
    quota_bytes: int = Field(4096 * MIB, ge=MIB, description="Payload bytes kept at most; at the quota receivers refuse with 503.")
    keep_bytes: int = Field(0, ge=0, description="Processed entries kept for `replay`, in bytes; 0: none.")
    checkpoint_seconds: float = Field(10.0, gt=0, description="Time between checkpoints of the correlator.")
    checkpoint_bytes: int = Field(64 * MIB, ge=1024, description="Journal bytes after which a checkpoint is due sooner.")


class Correlate(Section):
    """How fragments become exchanges."""

    expect: Literal["both", "tap", "access_log"] = Field("both", description="The witnesses that report each exchange.")
    tap_label: str = Field(
        "meshscribe.io/tap=true",
        description="`name=value`: with `both`, a tap is expected of pods with this label and of proxies that sent batches. Empty: of all.",
        pattern=r"^$|^[^=]+=[^=]*$",
    )
    linger_seconds: float = Field(10.0, gt=0, description="Wait for the rest after a witness ended an exchange.")
    idle_seconds: float = Field(300.0, gt=0, description="An exchange of which nothing was heard for so long is closed as unfinished.")
    late_seconds: float = Field(120.0, ge=0, description="How long an incomplete exchange can still be revised after it was closed.")
    open_bytes: int = Field(512 * MIB, ge=MIB, description="Bytes of open exchanges held; beyond, the longest quiet one is closed.")
    late_bytes: int = Field(64 * MIB, ge=0, description="Bytes of closed incomplete exchanges held for revisions.")
    closed_keys: int = Field(200_000, ge=1000, description="Closed exchanges remembered, so that a late piece is known as late.")
    ledger_seconds: float = Field(60.0, gt=0, description="Length of the ledger's windows.")


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
    dead_letters_topic: str = Field(
        "meshscribe.dead-letters", description="Compacted topic of what could not be written, without SQL store."
    )
    raw_topic: str = Field("meshscribe.raw", description="Topic of the Kafka journal.")
    checkpoints_topic: str = Field("meshscribe.checkpoints", description="Compacted topic of the correlators' states.")
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
        if path is not None and not path.is_file():
            raise ValueError(f"there is no file {path}")
        return path

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
        if path is not None and not path.is_file():
            raise ValueError(f"there is no file {path}")
        return path

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


class Services(Section):
    """Where InferenceServices are learnt from, and what of them a record may carry."""

    source: Literal["auto", "cluster", "kubeconfig", "file", "none"] = Field(
        "auto", description="auto: `file` if one is named, else the cluster if this runs in a pod, else none."
    )
    file: Path | None = Field(None, description="YAML of InferenceServices, read again when it changes.")
    kubeconfig: Path | None = Field(None, description="For source `kubeconfig`; kubectl's default if not named.")
    context: str | None = Field(None, description="The kubeconfig's context.")
    namespaces: list[str] = Field([], description="Watched namespaces; none: all.")
    annotations: list[str] = Field([], description="Copied annotations: `name`, `prefix*`, with `=hash`, `=mask` or `=drop`.")
    labels: list[str] = Field([], description="Copied labels, likewise.")
    hash_key: SecretStr | None = Field(None, description="Keys the hashes, so that short values cannot be guessed.")
    max_bytes: int = Field(8192, ge=0, le=1 << 20, description="Annotations and labels of one service, at most.")
    history: int = Field(64, ge=1, description="Versions of a service kept in memory.")
    refresh_seconds: float = Field(5.0, gt=0, description="How often versions seen by other collectors are read from the store.")
    probes: bool = Field(False, description="Record the probes of Kubernetes and Knative too.")

    @model_validator(mode="after")
    def _file_is_named(self) -> Services:
        if self.source == "file" and self.file is None:
            raise ValueError("source is `file`, but services.file names none")
        return self


class Log(Section):
    """The collector's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseSettings):
    """Every section. Built by `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, nested_model_default_partial_update=True
    )

    role: Role = Field("all", description="What this process does (docs/scale-out.md); all: one process, without Kafka in between.")
    ingest: Ingest = Ingest()
    audit: Audit = Audit()
    journal: Journal = Journal()
    correlate: Correlate = Correlate()
    sink: Sink = Sink()
    services: Services = Services()
    kafka: Kafka = Kafka()
    relays: list[Relay] = Field([], description="Copies of the events to elsewhere (docs/relays.md).")
    log: Log = Log()

    @model_validator(mode="after")
    def _ports_differ(self) -> Settings:
        ports = [p for p in (self.ingest.port, self.ingest.grpc_port, self.audit.port) if p]
        if len(set(ports)) != len(ports):
            raise ValueError("ingest.port, ingest.grpc_port and audit.port must differ")
        return self

    @model_validator(mode="after")
    def _kafka_is_named(self) -> Settings:
        if self.sink.is_kafka and not self.kafka.bootstrap_servers:
            raise ValueError("kafka.bootstrap_servers is needed, since sink.url is kafka:")
        if not self.kafka.bootstrap_servers and (self.journal.url or self.role in ("receive", "process", "store")):
            why = "journal.url is kafka:" if self.journal.url else f"role is {self.role}"
            raise ValueError(f"kafka.bootstrap_servers is needed, since {why}")
        if self.sink.is_kafka and self.role in ("store", "audit"):
            raise ValueError(f"sink.url must name the SQL store, since role is {self.role}: the topics are those of section kafka")
        return self

    @model_validator(mode="after")
    def _relays_fit(self) -> Settings:
        names = [relay.name for relay in self.relays]
        faults = [f"relays: the name {name} is used twice" for name in sorted(set(names)) if names.count(name) > 1]
        for relay in self.relays:
            if relay.to == "kafka" and self.sink.is_kafka:
                faults.append(f"relays.{relay.name}: the sink is Kafka already")
            if relay.to == "kafka" and not self.kafka.bootstrap_servers:
                faults.append(f"relays.{relay.name}: kafka.bootstrap_servers is needed")
            if relay.to == "sql" and not self.sink.is_kafka:
                faults.append(f"relays.{relay.name}: to sql goes only what comes from Kafka, and sink.url is SQL itself")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load(path: Path | None = None) -> Settings:
    """The settings from file and environment. Raises SettingsError that lists every fault, one a line."""
    named = path or (Path(os.environ[PREFIX + "CONFIG"]) if os.environ.get(PREFIX + "CONFIG") else None)
    faults = _unknown_variables()
    values: dict[str, Any] = {}
    if named is not None:
        values, fault = _read(named)
        faults += [fault] if fault else []
    try:
        settings = Settings(**values)
    except ValidationError as error:
        faults += [_fault(e["loc"], e["msg"]) for e in error.errors()]
    except ValueError as error:  # a section in the environment that is not JSON
        faults.append(str(error))
    if faults:
        raise SettingsError(faults)
    return settings


def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return {}, f"{path}: cannot be read as YAML: {error}"
    if not isinstance(values, dict):
        return {}, f"{path}: holds a {type(values).__name__}, expected sections such as `journal:`"
    return values, None


def _fault(where: tuple[int | str, ...], what: str) -> str:
    name = ".".join(str(part) for part in where) or "settings"
    variable = f" ({PREFIX}{'__'.join(str(p) for p in where).upper()})" if where else ""
    return f"{name}{variable}: {what.removeprefix('Value error, ')}"


def _unknown_variables() -> list[str]:
    """Variables with our prefix that name no setting: the settings library would pass over them in silence."""
    known = {f"{PREFIX}{s.upper()}__{f.upper()}" for s, fields in _names().items() for f in fields}
    known |= {PREFIX + s.upper() for s in _names()} | {PREFIX + "CONFIG"}
    ours = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    return [f"{name}: no such setting" for name in ours if "__" in name]


def _names() -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    for section, field in Settings.model_fields.items():
        kind = field.annotation
        sections[section] = list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []
    return sections
