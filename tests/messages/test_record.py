"""Every field of real records is in the record's type, as it says; every field of the type is in a real record, and in docs/record.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from collector.audit.documents import record_schemas
from collector.describe.hops import ROLES
from collector.messages.completeness import Completeness, CompletenessName, names
from collector.messages.field import DAMAGED, fields, held_by
from collector.messages.record import Record
from tests.support.record_fields import all_fields, faults, paths
from tests.support.record_page import page
from tests.support.records import captures, records

DOCS = Path(__file__).parents[2] / "docs"
# Fields that a type has because it is used in two places.
NEVER = {
    "inference.outputs[].filename": "only what was sent is a file",
    "inference.outputs[].content_type": "only what was sent is a file",
    "inference.outputs[].size": "only what was sent is a file",
}
OF_AN_ANSWER = ("inference.answers[].usage.", "inference.answers[].usage_classes.")  # of the types of the record's own


@pytest.fixture(scope="module")
def real() -> list[dict[str, Any]]:
    return list(records())


@pytest.mark.slow
def test_every_field_of_a_record_is_known_and_of_its_type(real: list[dict[str, Any]]) -> None:
    assert len(real) > 10 * len(captures())
    assert {fault for record in real for fault in faults(record)} == set()


@pytest.mark.slow
def test_every_field_of_the_type_is_in_a_record(real: list[dict[str, Any]]) -> None:
    found = {path for record in real for path in paths(record)}
    never = {path for path in set(all_fields()) - found if not path.startswith(OF_AN_ANSWER)}
    assert never == set(NEVER)


@pytest.mark.slow
def test_what_is_never_absent_is_in_every_record(real: list[dict[str, Any]]) -> None:
    whole, damaged = ({path for path, field in all_fields().items() if field.absent in absent} for absent in (("", DAMAGED), ("",)))
    for record in real:
        found = paths(record)
        always = damaged if record.get("damaged") else whole
        missing = {path for path in always - found if path.rpartition(".")[0].removesuffix("[]") in found | {""}}
        assert {path for path in missing if "[]" not in path or _holds_any(record, path)} == set(), record["id"]


def _holds_any(record: dict[str, Any], path: str) -> bool:
    """Whether the list that the path goes through has items."""
    held: Any = record
    for name in path.partition("[]")[0].split("."):
        held = held[name]
    return bool(held)


@pytest.mark.slow
def test_a_field_that_is_not_known_and_one_of_another_type_are_seen(real: list[dict[str, Any]]) -> None:
    record = {**real[0], "else": 1, "revision": "0", "damaged": False, "proxy": [], "completeness": ["whole"]}
    wrong = {fault.partition(":")[0] for fault in faults(record)}
    assert wrong == {"else", "revision", "damaged", "proxy", "completeness"}
    assert [fault.partition(":")[0] for fault in faults({"inference": {"choices": [{"texts": ""}]}})] == ["inference.choices[].texts"]


def test_every_field_has_words_and_an_example_that_fits() -> None:
    for path, field in all_fields().items():
        assert field.meaning.endswith("."), path
        assert field.by, path
        if not any(held_by(field.kind)):
            assert field.example is not None, path
            holder: dict[str, Any] = {}
            record = holder
            *above, name = path.split(".")
            for step in above:
                inner: dict[str, Any] = {}
                holder[step.removesuffix("[]")] = [inner] if step.endswith("[]") else inner
                holder = inner
            holder[name] = field.example
            assert faults(record) == [], path


def test_the_page_is_what_the_type_says() -> None:
    assert (DOCS / "record.md").read_text() == page(), "run: python -m tests.support.record_page"


def test_the_apis_description_has_every_field() -> None:
    described = record_schemas()
    for kind in set(held_by(Record)):
        assert list(described[kind.__name__]["properties"]) == [field.name for field in fields(kind)]
    assert described["Record"]["required"] == ["id", "completeness"]


def test_names_that_are_written_twice_are_the_same() -> None:
    assert list(get_args(CompletenessName)) == names(sum(Completeness))
    assert len(ROLES) == 10
    assert msgspec.json.encode(names(1)) == b'["complete"]'
