"""The filter and the collector hide the same headers by default."""

from __future__ import annotations

import json
import re
from pathlib import Path

from collector.messages.secrets import USAGE_HEADERS, is_secret

ROOT = Path(__file__).parents[2] / "wasm-config"
PROPERTIES = json.loads((ROOT / "plugin-config.schema.json").read_text())["properties"]


def test_the_table_of_headers_that_tell_usage_is_the_same_in_both() -> None:
    source = (ROOT / "tap-core" / "src" / "usage.rs").read_text()
    assert set(re.findall(r'^    "([a-z-]+)",$', source, re.MULTILINE)) == USAGE_HEADERS
    assert all(name == name.lower() for name in USAGE_HEADERS)


def test_a_count_is_no_secret() -> None:
    assert not any(is_secret(name) or is_secret(name.title()) for name in USAGE_HEADERS)
    assert USAGE_HEADERS.isdisjoint(PROPERTIES["redact_headers"]["default"])


def test_what_the_filter_hides_by_default_the_collector_hides() -> None:
    for name in PROPERTIES["redact_headers"]["default"]:
        assert is_secret(name)
    for word in PROPERTIES["redact_header_words"]["default"]:
        assert is_secret(f"x-{word}")
        assert is_secret(f"x-prompt-{word}-of-session")


def test_the_key_of_google_is_a_secret_to_the_collector() -> None:
    assert is_secret("X-Goog-Api-Key")
