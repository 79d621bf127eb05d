"""Templates, and the headers under which pages are sent.

All that is put into a template is escaped, and what steers text is written out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from urllib.parse import urlencode

from fastapi import Response
from jinja2 import ChainableUndefined, Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from collector.page import words

# Of the login, which runs no script. Its forms lead to us, and from us to the provider: browsers hold redirects against form-action too.
LOGIN_POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
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


ASSETS = {"style.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}  # what pages load, with media types


def link(path: str, parameters: Mapping[str, object] | None = None, **more: object) -> str:
    """A local address with these parameters; one that is None or empty is left out."""
    asked = {name: str(value) for name, value in {**(parameters or {}), **more}.items() if value not in (None, "")}
    return f"{path}?{urlencode(asked)}" if asked else path


@cache
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


def render(template: str, **values: object) -> str:
    """The template's HTML with these values."""
    return environment().get_template(template).render(values)


@cache
def asset(name: str) -> bytes:
    """One of ASSETS."""
    return (files("collector.page") / "assets" / name).read_bytes()


class Pages:
    """Makes answers of templates."""

    def answer(self, template: str, shown: Mapping[str, object], status: int = 200) -> Response:
        """The page, never to be kept by anybody in between."""
        text = environment().get_template(template).render(shown)
        return Response(text, status, media_type="text/html", headers={"Content-Security-Policy": POLICY})
