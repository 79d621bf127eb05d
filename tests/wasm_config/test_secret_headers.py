"""The filter and the collector hide the same headers by default."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from collector.messages.secrets import NAMES, USAGE_HEADERS, WORDS, is_secret, look_at

ROOT = Path(__file__).parents[2] / "wasm-config"
PROPERTIES = json.loads((ROOT / "plugin-config.schema.json").read_text())["properties"]


def test_the_table_of_headers_that_tell_usage_is_the_same_in_both() -> None:
    source = (ROOT / "tap-core" / "src" / "usage.rs").read_text()
    assert set(re.findall(r'^    "([a-z-]+)",$', source, re.MULTILINE)) == USAGE_HEADERS
    assert all(name == name.lower() for name in USAGE_HEADERS)


def test_a_count_is_no_secret() -> None:
    assert not any(is_secret(name) or is_secret(name.title()) for name in USAGE_HEADERS)
    assert USAGE_HEADERS.isdisjoint(PROPERTIES["redact_headers"]["default"])


def _in_the_filter(table: str) -> list[str]:
    """What a constant of its configuration holds."""
    source = (ROOT / "tap-core" / "src" / "config.rs").read_text()
    found = re.search(rf"const {table}: \[&str; \d+\] =\s*\[(.*?)\];", source, re.DOTALL)
    assert found is not None
    return re.findall(r'"([^"]+)"', found[1])


def test_the_filter_its_schema_and_the_collector_agree_by_default() -> None:
    assert _in_the_filter("REDACTED_HEADERS") == PROPERTIES["redact_headers"]["default"]
    assert set(PROPERTIES["redact_headers"]["default"]) == NAMES
    assert _in_the_filter("REDACTED_WORDS") == PROPERTIES["redact_header_words"]["default"] == list(WORDS)


def test_what_the_filter_hides_by_default_the_collector_hides() -> None:
    for name in PROPERTIES["redact_headers"]["default"]:
        assert is_secret(name)
    for word in PROPERTIES["redact_header_words"]["default"]:
        assert is_secret(f"x-{word}")
        assert is_secret(f"x-prompt-{word}-of-session")


@pytest.mark.parametrize("name", ["X-Goog-Api-Key", "apikey", "x-apikey", "Ocp-Apim-Subscription-Key", "x-api-key-id"])
def test_the_keys_of_apis_are_secrets(name: str) -> None:
    assert is_secret(name)
    assert look_at({name: "1", "accept": "*/*"}).secret == {name}
