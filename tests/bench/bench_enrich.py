"""What enrichment costs: a look-up by time, an exchange's match and attachment, a watch event, and the catalogue's memory.

``python tests/bench/bench_enrich.py`` prints the figures; `run` gives them to the bench suite. Bounds: `BOUNDS`.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from collector.enrich.attach import attach
from collector.enrich.catalogue import Catalogue
from collector.enrich.match import ProxyFacts, match
from collector.enrich.resource import changed_us, fingerprint, version_of
from collector.enrich.selection import Rules, Selection

ROOT = Path(__file__).resolve().parents[2]
SERVICES, VERSIONS = 10_000, 20
SECOND_US = 1_000_000
BOUNDS = {"as_of_us": 5.0, "memory_mb": 150.0}
SELECTION = Selection(annotations=Rules.parse(["*"]), labels=Rules.parse(["*"]))


def item(service: int, number: int) -> bytes:
    """An InferenceService as the API server sends it: five annotations, three labels, one annotation changed each time."""
    metadata = {
        "name": f"service-{service}",
        "namespace": f"team-{service % 50}",
        "uid": f"{service:08x}-0000-4000-8000-000000000000",
        "resourceVersion": str(service * VERSIONS + number),
        "generation": 1,
        "creationTimestamp": "2026-11-22T10:00:00Z",
        "annotations": {
            "billing.example.com/cost-center": str(10_000 + service % 500),
            "billing.example.com/contract": f"contract-{service}-{number}",
            "owner.example.com/team": f"team-{service % 50}",
            "owner.example.com/mail": f"team-{service % 50}@example.com",
            "audit.example.com/note": f"reviewed for service {service} by the board in its yearly meeting",
        },
        "labels": {"app": f"service-{service}", "tier": "gold", "region": "north"},
        "managedFields": [{"manager": "kubectl", "operation": "Update", "time": "2026-11-22T10:00:00Z"}],
    }
    model = {"modelFormat": {"name": "huggingface"}, "runtime": "vllm", "storageUri": f"hf://org/model-{service % 300}"}
    return json.dumps({"metadata": metadata, "spec": {"predictor": {"model": model}}}).encode()


def filled() -> Catalogue:
    catalogue = Catalogue(history=VERSIONS)
    for service in range(SERVICES):
        for number in range(VERSIONS):
            since_us = (1_000 + number * 60) * SECOND_US
            catalogue.apply(version_of(json.loads(item(service, number)), "InferenceService", since_us, SELECTION))
    return catalogue


def ask(catalogue: Catalogue, count: int) -> float:
    """µs of CPU for one look-up, over services and times at random."""
    chance = random.Random(1)
    asked = [
        (f"team-{service % 50}", f"service-{service}", chance.randrange(1_000, 2_300) * SECOND_US)
        for service in (chance.randrange(SERVICES) for _ in range(count))
    ]
    began = time.process_time()
    for namespace, name, time_us in asked:
        catalogue.as_of(namespace, name, time_us)
    return (time.process_time() - began) / count * 1e6


def exchange(catalogue: Catalogue, count: int) -> float:
    """µs of CPU to match an exchange at a sidecar, look its version up and make its ``service``."""
    facts = ProxyFacts(
        "sidecar",
        "team-7",
        {"serving.kserve.io/inferenceservice": "service-7", "component": "predictor"},
        "inbound|8080||",
    )
    began = time.process_time()
    for _ in range(count):
        found = match(facts, catalogue.knows)
        attach(found, catalogue.as_of(found.namespace, found.name, 2_000 * SECOND_US, found.kind))
    return (time.process_time() - began) / count * 1e6


def event(count: int) -> float:
    """µs of CPU to read one object of a watch: its fingerprint, its mark and its version."""
    objects: list[dict[str, Any]] = [json.loads(item(number, 1)) for number in range(count)]
    began = time.process_time()
    for each in objects:
        fingerprint(each)
        changed_us(each["metadata"])
        version_of(each, "InferenceService", 0, SELECTION)
    return (time.process_time() - began) / count * 1e6


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def measure() -> dict[str, float]:
    before = resident_mb()
    catalogue = filled()
    for service in range(SERVICES):
        catalogue.as_of(f"team-{service % 50}", f"service-{service}", 0)
    memory = resident_mb() - before
    ask(catalogue, 10_000)
    return {
        "as_of_us": min(ask(catalogue, 100_000) for _ in range(3)),
        "exchange_us": min(exchange(catalogue, 20_000) for _ in range(3)),
        "event_us": event(5_000),
        "versions": float(len(catalogue)),
        "memory_mb": memory,
    }


def run() -> dict[str, float]:
    """The figures, measured in a process of its own, so that the memory is the catalogue's."""
    done = subprocess.run([sys.executable, __file__, "--json"], capture_output=True, text=True, check=True, cwd=ROOT)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


if __name__ == "__main__":
    figures = measure()
    if "--json" in sys.argv:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            bound = f" (bound {BOUNDS[name]:g})" if name in BOUNDS else ""
            print(f"{name:12} {value:12.2f}{bound}")
