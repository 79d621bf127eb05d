"""docs/decoding.md names everything that a record can say."""

from pathlib import Path

import pytest

from collector.decode import anthropic, usage
from collector.decode.route_table import GRAPH, MODELS, TABLE

TEXT = (Path(__file__).parents[2] / "docs" / "decoding.md").read_text()
NUMBERS = {
    *usage.FLAT.values(),
    *(name for names in usage.NESTED.values() for name in names.values()),
    *anthropic._NUMBERS.values(),
    *(
        "images",
        "rows",
        "output_rows",
        "input_tensors",
        "output_tensors",
        "input_bytes",
        "output_bytes",
        "audio_seconds",
        "conflicts",
        "delivered_tokens",
        "input_characters",
    ),
}
OPERATIONS = {row.operation for row in TABLE if row.operation} | {GRAPH}
PROTOCOLS = {row.protocol for row in TABLE} | {MODELS}


@pytest.mark.parametrize("name", sorted(NUMBERS | OPERATIONS | PROTOCOLS))
def test_it_is_documented(name):
    assert f"`{name}`" in TEXT
