"""The settings of billing, consumers, estimates and redaction: every fault at once, each by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from collector.describe.hops import ROLES
from collector.errors import SettingsError
from collector.redact import Rules
from collector.settings import Settings, load
from collector.settings.meaning import Hop


def read(folder: Path, **sections: Any) -> Settings:
    (folder / "c.yaml").write_text(yaml.safe_dump(sections))
    return load(folder / "c.yaml")


def key(folder: Path, text: str = "0123456789abcdef\n") -> str:
    (folder / "key").write_text(text)
    return str(folder / "key")


def test_the_names_of_hops_are_those_that_are_told() -> None:
    assert get_args(Hop) == ROLES


def test_nothing_is_hidden_estimated_or_hashed_unless_told(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert not Rules(settings.redaction.paths, settings.redaction.patterns)
    assert (settings.usage.tokenizers, settings.usage.consumer_headers, settings.usage.billable_hops) == ([], [], [])


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as told:
        read(
            tmp_path,
            usage={
                "billable_hops": ["predictor", "gatewey"],
                "consumer_key_file": "/none",
                "tokenizers": [{"models": "a"}, {"file": "/none"}, {"bytes_per_token": 0}],
            },
            redaction={"paths": ["messages[*].content", "a["], "patterns": ["("], "key_file": key(tmp_path, "short")},
        )
    named = {fault.split(" ")[0] for fault in told.value.faults}
    assert named >= {
        "usage.billable_hops.1", "usage.consumer_key_file", "usage.tokenizers.0", "usage.tokenizers.1.file",
        "usage.tokenizers.2.bytes_per_token", "redaction.paths", "redaction.patterns", "redaction.key_file",
    }  # fmt: skip


@pytest.mark.parametrize("pattern", ["x*", r"\Aa", "(?=a)", "["])
def test_a_pattern_that_cannot_be_used_is_refused_at_start(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(SettingsError, match=r"redaction\.patterns"):
        read(tmp_path, redaction={"patterns": [pattern]})


def test_a_key_without_headers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="consumer_headers"):
        read(tmp_path, usage={"consumer_key_file": key(tmp_path)})
