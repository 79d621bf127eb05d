"""Templates to HTML. Every value is escaped, and the pages run no script: what a caller of a model wrote stays text."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

# Forms lead to us, and from us to the provider: browsers hold a form's redirects against form-action too.
POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

ASSETS = {"style.css": "text/css", "icon.svg": "image/svg+xml"}  # what the pages load, with media types


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("collector.page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def render(template: str, **values: object) -> str:
    """The template's HTML with these values."""
    return _environment().get_template(template).render(values)


@cache
def asset(name: str) -> bytes:
    """One of ASSETS."""
    return (files("collector.page") / name).read_bytes()
