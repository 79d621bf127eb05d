"""Whatever a server sends, its protocol's reader tells a record that keeps the rules. More bytes: python -m tests.fuzz.readers."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from msgspec import structs

from collector.decode import decode
from tests.fuzz.reader_seeds import READERS
from tests.fuzz.readers import Figures, lies, turn
from tests.support.effort import examples

BYTES = 500_000


@pytest.mark.parametrize("name", sorted(READERS))
def test_no_call_is_a_fault_of_its_reader(name: str) -> None:
    figures, many = Figures(), examples(BYTES)
    turn(name, -1, many, figures)
    assert figures.failed == 0
    assert figures.bytes >= many


@pytest.mark.parametrize("name", sorted(READERS))
def test_the_answers_it_starts_from_are_those_of_right_calls(name: str) -> None:
    for seed in READERS[name]:
        told, framed = decode(seed.captured), decode(structs.replace(seed.captured, response_body=seed.framed(seed.messages)))
        assert told.inference["protocol"] != "unknown"
        assert (told.inference, told.usage) == (framed.inference, framed.usage)


@pytest.mark.slow
def test_most_changed_calls_reach_their_reader() -> None:
    for name, seeds in READERS.items():
        protocols = {decode(seed.captured).inference["protocol"] for seed in seeds}
        made = lies(seeds, random.Random(name))
        told = Counter(decode(next(made)).inference["protocol"] in protocols for _ in range(200))
        assert told[True] > 80, name
