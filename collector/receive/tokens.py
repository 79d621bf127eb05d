"""ingest.token: the bearer token that senders must carry, over HTTP and gRPC alike."""

from __future__ import annotations

import hmac

from pydantic import SecretStr

EXPECTED = "expected the token of ingest.token as a bearer token"


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
