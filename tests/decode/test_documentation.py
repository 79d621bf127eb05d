"""docs/decoding.md names everything that a record can say."""

import re
from pathlib import Path
from typing import get_args

import pytest

from collector.decode.route_table import GRAPH, MODELS, TABLE
from collector.describe.hops import FREE
from collector.messages.usage import RecordedUsage, UsageName

TEXT = (Path(__file__).parents[2] / "docs" / "decoding.md").read_text()
NUMBERS = {*get_args(UsageName), *RecordedUsage.__annotations__}
OPERATIONS = {row.operation for row in TABLE if row.operation} | {GRAPH}
PROTOCOLS = {row.protocol for row in TABLE} | {MODELS}


@pytest.mark.parametrize("name", sorted(NUMBERS | OPERATIONS | PROTOCOLS))
def test_it_is_documented(name):
    assert f"`{name}`" in TEXT


def test_what_generates_nothing_is_free():
    [(generating, others)] = re.findall(r"^\| `operation` \|(.*); and calls that generate nothing:(.*)\|$", TEXT, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", others)) == FREE
    assert set(re.findall(r"`(\w+)`", generating)) == OPERATIONS - FREE
