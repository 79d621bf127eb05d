"""All sections together, and what must fit between them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from collector.settings.access import Access, is_loopback
from collector.settings.collecting import Audit, Correlate, Ingest, Journal, Log
from collector.settings.kafka import Kafka
from collector.settings.meaning import Redaction, Services, Usage
from collector.settings.people import People
from collector.settings.relay import Relay
from collector.settings.sink import Search, Sink

PREFIX = "MESHSCRIBE_"
Role = Literal["all", "receive", "process", "store", "audit"]
STORE = "store"  # the relay that role store is
LOOKS = "looks"  # the relay that copies looks


class Settings(BaseSettings):
    """Every section. Built by `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, nested_model_default_partial_update=True
    )

    role: Role = Field("all", description="What this process does (docs/scale-out.md); all: one process, without Kafka in between.")
    ingest: Ingest = Ingest()
    audit: Audit = Audit()
    access: Access = Access()
    journal: Journal = Journal()
    correlate: Correlate = Correlate()
    sink: Sink = Sink()
    services: Services = Services()
    search: Search = Search()
    usage: Usage = Usage()
    people: People = People()
    redaction: Redaction = Redaction()
    kafka: Kafka = Kafka()
    relays: list[Relay] = Field([], description="Copies of the events to elsewhere (docs/relays.md).")
    log: Log = Log()

    @property
    def in_roles(self) -> bool:
        """Whether the journal is a Kafka topic: the pipeline's events are in the topics then, whatever `sink.url` says."""
        return bool(self.journal.url) or self.role != "all"

    @property
    def sinks_in_kafka(self) -> bool:
        """Whether the pipeline writes to the topics: relays read from there."""
        return self.in_roles or self.sink.is_kafka

    @property
    def runs_relays(self) -> bool:
        """Whether this process runs the section's relays: `store`, and `process` where there is no store."""
        return self.role in ("all", "store") or (self.role == "process" and self.sink.is_kafka)

    @property
    def answers_queries(self) -> bool:
        """Whether this process has the audit API: the others' audit port answers probes alone."""
        return self.role == "audit" or (self.role == "all" and not self.sinks_in_kafka)

    @property
    def copies_looks(self) -> bool:
        """Whether this process copies who looked to Kafka: one that writes it down does."""
        return self.access.to_kafka and self.answers_queries

    @model_validator(mode="after")
    def _lookers_are_asked(self) -> Settings:
        """Prompts are not shown to whoever reaches a port because nobody thought of it."""
        if self.answers_queries and not (self.access.asks or self.access.open or is_loopback(self.audit.host)):
            raise ValueError(
                f"access: nobody would be asked who he is, and audit.host is {self.audit.host}, which others reach: say who may look"
                " (access.kubernetes, access.oidc, access.tokens_file or access.mesh: docs/access.md), or write access.open: true"
            )
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Settings:
        ports = [p for p in (self.ingest.port, self.ingest.grpc_port, self.audit.port, self.audit.probe_port) if p]
        if len(set(ports)) != len(ports):
            raise ValueError("ingest.port, ingest.grpc_port, audit.port and audit.probe_port must differ")
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
    def _key_is_of_use(self) -> Settings:
        usage, people = self.usage, self.people
        if usage.consumer_key_file is not None and not (usage.consumer_headers or people.is_told):
            raise ValueError("usage.consumer_key_file is of no use without usage.consumer_headers or people")
        if usage.consumer_key_file is None and people.needs_key:
            raise ValueError(f"usage.consumer_key_file is needed: people.{people.needs_key} is told as a hash that no tap filter can make")
        return self

    @model_validator(mode="after")
    def _sums_outlive_exchanges(self) -> Settings:
        sums, rows = self.usage.retention_days, self.sink.retention_days
        if sums is not None and rows is not None and sums < rows:
            raise ValueError(
                f"usage.retention_days ({sums}) must not be less than sink.retention_days ({rows}): exchanges that are still there would be"
                " in no sum"
            )
        return self

    @model_validator(mode="after")
    def _relays_fit(self) -> Settings:
        names = [relay.name for relay in self.relays]
        faults = [f"relays: the name {name} is used twice" for name in sorted(set(names)) if names.count(name) > 1]
        for relay in self.relays:
            if relay.to == "kafka" and self.sinks_in_kafka:
                faults.append(f"relays.{relay.name}: the sink is Kafka already")
            if relay.name == LOOKS and self.access.to_kafka:
                faults.append(f"relays.{relay.name}: access.to_kafka is a relay of this name itself")
            if relay.name == STORE and self.in_roles:
                faults.append(f"relays.{relay.name}: role store is a relay of this name itself")
            if relay.to == "kafka" and not self.kafka.bootstrap_servers:
                faults.append(f"relays.{relay.name}: kafka.bootstrap_servers is needed")
            if relay.to == "sql" and not self.sinks_in_kafka:
                faults.append(f"relays.{relay.name}: to sql goes only what comes from Kafka, and sink.url is SQL itself")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @model_validator(mode="after")
    def _looks_can_go_to_kafka(self) -> Settings:
        if self.access.to_kafka and not self.kafka.bootstrap_servers:
            raise ValueError("access.to_kafka: kafka.bootstrap_servers is needed")
        if self.access.to_kafka and self.role == "all" and self.sinks_in_kafka:
            raise ValueError("access.to_kafka: this process answers no queries, since sink.url is kafka:, so there are no looks")
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
