"""Whether a text, which paths do not apply to, might nevertheless hold what they name; and the ways in which a text may be spelled.

A text is surely without structure if nothing in it opens a JSON value and no member that a path names stands before a value, be it in
a form, in YAML, in XML or in a table.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote_plus

from collector.rule_language.paths import EVERY, Path

_OPENED = re.compile(r'\{\s*"|\[\s*[\[{"]')
_MEMBER = re.compile(r'\{\s*"|\[\s*[\[{"]|"\s*:')
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/]))')
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[a-zA-Z]{2,31};)")
_DEPTH = 3
_VALUE = r"""(?:\[[^\]]{0,64}\])*["'\])]*\s*[:=>,;|\t]"""
_MEDIA = re.compile(rb"ID3|\xff[\xe2-\xff]|RIFF|OggS|fLaC|\x89PNG\r\n|\xff\xd8\xff|GIF8|\x1aE\xdf\xa3|....ftyp", re.DOTALL)


class Names:
    """The members that paths name."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = [[step for step in path.steps if isinstance(step, str) and step != EVERY] for path in paths]
        last = {names[-1] for names in self._paths if names}
        self._told = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(last)))})(?!\w){_VALUE}") if last else None

    def may_stand_in(self, text: str) -> bool:
        """Whether a path might name something of this text."""
        return bool(self._paths) and any(
            _MEMBER.search(view) or (self._told is not None and self._told.search(view)) for view in (text, *spellings(text))
        )

    def may_stand_in_media(self, data: bytes) -> bool:
        """Whether bytes are something else than sound, pictures or films, or hold all members that a path names."""
        return not _MEDIA.match(data) or any(all(name.encode() in data for name in names) for names in self._paths)


def spellings(text: str) -> Iterator[str]:
    """What the text says where it is spelled with JSON's escapes, percent signs or character references."""
    yield from unescaped(text)
    if "%" in text or "+" in text:
        yield unquote_plus(text, errors="replace")
    if "&" in text:
        yield _REFERENCE.sub(lambda found: html.unescape(found[0]), text)


def unescaped(text: str) -> Iterator[str]:
    """The text with JSON's escapes undone, as they stand in a text that holds JSON, which may hold a text that holds JSON."""
    for _ in range(_DEPTH):
        if "\\" not in text:
            return
        before, text = text, _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)
        if text == before:
            return
        yield text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def opens_json(text: str) -> bool:
    """Whether the text begins as a JSON object or array."""
    return _OPENED.match(text.lstrip("\ufeff \t\r\n")) is not None
