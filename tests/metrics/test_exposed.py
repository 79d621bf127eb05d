"""What the running process exposes in each role is what the list says of that role, neither more nor less."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from collector.demo.kafka_broker import KafkaBroker
from collector.metrics.listed import ALL
from collector.metrics.metric import Listed, ListedCounter, Role
from tests.support.cluster import Cluster, Member, collector_alone
from tests.support.waits import until

SERVICE = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: a, namespace: n, uid: u, resourceVersion: "1"}
"""
OF_THE_CLIENT = ("process_", "python_")


def settings(folder: Path) -> dict[str, str]:
    """All that must be set for every metric to be there."""
    services = folder / "services.yaml"
    services.write_text(SERVICE)
    return {
        "MESHSCRIBE_SERVICES__SOURCE": "file",
        "MESHSCRIBE_SERVICES__FILE": str(services),
        "MESHSCRIBE_AUDIT__PROBE_PORT": "0",
    }


def relay_and_retention() -> dict[str, str]:
    """A relay whose target nobody is."""
    relays = [{"name": "r", "to": "http", "url": "http://127.0.0.1:9/"}]
    return {"MESHSCRIBE_RELAYS": json.dumps(relays), "MESHSCRIBE_SINK__RETENTION_DAYS": "30"}


def check(member: Member, role: Role) -> None:
    """Compares with the list."""
    listed = {one.name: one for one in ALL if role in one.roles}
    # Some are there only when something has happened: an age, when what has it was first read.
    exposed = until(lambda: _exposed(member), lambda exposed: exposed.keys() >= listed.keys(), 30)
    assert exposed.keys() - listed.keys() == set(), "exposed, but not in the list"
    assert listed.keys() - exposed.keys() == set(), f"in the list, but not exposed by role {role}"
    for name, family in exposed.items():
        one = listed[name]
        assert (family.type, family.documentation) == (one.kind, one.means)
        for sample in family.samples:
            labels = {label: value for label, value in sample.labels.items() if label != "le"}
            assert labels.keys() == one.labels.keys(), name
            assert [(name, label, value) for label, value in labels.items() if not _fits(one, label, value)] == []


def _exposed(member: Member) -> dict[str, Metric]:
    families = [one for one in text_string_to_metric_families(member.metrics()) if not one.name.startswith(OF_THE_CLIENT)]
    return {f"{one.name}_total" if one.type == "counter" else one.name: one for one in families if not one.name.endswith("_created")}


def _fits(one: Listed, label: str, value: str) -> bool:
    values = one.labels[label]
    return isinstance(values, str) or value in values


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.mark.slow
def test_a_process_with_a_journal_of_its_own(tmp_path: Path, stack: ExitStack) -> None:
    store = {"MESHSCRIBE_SINK__URL": f"sqlite:///{tmp_path / 'events.db'}"}
    member = collector_alone(tmp_path, stack, {**settings(tmp_path), **store, **relay_and_retention()})
    member.count("/v1/exchanges")
    check(member, Role.ALL)


@pytest.mark.timeout(300)
def test_roles_on_kafka(kafka: KafkaBroker, tmp_path: Path, stack: ExitStack) -> None:
    cluster = Cluster(kafka.bootstrap, tmp_path, stack, partitions=1)
    common = settings(tmp_path)
    store = {"MESHSCRIBE_SINK__URL": cluster.sqlite()}
    members = {
        Role.RECEIVE: cluster.member("receive", "receive", **common),
        Role.PROCESS: cluster.member("process", "process", **common),
        Role.STORE: cluster.member("store", "store", **common, **store),
        Role.AUDIT: cluster.member("audit", "audit", **common, **store),
    }
    for member in members.values():
        member.launch()
    assert until(lambda: all(member.ready for member in members.values()), bool, 120)
    members[Role.AUDIT].count("/v1/exchanges")
    for role, member in members.items():
        check(member, role)


@pytest.mark.timeout(300)
def test_role_all_on_kafka(kafka: KafkaBroker, tmp_path: Path, stack: ExitStack) -> None:
    cluster = Cluster(kafka.bootstrap, tmp_path, stack, partitions=1)
    member = cluster.member("both", "all", **settings(tmp_path), MESHSCRIBE_JOURNAL__URL="kafka:", MESHSCRIBE_SINK__URL="kafka:")
    member.launch()
    assert until(lambda: member.ready, bool, 120)
    check(member, Role.ALL_ON_KAFKA)


def test_a_counter_is_listed_as_it_is_exposed() -> None:
    assert all(one.name.endswith("_total") for one in ALL if isinstance(one, ListedCounter))
