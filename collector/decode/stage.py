"""The stage: what a redacted exchange meant. It takes nothing that was not redacted, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from collector.decode.decoder import decode
from collector.decode.json_rpc import METHOD
from collector.decode.route_table import MCP
from collector.decode.untold import find_undecoded
from collector.decode.usage import Estimator
from collector.messages.captured import Captured, Decoded
from collector.messages.headers import Headers
from collector.messages.redacted import Redacted


def decode_redacted(redacted: Redacted, estimator: Estimator | None = None, with_people: bool = False) -> Decoded:
    """What it meant; without a tap nothing but what MCP's clients say in headers that the access log holds.

    `estimator` counts the tokens of what no server told: not where bytes are missing, and not where redact has counted on what passed.
    `with_people`: see `decode`.
    """
    if redacted.captured is None:
        return _by_log(redacted) if METHOD in redacted.request and redacted.exchange.tap is None else undecoded(redacted)
    captured = redacted.captured
    return decode(
        captured,
        estimator=estimator if redacted.all_passed and redacted.counted is None else None,
        asked=_by_name(captured.request_headers, redacted.request_headers, redacted.request),
        answered=_by_name(captured.response_headers, redacted.response_headers, redacted.response),
        with_people=with_people,
    )


def _by_name(read: Sequence[tuple[str, str]], told: Headers, named: dict[str, str]) -> dict[str, str] | None:
    """The headers by name as redact made them, if it gave these very ones and each stands there once: to make them again costs 1 µs."""
    return named if read is told and len(named) == len(told) else None


def _by_log(redacted: Redacted) -> Decoded:
    """What MCP's headers tell; nothing if the path is another protocol's, of which bodies would have to be known."""
    decoded = decode(
        Captured(
            method=redacted.method or "",
            path=redacted.path or "",
            status=redacted.status,
            request_headers=redacted.request_headers,
            request_body=b"",
            request_whole=False,
            response_headers=redacted.response_headers,
            response_trailers=(),
            response_body=b"",
            response_whole=False,
            chunks=(),
        )
    )
    without = undecoded(redacted)
    if decoded.inference.get("protocol") != MCP:
        return without
    return Decoded(decoded.inference, problems=decoded.problems, untold=without.untold if decoded.untold else None)


def undecoded(redacted: Redacted, problem: str = "") -> Decoded:
    """What is told without decoding: the problem, if there is one, and why there is no usage. Of what rules took none was counted."""
    withheld = bool(redacted.extents)
    untold = find_undecoded(redacted.method, redacted.path, redacted.request, redacted.status, withheld)
    return Decoded(problems=[problem] if problem else [], untold=untold)
