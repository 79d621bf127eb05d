"""Prompts, answers, headers, paths and names come from strangers: nothing of them is markup, a script, a style or a link's target."""

from __future__ import annotations

import itertools

import pytest

from tests.support.outputs import outputs
from tests.views.conftest import Seen, World, chat

pytestmark = pytest.mark.asyncio

TEMPLATES = (
    "<script>canary()</script>", "<img src=x onerror=canary()>", '"><svg onload=canary()>', "'-canary()-'", "{{7*7}}", "{% raw %}",
    "javascript:canary()", "</textarea><script>canary()</script>", "<a href=javascript:canary()>x</a>", "]]><script>canary()</script>",
    "<!--<script>canary()//-->", "\u202e<script>", "<style>*{background:url(//evil.example)}</style>", '" autofocus onfocus="canary()',
    "<iframe srcdoc='<script>canary()</script>'>", "<math><mtext></mtext><script>canary()</script>", "&lt;script&gt;", "\x1b[31mred",
    "<base href=//evil.example>", "<meta http-equiv=refresh content='0;url=//evil.example'>",
)  # fmt: skip
AROUND = (
    ("", ""), ("a ", " b"), ("'", "'"), ('"', '"'), ("`", "`"), ("</p>", "<p>"), ("<b>", "</b>"), ("\t", "\n"), ("{", "}"), ("é", "ü"),
)  # fmt: skip
CORPUS = [f"{before}{text}{behind}" for text, (before, behind) in itertools.product(TEMPLATES, AROUND)]
FEW = [CORPUS[number * len(AROUND) + (number + half) % len(AROUND)] for number in range(len(TEMPLATES)) for half in (0, 5)]
ALLOWED_SCRIPTS = {"/assets/page.js"}


def harmless(page: Seen) -> None:
    """Raises AssertionError if anything on it could act."""
    for tag, found in page.tags:
        assert tag not in ("iframe", "object", "embed", "base", "style", "math"), tag
        assert not any(name.startswith("on") or name == "style" for name in found), found
        if tag == "script":
            assert found.get("src") in ALLOWED_SCRIPTS
        for name in ("href", "src", "action"):
            value = found.get(name)
            assert value is None or value == "#content" or (value.startswith("/") and not value.startswith("//")), (tag, name, value)
        assert not (tag == "meta" and "http-equiv" in found)
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


def header(text: str) -> str:
    """The text as a header's value can hold it: bytes, without line ends."""
    return text.replace("\n", " ").encode().decode("latin-1")


@pytest.mark.slow
@pytest.mark.parametrize("corpus", [pytest.param(FEW, id="40"), pytest.param(CORPUS, id="200", marks=pytest.mark.slow)])
async def test_payloads_in_every_field_stay_text(world: World, corpus: list[str]) -> None:
    assert len(set(corpus)) in (40, 200)
    told = [
        chat(number, text, text, path=f"/v1/chat/completions?{header(text)}", request_id=f"{number}-{header(text)}")
        for number, text in enumerate(corpus)
    ]
    await world.put(outputs(told))
    pages, path = [], "/?since=30d"
    while path:
        listed = await world.see(path)
        harmless(listed)
        pages += {link for link in listed.links() if link.startswith("/exchanges/")}
        path = next((str(found["href"]) for tag, found in listed.tags if tag == "a" and found.get("rel") == "next"), "")
    assert len(pages) >= len(corpus)  # what its witnesses tell differently is two exchanges
    for link in pages:
        harmless(await world.see(link))


@pytest.mark.slow
async def test_what_is_written_into_the_address_stays_text(world: World) -> None:
    for text in TEMPLATES:
        for path in ("/", "/losses", "/services", "/access", "/usage"):
            answer = await world.client.get(path, params={"service": text, "q": text, "since": text, "group_by": text})
            harmless(Seen(answer.text))


async def test_every_page_forbids_scripts_styles_and_frames_but_its_own(world: World) -> None:
    for path in ("/", "/losses", "/services", "/status", "/usage", "/nothing-here", "/exchanges/x"):
        policy = (await world.client.get(path)).headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'self'" in policy or "default-src 'none'" in policy
