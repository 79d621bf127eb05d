"""The access log's cluster as a mesh has it: its endpoints come and go while Envoy runs, by a file in place of istiod."""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path
from typing import Any

from collector.demo.envoy_filters import ALS_CLUSTER, tcp_address

Json = dict[str, Any]
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def als_cluster(bootstrap: Json) -> Json:
    """The cluster in a bootstrap (demo/envoy_config.py)."""
    found: Json = next(one for one in bootstrap["static_resources"]["clusters"] if one["name"] == ALS_CLUSTER)
    return found


class Endpoints:
    """Changes the bootstrap's cluster to one that reads its endpoints from a file in `folder`; `put` says which there are."""

    def __init__(self, folder: Path, bootstrap: Json) -> None:
        self._folder = folder / "endpoints"
        self._folder.mkdir()
        self._versions = count(1)
        cluster = als_cluster(bootstrap)
        assignment = cluster.pop("load_assignment")
        source = {"path": str(self._folder / "eds.json"), "watched_directory": {"path": str(self._folder)}}
        cluster |= {"type": "EDS", "eds_cluster_config": {"service_name": "als", "eds_config": {"path_config_source": source}}}
        address = assignment["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        self.put(address["socket_address"]["port_value"])

    def put(self, *ports: int) -> None:
        """These are all that there are, from now on. None: Envoy keeps entries up to its buffer, and counts what it drops."""
        hosts = [{"endpoint": {"address": tcp_address(port)}} for port in ports]
        assignment = {"@type": ASSIGNMENT, "cluster_name": "als", "endpoints": [{"lb_endpoints": hosts}] if hosts else []}
        written = self._folder / "eds.tmp"
        written.write_text(json.dumps({"version_info": str(next(self._versions)), "resources": [assignment]}))
        os.replace(written, self._folder / "eds.json")
