"""Trials of what is elsewhere, and of our own ports."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

from collector.errors import SettingsError
from collector.http.servers import listen
from collector.kafka.topics import existing, missing
from collector.settings import Kafka, Relay
from collector.store.migrate import head, revisions, server_revision
from collector.store.postgres_server import PostgresServer


async def try_postgres(server: PostgresServer, migrates: bool = True) -> str:
    """Raises RetryableError: it does not answer; SettingsError: its tables are not those that are needed."""
    found = await server_revision(server)
    if not migrates or found == head():
        return f"answers, tables at revision {found}" if found else "answers"
    if found is not None and found not in revisions():
        raise SettingsError([f"is at revision {found}, which this version does not know: it is of a newer one"])
    raise SettingsError([f"is at revision {found or 'none'}, needed is {head()}: run `meshscribe migrate`"])


async def try_kafka(settings: Kafka, topics: Sequence[str]) -> str:
    """Raises RetryableError: the brokers do not answer; SettingsError: a topic is missing."""
    found = await existing(settings, topics, patience_seconds=0)
    if faults := missing(topics, found.topics):
        raise SettingsError(faults)
    return f"cluster {found.cluster} answers, {len(topics)} topics are there"


async def try_http(relay: Relay) -> str:
    """Opens a connection, TLS included, and asks for nothing: a request would be an event to the target. Raises OSError."""
    parts = urlsplit(relay.url)
    is_tls = parts.scheme == "https"
    context = _context(relay) if is_tls else None
    _, writer = await asyncio.open_connection(parts.hostname, parts.port or (443 if is_tls else 80), ssl=context)
    writer.close()
    return "accepts connections" + (", TLS fits" if is_tls else "")


async def try_port(host: str, port: int) -> str:
    """Listens for a moment. Raises OSError."""
    if port == 0:
        return "a free port will be taken"
    listen(host, port).close()
    return "is free"


def _context(relay: Relay) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=relay.tls_ca_file)
    if relay.tls_certificate_file is not None:
        context.load_cert_chain(relay.tls_certificate_file, relay.tls_key_file)
    return context
