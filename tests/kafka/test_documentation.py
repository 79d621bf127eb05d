"""docs/kafka.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

from collector.kafka.topics import DAY_MS, MARGIN_BYTES, PARTITIONS, wanted
from collector.kafka.transactions import ABANDONED_MS
from collector.settings import Kafka

PAGE = (Path(__file__).parents[2] / "docs" / "kafka.md").read_text(encoding="utf-8")


def test_the_table_of_topics_is_the_codes() -> None:
    told = {row[0]: row for row in re.findall(r"^\| `([^`]+)` \| `kafka\.(\w+)` \| [^|]+ \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)}
    settings = Kafka()
    for topic in wanted(settings, 3):
        name, setting, kept = told.pop(topic.name)
        assert getattr(settings, setting) == name
        compacted = topic.configs["cleanup.policy"] == "compact"
        assert kept == ("compacted" if compacted else f"{int(topic.configs['retention.ms']) // DAY_MS} days")
    assert told == {}


def test_numbers_of_the_page_are_the_codes() -> None:
    assert f"[--partitions {PARTITIONS}]" in PAGE
    assert f"{MARGIN_BYTES >> 10} KiB above" in PAGE
    assert f"after {ABANDONED_MS // 1000} s" in PAGE
    assert Kafka().max_record_bytes == 2_000_000
    assert "`kafka.max_record_bytes` (2 MB)" in PAGE
