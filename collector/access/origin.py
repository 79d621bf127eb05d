"""Under which name a browser asks, and what cookies may do there. The name comes from the settings, or is this machine's own.

A login never goes by what a Host header says alone: whoever can choose it would choose where the provider sends its codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from collector.settings.access import is_loopback

MAX_NEXT = 2000  # characters of the path that a login leads back to


class Origin(NamedTuple):
    """`base`: scheme, name and port. `secure`: whether only this very name, by https, can set and send our cookie."""

    base: str
    secure: bool

    @property
    def session_cookie(self) -> str:
        """A cookie whose name begins so is taken from this host alone: no sibling (evil.example.org) can have set it."""
        return "__Host-meshscribe" if self.secure else "meshscribe-session"

    @property
    def login_cookie(self) -> str:
        """Of a login that is under way."""
        return f"{self.session_cookie}-login"

    def cookie(self, name: str, value: str, seconds: int) -> str:
        """A Set-Cookie header; 0 seconds take the cookie away."""
        secure = "; Secure" if self.secure else ""
        return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def origin_of(host: str, url: str) -> Origin | None:
    """For a request with this Host header; `url` is the setting access.url. None: browsers cannot log in under this name."""
    asked = host.strip().lower()
    if url:
        parts = urlsplit(url)
        default = ":443" if parts.scheme == "https" else ":80"
        if asked.removesuffix(default) == parts.netloc.lower().removesuffix(default):
            return Origin(url, parts.scheme == "https")
    try:
        parts = urlsplit(f"http://{asked}")
        ours = parts.netloc == asked and parts.port != 0 and parts.username is None and is_loopback(parts.hostname or "")
    except ValueError:
        return None
    return Origin(f"http://{asked}", False) if ours else None


def is_from_here(headers: Mapping[str, str], origin: Origin) -> bool:
    """Whether a request that changes something comes from a page of ours. Browsers write these headers, pages cannot; an old browser
    writes only the second.
    """
    site = headers.get("sec-fetch-site")
    return site == "same-origin" if site is not None else headers.get("origin") == origin.base


def may_read(headers: Mapping[str, str]) -> bool:
    """Whether a request that only reads may go by its cookie: our pages and somebody's own clicks and bookmarks may; what another site
    embeds or fetches may not, for that look would be told of as the person's own.
    """
    site = headers.get("sec-fetch-site")
    return site in (None, "same-origin", "none") or headers.get("sec-fetch-mode") == "navigate"


def cookies(values: Iterable[str], name: str) -> list[str]:
    """Every value that the request's Cookie headers have for it: two of them prove nothing."""
    found = []
    for value in values:
        for part in value.split(";"):
            key, _, held = part.strip().partition("=")
            if key == name:
                found.append(held)
    return found


def local(path: str) -> str:
    """Where a login may lead to: a path of ours, else /docs. `//evil`, `/\\evil` and what browsers make of tabs in between are none."""
    plain = all(32 < ord(character) < 127 for character in path)
    if not plain or not path.startswith("/") or path.startswith(("//", "/\\")) or "\\" in path or len(path) > MAX_NEXT:
        return "/docs"
    return "/docs" if path.split("?")[0].startswith(("/login", "/logout")) else path
