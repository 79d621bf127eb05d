"""Whose traffic it was: a change in Kubernetes is in the records of the requests that begin after it, at no cost for the data's way.

The API server is the scripted one that the conformance suite of the watch holds against a real kube-apiserver; all else is real.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from collector.demo.audit import Record
from tests.mesh.harness import new_id
from tests.mesh.inference_upstream import WORDS
from tests.mesh.two_hops import NAME, NAMESPACE, TwoHops, usage_of
from tests.support.waits import until

pytest_plugins = ["tests.mesh.shared"]
pytestmark = pytest.mark.mesh

REQUESTS = 100
ANNOTATIONS = {"team": "vision", "billing.example.com/cost-center": "42", "owner-token": "not-allowed"}
SPEC = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://user:secret@models/iris?sig=x"}}}


@pytest.fixture(scope="module")
def mesh(two_hops: TwoHops) -> TwoHops:
    two_hops.learnt(two_hops.kubernetes.create(NAMESPACE, NAME, ANNOTATIONS, SPEC))
    return two_hops


def change(mesh: TwoHops, annotations: Mapping[str, str | None]) -> dict[str, Any]:
    """Annotate, and wait until the collector knows; the object's metadata."""
    metadata = mesh.kubernetes.annotate(NAMESPACE, NAME, annotations)
    mesh.learnt(metadata)
    return metadata


def served(mesh: TwoHops) -> Record:
    """The record of a request that begins now."""
    return mesh.exchange(mesh.infer(), "complete")


class Stream:
    """A chat stream that has told its first word and waits; it goes on when the block ends."""

    def __init__(self, mesh: TwoHops) -> None:
        self._mesh, self._stack = mesh, ExitStack()
        self.request_id = new_id()

    def __enter__(self) -> Stream:
        asked = {"model": "gated", "stream": True, "messages": []}
        headers = {"x-request-id": self.request_id}
        url = f"{self._mesh.url('tapped')}/v1/chat/completions"
        client = self._stack.enter_context(httpx.Client(trust_env=False, timeout=60))
        answer = self._stack.enter_context(client.stream("POST", url, json=asked, headers=headers))
        self._lines = answer.iter_lines()
        assert WORDS[0] in next(self._lines)
        # Kubernetes notes changes by the second: one in the second of the request's start might be counted from before it.
        second = int(time.time())
        until(lambda: int(time.time()), lambda now: now > second)
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self._mesh.model.release(self.request_id)
            rest = list(self._lines)
        assert rest[-2] == "data: [DONE]"

    def record(self) -> Record:
        record = self._mesh.exchange(self.request_id, "complete")
        assert record["inference"]["choices"][0]["text"] == "".join(WORDS)
        return record


def show(lines: list[tuple[str, str]]) -> None:
    """Print a picture: what happened on the left, its numbers on the right."""
    width = max(len(left) for left, _ in lines)
    print("\n".join(["", *(f"  {left:<{width}}  {right}" for left, right in lines)]))


def test_annotate_then_request_and_the_record_carries_it(mesh: TwoHops, capsys: pytest.CaptureFixture[str]) -> None:
    server = mesh.kubernetes.server
    before = served(mesh)
    annotated = change(mesh, {"team": "fraud"})
    calls = server.requests
    ids = [mesh.infer() for _ in range(REQUESTS)]
    last = mesh.exchange(ids[-1], "complete")
    wanted = set(ids)
    recorded = [record for record in mesh.audit.exchanges(since=last["start"][:14] + "00:00Z") if record["request"]["id"] in wanted]
    records = [mesh.audit.record(record["id"]) for record in recorded]
    asked = server.requests - calls
    carried = [record for record in records if record["service"]["annotations"].get("team") == "fraud"]
    picture = [
        (
            "kubectl annotate isvc iris team=fraud",
            f"resourceVersion {before['service']['resource_version']} -> {annotated['resourceVersion']}",
        ),
        ("  |  watch", "one event; no roll-out, no restart"),
        (f"{REQUESTS} requests -> Envoy -> model", f"{len(records)} records"),
        ("  |  joined as of each request's start", f"{len(carried)} carry team=fraud"),
        ("  |  record.service.resource_version", ", ".join(sorted({record["service"]["resource_version"] for record in records}))),
        ("calls to the API server for them", str(asked)),
    ]
    with capsys.disabled():
        show(picture)
    assert before["service"]["annotations"]["team"] == "vision"
    assert len(carried) == len(records) == REQUESTS
    assert {record["service"]["resource_version"] for record in records} == {annotated["resourceVersion"]}
    assert asked == 0


def test_only_allowed_annotations_are_in_the_record_and_no_secret_of_the_storage_uri(mesh: TwoHops) -> None:
    metadata = change(mesh, {"billing.example.com/plan": "gold", "kubectl.kubernetes.io/restartedAt": "now"})
    record = served(mesh)
    service = record["service"]
    assert set(service["annotations"]) == {"team", "billing.example.com/cost-center", "billing.example.com/plan"}
    assert (service["uid"], service["resource_version"]) == (metadata["uid"], metadata["resourceVersion"])
    assert (service["namespace"], service["name"], service["kind"]) == (NAMESPACE, NAME, "InferenceService")
    assert (service["component"], service["matched_by"]) == ("predictor", "node_labels")
    assert service["model"]["storage_uri"] == "s3://models/iris"
    assert "not-allowed" not in str(record)


def test_an_annotation_that_was_removed_is_absent(mesh: TwoHops) -> None:
    change(mesh, {"billing.example.com/trial": "until-may"})
    change(mesh, {"billing.example.com/trial": None})
    assert "billing.example.com/trial" not in served(mesh)["service"]["annotations"]


def test_a_stream_keeps_the_annotations_of_its_start(mesh: TwoHops) -> None:
    old = change(mesh, {"team": "before"})
    with Stream(mesh) as stream:
        new = change(mesh, {"team": "after"})
        during = served(mesh)["service"]
    service = stream.record()["service"]
    assert (service["annotations"]["team"], service["resource_version"]) == ("before", old["resourceVersion"])
    assert (during["annotations"]["team"], during["resource_version"]) == ("after", new["resourceVersion"])


def test_a_stream_belongs_to_the_service_of_its_start_though_it_is_deleted_and_made_anew(mesh: TwoHops) -> None:
    old = change(mesh, {"team": "first"})
    with Stream(mesh) as stream:
        mesh.kubernetes.delete(NAMESPACE, NAME)
        mesh.learnt(old, deleted=True)
        between = served(mesh)["service"]
        new = mesh.kubernetes.create(NAMESPACE, NAME, ANNOTATIONS | {"team": "second"}, SPEC)
        mesh.learnt(new)
        after = served(mesh)["service"]
    service = stream.record()["service"]
    assert (service["uid"], service["annotations"]["team"]) == (old["uid"], "first")
    assert "uid" not in between
    assert "annotations" not in between
    assert "no version of this service is known" in between["reason"]
    assert (after["uid"], after["annotations"]["team"]) == (new["uid"], "second")
    assert new["uid"] != old["uid"]


def test_one_user_request_at_two_proxies_is_one_call_with_one_billable_hop(mesh: TwoHops) -> None:
    metadata = change(mesh, {"team": "two-hops"})
    request_id = mesh.infer("gateway")
    outer, inner = mesh.exchanges(request_id, 2, [{"complete"}], "gateway")
    assert outer["proxy"]["node"].startswith("router~")
    assert inner["proxy"]["node"].startswith("sidecar~")
    [call] = mesh.http.get(f"{mesh.collector.url}/v1/calls/{request_id}").json()["items"]
    assert call["billed"] == inner["id"]
    assert [(hop["id"], hop["depth"], hop.get("parent")) for hop in call["hops"]] == [(outer["id"], 0, None), (inner["id"], 1, outer["id"])]
    assert outer["call_id"] == inner["call_id"]
    assert outer["start"] <= inner["start"]
    assert inner["duration_ms"] <= outer["duration_ms"]
    assert (outer["service"]["matched_by"], inner["service"]["matched_by"]) == ("upstream_cluster", "node_labels")
    for record in (outer, inner):
        assert record["service"]["annotations"]["team"] == "two-hops"
        assert record["service"]["resource_version"] == metadata["resourceVersion"]
    events = [usage_of(outer) or {}, usage_of(inner) or {}]
    assert [event["hop"] for event in events] == [
        {"role": "gateway", "billable": False, "rule": "not-billed"},
        {"role": "predictor", "billable": True, "rule": "predictor-hop"},
    ]
    assert [event["annotations"]["team"] for event in events] == ["two-hops"] * 2
    assert events[0]["usage"] == events[1]["usage"]


def test_traffic_to_a_host_that_is_no_service_says_why_it_is_unmatched(mesh: TwoHops) -> None:
    record = mesh.exchange(mesh.infer("elsewhere", host="iris.demo.example.com"), "complete", listener="elsewhere")
    assert record["service"] == {"matched_by": "unmatched", "reason": "the upstream cart.shop.svc.cluster.local is no known service"}
    event = usage_of(record)
    assert event is not None
    assert "annotations" not in event
    assert event["hop"]["billable"] is False


@pytest.mark.parametrize(
    "probe",
    [{"user-agent": "kube-probe/1.34"}, {"k-network-probe": "queue"}, {"user-agent": "Knative-Activator-Probe"}],
    ids=["kubelet", "knative", "activator"],
)
def test_probes_make_no_record(mesh: TwoHops, probe: dict[str, str]) -> None:
    request_id = new_id()
    assert mesh.http.get(f"{mesh.url('tapped')}/status", headers={"x-request-id": request_id, **probe}).status_code == 200
    mesh.settle("tapped")
    assert list(mesh.audit.exchanges(request_id=request_id)) == []


def test_the_catalogue_of_the_store_answers_while_the_api_server_is_down_at_the_start(mesh: TwoHops) -> None:
    metadata = change(mesh, {"team": "stored"})
    mesh.collector.process.stop()
    mesh.kubernetes.stop()
    mesh.collector.start()
    service = served(mesh)["service"]
    ready, services = (mesh.http.get(mesh.collector.url + path) for path in ("/readyz", "/v1/services"))
    assert (service["annotations"]["team"], service["resource_version"]) == ("stored", metadata["resourceVersion"])
    assert ready.status_code == 200
    assert "not listed yet" in ready.text
    assert services.json()["watch"]["synced"] is False
    mesh.kubernetes.start()
