"""Through the real Envoy: once per batch the filter tells whose proxy it is in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from collector.demo.tap_config import INGEST_CLUSTER, tap_config
from collector.messages import tap_pb2
from tests.mesh.harness import QUICK_TAP, Mesh, new_id, proxy_with, until
from tests.mesh.rawhttp import Raw, request


class Sink(HTTPServer):
    """Takes batches and keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.batches: list[tap_pb2.Batch] = []


class _Take(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        self.server.batches.append(tap_pb2.Batch.FromString(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' output is not the place."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_batch_names_the_pods_service_account(mesh: Mesh, sink: Sink, tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> dict[str, Any]:
        config["node"]["metadata"]["SERVICE_ACCOUNT"] = "llama-serving"
        [cluster] = [cluster for cluster in config["static_resources"]["clusters"] if cluster["name"] == INGEST_CLUSTER]
        [endpoint] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        endpoint["endpoint"]["address"]["socket_address"]["port_value"] = sink.server_port
        return config

    with proxy_with(mesh, tmp_path, {"tapped": tap_config(**QUICK_TAP)}, change) as proxy:
        for count in (1, 2):
            with Raw(proxy.ports["tapped"]) as connection:
                connection.send(request(new_id(), path="/status?code=204"))
                assert connection.answer().status == 204
            until(lambda: len(sink.batches), lambda found, count=count: found >= count)  # type: ignore[misc]
    assert len(sink.batches) >= 2
    for batch in sink.batches:
        node = batch.node
        assert (node.namespace, node.name, node.service_account) == ("demo", "iris-predictor-0", "llama-serving")
