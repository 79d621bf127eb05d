"""Which trace a request belonged to, by the headers of W3C Trace Context and W3C Baggage.

Of baggage only the keys are kept: its values are whatever an application put there, and may be secrets.
"""

from __future__ import annotations

import re

from collector.messages.record import Trace

# A version after 00 may have more behind its flags; ff is none (W3C Trace Context §3.2).
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_KEY = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_MEMBERS = 64  # W3C Baggage §3.3.2: more need not be passed on by anyone


def trace(headers: dict[str, str]) -> Trace:
    """{"trace_id", "span_id", "baggage": [key, …]}, each where the request said it in the standard's form; else left out."""
    told: Trace = {}
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if found is not None and not (found[3] and found[0].startswith("00")):
        told["trace_id"], told["span_id"] = found[1], found[2]
    members = headers.get("baggage")
    if members:
        keys = [key for key in map(_key, members.split(",", _MEMBERS)[:_MEMBERS]) if _KEY.fullmatch(key)]
        if keys:
            told["baggage"] = keys
    return told


def _key(member: str) -> str:
    return member.partition("=")[0].strip()
