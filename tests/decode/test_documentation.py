"""docs/decoding.md names everything that a record can say."""

from pathlib import Path
from typing import get_args

import pytest

from collector.decode import routes
from collector.messages.usage import RecordedUsage, UsageName

TEXT = (Path(__file__).parents[2] / "docs" / "decoding.md").read_text()
NUMBERS = {*get_args(UsageName), *RecordedUsage.__annotations__}
OPERATIONS = {route.operation for route in routes._POSTS.values()} | {*routes._GRPC.values(), *routes._V2_SERVER.values()}
PROTOCOLS = {route.protocol for route in routes._POSTS.values()} | {routes.V1, routes.V2, routes.V2_GRPC, routes.MODELS, routes.UNKNOWN}


@pytest.mark.parametrize("name", sorted(NUMBERS | OPERATIONS | PROTOCOLS))
def test_it_is_documented(name):
    assert f"`{name}`" in TEXT
