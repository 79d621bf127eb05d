from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from collector.enrich.catalogue import Catalogue
from collector.enrich.selection import Rules, Selection
from collector.enrich.static import StaticServices, read_services
from collector.enrich.version import ServiceVersion
from collector.errors import BadInputError
from tests.enrich.versions import SECOND
from tests.support.waits import until_holds

ALL = Selection(annotations=Rules.parse(["*"]))
TEXT = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: llama, namespace: models, annotations: {team: red, cost: 42, paid: true}}
spec: {predictor: {model: {modelFormat: {name: huggingface}}}}
---
- kind: LLMInferenceService
  metadata: {name: llm, creationTimestamp: 2026-11-22T10:00:00Z}
- kind: ConfigMap
  metadata: {name: other}
---
kind: InferenceServiceList
items:
- kind: InferenceService
  metadata: {name: iris, namespace: lab, uid: u-7, resourceVersion: "7"}
"""


def test_documents_lists_and_list_objects_are_read() -> None:
    llama, llm, iris = read_services(TEXT, "f.yaml", ALL)
    assert llama.annotations == {"team": "red", "cost": "42", "paid": "true"}
    assert (llama.uid, llama.since_us, llama.model) == ("static:InferenceService/models/llama", 0, {"format": "huggingface"})
    assert (llm.namespace, llm.since_us // SECOND) == ("default", 1795341600)
    assert (iris.uid, iris.resource_version) == ("u-7", "7")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "f.yaml is no YAML"),
        ("just text", "f.yaml, document 1: an object with kind InferenceService is expected"),
        ("- metadata: {name: x}", "f.yaml, document 1, item 1: kind is missing"),
        ("{kind: InferenceService, metadata: {}}", "f.yaml, document 1: metadata.name is missing"),
        ("[{kind: InferenceService, metadata: {name: a}}, {kind: InferenceService, metadata: {name: a}}]", "there twice"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        read_services(text, "f.yaml", ALL)


class File:
    """A services file with a catalogue behind it; times are set, not awaited."""

    def __init__(self, path: Path) -> None:
        self.path = path / "services.yaml"
        self.catalogue = Catalogue()
        self.seen: list[ServiceVersion] = []

    def write(self, text: str, second: int) -> None:
        self.path.write_text(text)
        os.utime(self.path, (second, second))

    def take(self, version: ServiceVersion) -> None:
        self.seen.append(version)
        self.catalogue.apply(version)

    def services(self, **more: object) -> StaticServices:
        return StaticServices(self.path, self.take, lambda: None, selection=ALL, interval_s=0.01, **more)  # type: ignore[arg-type]

    def team(self, second: int) -> str | None:
        found = self.catalogue.as_of("default", "llama", second * SECOND)
        return None if found is None else found.annotations["team"]


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


def one(team: str, name: str = "llama") -> str:
    return f"kind: InferenceService\nmetadata: {{name: {name}, annotations: {{team: {team}}}}}\n"


def test_a_changed_file_takes_effect_as_of_its_modification(file: File) -> None:
    file.write(one("red"), 1000)
    services = file.services()
    services.read()
    file.write(one("blue"), 2000)
    services.read()
    file.write(one("blue", "other"), 3000)
    services.read()
    assert [file.team(second) for second in (1, 1999, 2000, 2999, 3000)] == ["red", "red", "blue", "blue", None]


def test_a_file_that_was_only_touched_makes_no_version(file: File) -> None:
    services = file.services()
    for second in (1000, 2000):
        file.write(one("red"), second)
        services.read()
    assert len(file.seen) == 1


def test_a_change_made_while_it_was_not_running_counts_from_the_modification(file: File) -> None:
    file.write(one("red"), 1000)
    file.services().read()
    file.write(one("blue"), 2000)
    file.services(known=file.catalogue.services()).read()
    assert [file.team(second) for second in (1500, 2500)] == ["red", "blue"]


async def test_it_runs_reads_again_and_stops(file: File) -> None:
    file.write(one("red"), 1000)
    services = file.services()
    task = asyncio.create_task(services.run())
    await until_holds(lambda: services.status().synced)
    assert services.status().alive
    file.write("a: [", 2000)
    await until_holds(lambda: "is no YAML" in services.status().detail)
    file.write(one("blue"), 3000)
    await until_holds(lambda: file.team(3000) == "blue")
    await until_holds(lambda: not services.status().detail)
    await services.stop()
    await task
    assert not services.status().alive


async def test_a_file_that_is_missing_at_the_start_is_an_error(file: File) -> None:
    with pytest.raises(BadInputError, match="cannot read the services file"):
        await file.services().run()
