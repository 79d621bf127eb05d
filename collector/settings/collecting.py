"""Settings of what collects: the listeners, the journal, the correlator, the log."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from collector.settings.section import MIB, Section


class Ingest(Section):
    """The listeners that proxies send to."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="HTTP: POST /v1/tap. 0 takes a free port.")
    grpc_port: int = Field(4315, ge=0, le=65535, description="gRPC: Envoy's access log service. 0 takes a free port.")
    identity: Literal["none", "mesh"] = Field(
        "none",
        description="mesh: senders must be who they say, by the SPIFFE id that our sidecar puts last into `x-forwarded-client-cert`"
        " (docs/install.md). none: they are believed.",
    )
    trust_domains: list[str] = Field([], description="Trust domains whose senders are taken, with `identity: mesh`. None: any.")
    token: SecretStr | None = Field(
        None, description="If set, tap batches and log streams must carry it as a bearer token (Istio's log streams cannot)."
    )
    max_batch_bytes: int = Field(16 * MIB, ge=1024, description="Largest tap batch or log message, decompressed.")
    max_batch_parts: int = Field(
        8192, ge=4096, description="Parts of a tap batch, or entries of a log message, at most; the filter seals 4,096."
    )
    max_waiting_bytes: int = Field(64 * MIB, ge=MIB, description="Bytes that may wait for the journal; beyond: 503, or counted drops.")
    max_connections: int = Field(2048, ge=1, description="HTTP connections at a time; one more is answered 503 and closed.")

    @field_validator("token")
    @classmethod
    def _says_something(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not token.get_secret_value().strip():
            raise ValueError("is empty, which guards nothing: leave it out for none")
        return token

    @model_validator(mode="after")
    def _domains_are_of_use(self) -> Ingest:
        if self.trust_domains and self.identity == "none":
            raise ValueError("trust_domains is of no use without identity: mesh")
        return self


class Audit(Section):
    """The listener for people and billing: REST, health, metrics."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8081, ge=0, le=65535, description="0 takes a free port.")
    probe_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="A listener of its own for /healthz, /readyz and /metrics, which `port` answers too. 0 takes a free port.",
    )
    hosts: list[str] = Field(
        [],
        description="Names in a request's Host header that are answered: `name`, or `*.domain`. Always: addresses, names without a dot,"
        " `*.localhost`, `*.svc`, `*.svc.cluster.local`. Probes are answered under any.",
    )
    max_connections: int = Field(
        128,
        ge=1,
        description="Connections at a time. For one more an idle one is closed, or it is answered 503; a few more may ask for probes.",
    )
    query_seconds: float = Field(10.0, gt=0, le=600, description="A query is given up after so long, and may wait for its turn as long.")
    queries: int = Field(
        8, ge=1, le=64, description="Queries answered at a time; more wait, clients (persons, or addresses where nobody is asked) in turn."
    )
    client_queries: int = Field(4, ge=1, le=64, description="Of one client; 16 more of it may wait, the next is answered 429.")
    exports: int = Field(8, ge=1, le=64, description="Exports under way at a time; one more is answered 429.")
    client_exports: int = Field(2, ge=1, le=64, description="Of one client (person, or address where nobody is asked).")
    tails: int = Field(128, ge=1, le=1024, description="Readers of GET /v1/tail at a time; one more is answered 429.")
    client_tails: int = Field(16, ge=1, le=1024, description="Of one client (person, or address where nobody is asked).")
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

    expect: Literal["both", "tap", "access_log"] = Field(
        "both",
        description="The witnesses that report each exchange. With `tap` alone, the filter's `caller_address` tells the caller's address.",
    )
    tap_label: str = Field(
        "meshscribe.io/tap=true",
        description="`name=value`: with `both`, a tap is expected of pods with this label and of proxies that sent batches. Empty: of all.",
        pattern=r"^$|^[^=]+=[^=]*$",
    )
    linger_seconds: float = Field(10.0, gt=0, description="Wait for the rest after a witness ended an exchange.")
    idle_seconds: float = Field(300.0, gt=0, description="An exchange of which nothing was heard for so long is closed as unfinished.")
    told_seconds: float = Field(
        300.0, ge=0, description="A WebSocket that stays busy is told while it is open, within two of these; 0: once it rests or ends."
    )
    late_seconds: float = Field(900.0, ge=0, description="How long an incomplete exchange can still be revised after it was closed.")
    open_bytes: int = Field(
        512 * MIB,
        ge=MIB,
        description="Bytes of open exchanges held; beyond, one with more than an eighth of it is closed, else the longest quiet one.",
    )
    late_bytes: int = Field(
        64 * MIB, ge=0, description="Bytes of closed incomplete exchanges held for revisions, and a quarter more for heads of streams."
    )
    closed_keys: int = Field(200_000, ge=1000, description="Closed exchanges remembered, so that a late piece is known as late.")
    ledger_seconds: float = Field(60.0, gt=0, description="Length of the ledger's windows.")


class Log(Section):
    """The collector's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
