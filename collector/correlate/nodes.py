"""What the proxies told of themselves: each tap batch says it, an access log stream only in its first message."""

from __future__ import annotations

from typing import Any

from collector.messages.exchange import Node

NODES_KEPT = 50_000  # the longest known is forgotten first; its next batch or stream tells it again


class Nodes:
    """Proxies by node id."""

    def __init__(self) -> None:
        self.known: dict[str, Node] = {}
        self.tapped: dict[str, None] = {}  # those that ever sent a tap batch
        self._raw: dict[str, bytes] = {}  # the last tap node as it came: most batches repeat it

    def get(self, node: str) -> Node:
        """What is known of this proxy; if nothing, its id."""
        return self.known.get(node) or Node(node)

    def from_tap(self, node: Any) -> str:
        """Takes a tap batch's node, returns its id."""
        raw = node.SerializeToString(deterministic=True)
        name = str(node.id)
        if self._raw.get(name) != raw:
            self._raw[name] = raw
            self.tapped[name] = None
            self._know(
                Node(
                    name,
                    node.cluster,
                    node.namespace,
                    node.workload,
                    dict(node.labels),
                    node.mesh_cluster,
                    node.name,
                    node.service_account,
                )
            )
        return name

    def from_access_log(self, node: Any) -> str:
        """Takes the node of an access log stream's first message (envoy.config.core.v3.Node), returns its id."""
        name = str(node.id)
        known = self.known.get(name)
        if name and (known is None or not known.labels):
            self._know(_from_metadata(name, node))
        return name

    def is_tapped(self, name: str, label: str) -> bool:
        """Whether a tap is to be expected of this proxy: it sent batches before, or its pod carries `label` (`name=value`)."""
        if name in self.tapped:
            return True
        key, _, value = label.partition("=")
        node = self.known.get(name)
        return node is None or node.labels.get(key) == value

    def snapshot(self) -> tuple[list[Node], list[str]]:
        """All of them, the longest known first, and those that are tapped."""
        return list(self.known.values()), list(self.tapped)

    def restore(self, nodes: list[Node], tapped: list[str]) -> None:
        """The inverse of `snapshot`."""
        self.known = {node.id: node for node in nodes}
        self.tapped = dict.fromkeys(tapped)

    def _know(self, node: Node) -> None:
        self.known[node.id] = node
        if len(self.known) > NODES_KEPT:
            oldest = next(iter(self.known))
            del self.known[oldest]
            self._raw.pop(oldest, None)
            self.tapped.pop(oldest, None)


def _from_metadata(name: str, node: Any) -> Node:
    fields = node.metadata.fields
    text = {key: value.string_value for key, value in fields.items() if value.HasField("string_value")}
    labels = fields["LABELS"].struct_value.fields if "LABELS" in fields else {}
    return Node(
        name,
        node.cluster,
        text.get("NAMESPACE", ""),
        text.get("WORKLOAD_NAME", ""),
        {key: value.string_value for key, value in labels.items()},
        text.get("CLUSTER_ID", ""),
        text.get("NAME", ""),
        text.get("SERVICE_ACCOUNT", ""),
    )
