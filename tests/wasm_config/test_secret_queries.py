"""The filter and the collector hide the same of a query, by default."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest

from collector.messages.queries import NAMES, URLS, without_query_secrets

ROOT = Path(__file__).parents[2] / "wasm-config"
CORE = ROOT / "tap-core"
VECTORS: list[list[str]] = json.loads((CORE / "tests" / "queries.json").read_text())
PIECES = (
    *("?", "&", ";", "=", "#", "%", "%6b", "key", "ey", "KEY", "sig", "/", "\xff", "[redacted]"),
    *("%3f", "%26", "%3D", "%253D", "%23", "25", "[", "]", "%5b", "%255D"),
)


@pytest.mark.parametrize(("url", "told"), VECTORS)
def test_the_vectors_that_the_filter_shares_are_told_as_they_say(url: str, told: str) -> None:
    assert without_query_secrets(url) == told


def _in_the_filter(table: str, file: str) -> list[str]:
    found = re.search(rf"const {table}: [^=]*=\s*\[(.*?)\];", (CORE / "src" / file).read_text(), re.DOTALL)
    assert found is not None
    return re.findall(r'"([^"]+)"', found[1])


def test_the_filter_its_schema_and_the_collector_name_the_same_parameters() -> None:
    schema = json.loads((ROOT / "plugin-config.schema.json").read_text())["properties"]["redact_query"]["default"]
    assert _in_the_filter("REDACTED_QUERY", "config.rs") == schema == list(NAMES)


def test_the_filter_and_the_collector_look_into_the_same_headers() -> None:
    assert set(_in_the_filter("URLS", "redact.rs")) == URLS


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_found_however_its_letters_are_written(name: str) -> None:
    chance = Random(name)
    for _ in range(50):
        spelled = "".join(chance.choice((letter, letter.upper(), f"%{ord(letter):02x}", f"%{ord(letter.upper()):02X}")) for letter in name)
        assert without_query_secrets(f"/a?x=1&{spelled}=s3cr3t&y") == f"/a?x=1&{spelled}=[redacted]&y"


def test_what_was_hidden_once_stays_as_it_is() -> None:
    chance = Random(7)
    for _ in range(5_000):
        once = without_query_secrets("".join(chance.choices(PIECES, k=chance.randrange(24))))
        assert without_query_secrets(once) == once
