"""What a dead letter may hold of an exchange on which a stage failed: all that it was made of, but the secrets that are hidden whatever the
rules.

Guarantees: pure; the same exchange if it holds none; a header block that cannot be read is left out. Next stop: the dead letters, and back
here when one is sent again: what is hidden stays as it is.
"""

from __future__ import annotations

from msgspec import structs

from collector.errors import BadInputError
from collector.messages import headers
from collector.messages.exchange import AccessLog, Exchange, Tap
from collector.messages.headers import Headers
from collector.messages.queries import REDACTED, without_query_secrets
from collector.messages.secrets import is_keyed, look_at
from collector.redact.headers import without_secrets

_BLOCKS = ("request_headers", "request_trailers", "response_headers", "response_trailers")
_LOGGED = ("request_headers", "response_headers", "response_trailers")


def for_a_letter(exchange: Exchange) -> Exchange:
    """The exchange without secrets in its headers, its trailers and its path."""
    tap, log, problems = exchange.tap, exchange.access_log, list[str]()
    if tap is not None:
        tap = _tapped(tap, problems)
    if log is not None:
        log = _logged(log)
    return structs.replace(exchange, tap=tap, access_log=log, problems=[*exchange.problems, *problems])


def _tapped(tap: Tap, problems: list[str]) -> Tap:
    blocks = {}
    for name in _BLOCKS:
        block = getattr(tap, name)
        try:
            told = headers.pairs(block or b"")
            bare = _bare(told)
            blocks[name] = block if bare == told else headers.pack(bare)
        except BadInputError as error:
            blocks[name] = None
            problems.append(f"withheld when a stage failed on it: {error}")
    return structs.replace(tap, **blocks)


def _logged(log: AccessLog) -> AccessLog:
    named = {name: dict(_bare(list(getattr(log, name).items()))) for name in _LOGGED}
    return structs.replace(log, path=without_query_secrets(log.path), **named)


def _bare(told: Headers) -> Headers:
    named = dict(told[::-1])
    return without_secrets(told, named, look_at(named), _session)


def _session(told: str) -> str:
    """No hash here but the filter's own: sent again, it would be hashed twice, and so be another one."""
    return told if is_keyed(told) else REDACTED
