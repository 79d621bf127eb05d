"""docs/decoding.md names everything that a record can say."""

from pathlib import Path

import pytest

from collector.decode import anthropic, routes, usage

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
OPERATIONS = {route.operation for route in routes._POSTS.values()} | {*routes._GRPC.values(), *routes._V2_SERVER.values()}
PROTOCOLS = {route.protocol for route in routes._POSTS.values()} | {routes.V1, routes.V2, routes.V2_GRPC, routes.MODELS, routes.UNKNOWN}


@pytest.mark.parametrize("name", sorted(NUMBERS | OPERATIONS | PROTOCOLS))
def test_it_is_documented(name):
    assert f"`{name}`" in TEXT
