"""Templates, and the headers under which pages are sent.

All that is put into a template is escaped, and what steers text is written out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from fastapi import Response
from jinja2 import ChainableUndefined, Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from collector.page import words

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
# Controls but for the tab and the line's end, and what turns the direction of text or hides in it.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def _written_out(value: object) -> object:
    """Text of strangers, with what cannot be seen written as it is written in code."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return value


def link(path: str, parameters: Mapping[str, object] | None = None, **more: object) -> str:
    """A local address with these parameters; one that is None or empty is left out."""
    asked = {name: str(value) for name, value in {**(parameters or {}), **more}.items() if value not in (None, "")}
    return f"{path}?{urlencode(asked)}" if asked else path


def environment() -> Environment:
    """The templates of this package."""
    made = Environment(
        loader=PackageLoader("collector.page"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=ChainableUndefined,  # what a record does not hold is not known: it shows as nothing
        finalize=_written_out,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=words.number, duration=words.duration, size=words.size, clock=words.clock, moment=words.day_and_clock, person=words.person
    )
    made.globals.update(link=link, state=words.state, sentences=words.told, status_level=words.status_level, share=words.share)
    return made


class Pages:
    """Makes answers of templates."""

    def __init__(self) -> None:
        self._made = environment()

    def answer(self, template: str, shown: Mapping[str, object], status: int = 200) -> Response:
        """The page, never to be kept by anybody in between."""
        text = self._made.get_template(template).render(shown)
        return Response(text, status, media_type="text/html", headers={"Content-Security-Policy": POLICY})
