"""An event as the headers of an HTTP request: CloudEvents 1.0, HTTP protocol binding §3.1. The body is the event's data, as it is.

Equal to what the CloudEvents SDK makes of the same attributes (tested).
"""

from __future__ import annotations

from urllib.parse import quote

from collector.dead_letters.events import placed
from collector.messages.event import Event, Place

# §3.1.3.2: printable ASCII stays, but for the space, the double quote and the percent sign.
_STAYS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def binary(event: Event, journal: str, place: Place) -> list[tuple[bytes, bytes]]:
    """The headers. A content type that no header can carry is left out: the body may be of any type then."""
    named = placed(event, journal, place)
    content_type = named.pop("datacontenttype", None)
    made = [(f"ce-{name}".encode(), _value(value)) for name, value in named.items()]
    if isinstance(content_type, str) and content_type.isascii() and content_type.isprintable() and content_type.strip():
        made.append((b"content-type", content_type.strip().encode()))
    return made


def _value(value: str | int | bool) -> bytes:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return quote(text, safe=_STAYS, errors="replace").encode()
