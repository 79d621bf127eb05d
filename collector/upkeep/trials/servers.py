"""Trials of what is elsewhere: servers, brokers, who is asked about who looks; and of our own ports."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from collector.access.proof import NotProvenError
from collector.access.provider import Provider
from collector.access.static_tokens import read
from collector.access.token_review import TokenReviews, api_of
from collector.clock import SystemClock
from collector.errors import SettingsError
from collector.http.servers import listen
from collector.kafka.topics import existing, missing
from collector.settings import Kafka, KubernetesLogin, Oidc, Relay
from collector.store.migrate import head, revisions, server_revision
from collector.store.postgres_server import PostgresServer

NOBODYS = "a-token-that-nobody-has"


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


def try_tokens(path: Path) -> str:
    """Raises OSError, or BadInputError: a line is none."""
    return f"{len(read(path.read_text(encoding='utf-8')))} tokens"


async def try_provider(settings: Oidc) -> str:
    """Raises CannotProveError, or SettingsError: the file of authorities does not fit."""
    provider = Provider(settings, SystemClock())
    try:
        return f"answers, {len(await provider.keys())} keys"
    finally:
        await provider.stop()


async def try_token_reviews(settings: KubernetesLogin) -> str:
    """Raises CannotProveError: the API server is away, or does not let us ask."""
    api = api_of(settings)
    try:
        await TokenReviews(settings, api, SystemClock()).prove(NOBODYS)
    except NotProvenError:
        return "answers TokenReviews"
    finally:
        await api.close()
    return "answers TokenReviews, and knows a token that nobody has"
