"""Paths into JSON: which places they name."""

import pytest

from collector.rule_language.paths import parse

ASKED = {"user": "jo", "messages": [{"content": "a"}, {"content": None}, {"content": "c"}], "meta": {"deep": {"ssn": 1}}, "ssn": "2"}


def named(path):
    return [hit.holder[hit.key] for hit in parse(path).hits(ASKED)]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("user", ["jo"]),
        ("$.user", ["jo"]),
        ("messages[*].content", ["a", "c"]),
        ("messages[2].content", ["c"]),
        ("messages.*.content", ["a", "c"]),
        ("meta.deep.ssn", [1]),
        ("..ssn", ["2", 1]),
        ("nobody", []),
        ("user.name", []),
        ("user[0]", []),
    ],
)
def test_a_path_names_places_that_hold_something(path, found):
    assert sorted(map(str, named(path))) == sorted(map(str, found))


@pytest.mark.parametrize("path", ["", "$", ".user", "a..b", "a[", "a[x]", "a b", "[?(@.x)]"])
def test_a_path_that_cannot_be_read_is_refused(path):
    with pytest.raises(ValueError, match="expected"):
        parse(path)
