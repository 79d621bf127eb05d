"""Which trials a process with these settings needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import make_url

from collector.settings import Relay, Settings
from collector.settings.sink import is_postgres, shown
from collector.sinks.kafka import event_topics
from collector.store.postgres_server import PostgresServer
from collector.upkeep.trials import Trial
from collector.upkeep.trials.files import try_database, try_readable, try_store
from collector.upkeep.trials.servers import try_http, try_kafka, try_port, try_postgres, try_provider, try_token_reviews, try_tokens


def choose(settings: Settings) -> list[Trial]:
    """In the order of the data."""
    parts = (_ports, _journal, _kafka, _sink, _relays, _services, _access)
    return [trial for part in parts for trial in part(settings)]


def _ports(settings: Settings) -> Iterator[Trial]:
    ingest, audit = settings.ingest, settings.audit
    listeners = [("audit.port", audit.host, audit.port), ("audit.probe_port", audit.host, audit.probe_port)]
    if settings.role in ("all", "receive"):
        listeners = [("ingest.port", ingest.host, ingest.port), ("ingest.grpc_port", ingest.host, ingest.grpc_port), *listeners]
    for name, host, port in listeners:
        if port is not None:
            yield Trial(name, f"{host}:{port}", partial(try_port, host, port))


def _journal(settings: Settings) -> Iterator[Trial]:
    if settings.role == "all" and not settings.journal.url:
        journal = settings.journal
        yield Trial("journal.path", str(journal.path), _in_thread(partial(try_database, journal.path, journal.quota_bytes)))


def _kafka(settings: Settings) -> Iterator[Trial]:
    kafka = settings.kafka
    into_kafka = settings.sinks_in_kafka or (settings.runs_relays and any(relay.to == "kafka" for relay in settings.relays))
    topics = list(event_topics(kafka).values()) if into_kafka and settings.role != "audit" else []
    if not kafka.bootstrap_servers or not (topics or settings.copies_looks):
        return
    topics += [kafka.access_topic] if settings.copies_looks else []
    topics += [kafka.raw_topic, kafka.checkpoints_topic] if settings.in_roles and settings.role != "audit" else []
    yield Trial("kafka.bootstrap_servers", kafka.bootstrap_servers, partial(try_kafka, kafka, sorted(set(topics))))


def _sink(settings: Settings) -> Iterator[Trial]:
    sink = settings.sink
    if sink.is_kafka or (settings.in_roles and settings.role not in ("store", "audit")):
        return
    yield _sql("sink.url", sink.url, sink.password_file)


def _relays(settings: Settings) -> Iterator[Trial]:
    for relay in settings.relays if settings.runs_relays else ():
        name = f"relays.{relay.name}"
        if relay.to == "http":
            yield Trial(name, relay.url, partial(try_http, relay))
        elif relay.to == "sql":
            yield _sql(name, relay.url, relay.password_file)
        yield from _files(name, relay)


def _files(name: str, relay: Relay) -> Iterator[Trial]:
    for which in ("token_file", "password_file"):
        path: Path | None = getattr(relay, which)
        if path is not None:
            yield Trial(f"{name}.{which}", str(path), _in_thread(partial(try_readable, path)))


def _services(settings: Settings) -> Iterator[Trial]:
    path = settings.services.file
    if path is not None and settings.services.source in ("auto", "file"):
        yield Trial("services.file", str(path), _in_thread(partial(try_readable, path)))


def _access(settings: Settings) -> Iterator[Trial]:
    access = settings.access
    if not settings.answers_queries:
        return
    if access.tokens_file is not None:
        yield Trial("access.tokens_file", str(access.tokens_file), _in_thread(partial(try_tokens, access.tokens_file)))
    if access.oidc.issuer:
        yield Trial("access.oidc", access.oidc.issuer, partial(try_provider, access.oidc))
    if access.kubernetes.enabled:
        yield Trial(
            "access.kubernetes", str(access.kubernetes.kubeconfig or "the pod's API server"), partial(try_token_reviews, access.kubernetes)
        )


def _sql(setting: str, url: str, password_file: Path | None) -> Trial:
    if is_postgres(url):
        return Trial(setting, shown(url), partial(try_postgres, PostgresServer(url, password_file)))
    path = Path(make_url(url).database or "")
    return Trial(setting, str(path), _in_thread(partial(try_store, path)))


def _in_thread(work: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    return partial(asyncio.to_thread, work)
