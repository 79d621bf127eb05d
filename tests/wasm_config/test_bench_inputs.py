"""What the benches feed the collector is batched as the filter batches it."""

import json
from pathlib import Path

from tests.bench.inputs import BATCH_BYTES, make

SCHEMA = json.loads((Path(__file__).parents[2] / "wasm-config" / "plugin-config.schema.json").read_text())


def test_the_benches_batches_have_the_filters_default_size() -> None:
    assert SCHEMA["properties"]["batch_bytes"]["default"] == BATCH_BYTES
    sizes = [len(batch) for batch in make(1000, 1024).batches[:-1]]
    assert sizes
    assert all(0.8 * BATCH_BYTES < size < 1.2 * BATCH_BYTES for size in sizes), sizes
