"""Who sends: the identity that the mesh vouches for, and whether what a proxy says of itself agrees with it (ingest.identity: mesh).

The collector's own sidecar ends mutual TLS and appends who the peer was to the header `x-forwarded-client-cert`. Only the last element is
its word: what stands before came with the request and may be anybody's. So it is read from its end. Beside it stands the
bearer token that senders must carry where `ingest.token` is set, over HTTP and gRPC alike.
"""

from __future__ import annotations

import hmac
import logging
import re
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretStr

from collector.errors import MeshscribeError
from collector.settings import Ingest

if TYPE_CHECKING:
    from envoy.config.core.v3.base_pb2 import Node

    from collector.messages import tap_pb2

log = logging.getLogger("meshscribe.receive")

HEADER = "x-forwarded-client-cert"
REASON = "identity"
NAME_CHARS = 512  # of a SPIFFE id
LOG_SECONDS = 60.0
MAX_LOGGED = 1000  # senders that are told of apart
_CACHED_CHARS = 1024
MAX_ELEMENT_CHARS = 8 << 10  # a certificate's subject and names; what is longer is read no further
_FIELD = re.compile(r'([^=;,"]++)=("(?:[^"\\]|\\.)*+"|(?!")[^;]*+)(?:;|\Z)')  # never tries a character twice
_SPIFFE = re.compile(r"spiffe://([A-Za-z0-9._-]+)/ns/([A-Za-z0-9._-]+)/sa/([A-Za-z0-9._-]+)")
EXPECTED = "expected the token of ingest.token as a bearer token"


class DeniedError(MeshscribeError):
    """The sender is not who the message says. `sender`: who it was, as far as the mesh says."""

    def __init__(self, why: str, sender: str = "") -> None:
        super().__init__(why)
        self.sender = sender


class Sender(NamedTuple):
    """A workload's SPIFFE id in Istio's form, and its parts."""

    id: str
    trust_domain: str
    namespace: str
    service_account: str


NOBODY = Sender("", "", "", "")  # where identities are not checked


class Claim(NamedTuple):
    """What a message says of the proxy that it comes from; empty: nothing."""

    node: str
    namespace: str
    service_account: str


class Identities:
    """Checks senders as the settings say, and logs who was refused: each at most once a minute."""

    def __init__(self, settings: Ingest) -> None:
        self.checks = settings.identity == "mesh"
        self._trust_domains = frozenset(settings.trust_domains)
        self._logged: dict[str, float] = {}

    def sender(self, header: str) -> Sender:
        """Who sent what came with this header; several lines of it joined by commas. Raises DeniedError."""
        if not self.checks:
            return NOBODY
        try:
            found = _cached(header) if len(header) <= _CACHED_CHARS else sender_of(header)
            if self._trust_domains and found.trust_domain not in self._trust_domains:
                why = f"the sender {found.id} is of trust domain {found.trust_domain}, which ingest.trust_domains does not name"
                raise DeniedError(why, found.id)
        except DeniedError as error:
            self._log(error)
            raise
        return found

    def check(self, sender: Sender, claim: Claim) -> None:
        """Raises DeniedError: the claim is another workload's."""
        if self.checks and (why := disagreement(sender, claim)):
            error = DeniedError(why, sender.id)
            self._log(error)
            raise error

    def _log(self, error: DeniedError) -> None:
        now = time.monotonic()
        if now - self._logged.get(error.sender, -LOG_SECONDS) < LOG_SECONDS:
            return
        if len(self._logged) >= MAX_LOGGED:
            self._logged.clear()
        self._logged[error.sender] = now
        log.warning("refused, and told so at most once a minute of each sender: %s", error)


def joined(values: Iterable[object]) -> str:
    """A header's lines as one, whichever kind of text they are."""
    return ",".join(value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in values)


def sender_of(header: str) -> Sender:
    """The last element's identity: its first URI. Raises DeniedError."""
    if not header:
        raise DeniedError(
            f"there is no {HEADER}, so nobody vouches for the sender: with ingest.identity: mesh the collector needs a sidecar that ends"
            " mutual TLS before it, and STRICT for these ports"
        )
    element = last_element(header)
    uri = next((_plain(value) for name, value in _fields(element) if name.strip().lower() == "uri"), "")
    match = _SPIFFE.fullmatch(uri) if len(uri) <= NAME_CHARS else None
    if match is None:
        raise DeniedError(f"the last element of {HEADER} names no spiffe://TRUST/ns/NAMESPACE/sa/ACCOUNT: {element[:300]!r}")
    return Sender(uri, match[1], match[2], match[3])


def last_element(header: str) -> str:
    """What stands behind the last comma that is not in quotes. Read from the end, so that nothing before it can change where it begins.

    Raises DeniedError: it is longer than any proxy's.
    """
    quoted, stop = False, len(header) - MAX_ELEMENT_CHARS - 1
    for at in range(len(header) - 1, max(stop, 0) - 1, -1):
        character = header[at]
        if character == '"' and not _is_escaped(header, at):
            quoted = not quoted
        elif character == "," and not quoted:
            return header[at + 1 :]
    if stop >= 0:
        raise DeniedError(f"the last element of {HEADER} has more than {MAX_ELEMENT_CHARS} characters")
    return header


@lru_cache(8192)
def disagreement(sender: Sender, claim: Claim) -> str:
    """Where the claim is not the sender's own: a sentence; empty if it is. A service account that is not told is not compared."""
    own = "a workload may tell of its own proxy only (ingest.identity)"
    named = namespace_of(claim.node)
    if not named:
        return f"the sender is {sender.id}, and the node id {claim.node[:200]!r} is not TYPE~ADDRESS~POD.NAMESPACE~DOMAIN: {own}"
    for what, told, true in (
        ("node id names namespace", named, sender.namespace),
        ("node's namespace is", claim.namespace or named, sender.namespace),
        ("node's service account is", claim.service_account or sender.service_account, sender.service_account),
    ):
        if told != true:
            return f"the sender is {sender.id}, but the {what} {told[:200]!r}, not {true!r} (node {claim.node[:200]!r}): {own}"
    return ""


def namespace_of(node: str) -> str:
    """The namespace inside of a node id as Istio's agents make it; empty if it is none of these."""
    parts = node.split("~")
    return parts[2].rpartition(".")[2] if len(parts) == 4 and "." in parts[2] else ""


def claim_of_batch(node: tap_pb2.Node) -> Claim:
    """Of a tap batch's node."""
    return Claim(node.id, node.namespace, node.service_account)


def claim_of_log(node: Node) -> Claim:
    """Of the node (envoy.config.core.v3.Node) that an access log stream names."""
    fields = node.metadata.fields
    namespace, account = (fields[name].string_value if name in fields else "" for name in ("NAMESPACE", "SERVICE_ACCOUNT"))
    return Claim(node.id, namespace, account)


@lru_cache(4096)
def _cached(header: str) -> Sender:
    return sender_of(header)


def _fields(element: str) -> Iterator[tuple[str, str]]:
    """Names and values, up to where they are not separated as they should be."""
    at = 0
    while field := _FIELD.match(element, at):
        yield field[1], field[2]
        at = field.end()


def _is_escaped(text: str, at: int) -> bool:
    first = at
    while first and text[first - 1] == "\\":
        first -= 1
    return (at - first) % 2 == 1


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value.strip()


class Token:
    """Nothing is asked for where none is set."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token.get_secret_value().encode() if token is not None else None

    def allows(self, authorization: bytes) -> bool:
        """Whether this value of the header `authorization` carries it."""
        if self._token is None:
            return True
        scheme, _, token = authorization.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)
