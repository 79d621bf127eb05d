"""What the proxies told of themselves: each tap batch says it, an access log stream only in its first message.

All of it is keyed under who sent it: no sender can speak for another's proxy. At each bound the longest known is forgotten first; its next
batch or stream tells it again. Labels beyond their bounds are left out, in the order of their names, and counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from collector.correlate.state import Proxy
from collector.messages.exchange import Node

if TYPE_CHECKING:
    from collector.messages import tap_pb2
    from collector.messages.log_entry import LogNode

NODES_KEPT = 50_000
NODES_BYTES = 64 << 20
LABELS_KEPT = 64  # of a node, and
LABELS_BYTES = 16 << 10  # together
NAME_CHARS = 1024  # of an id or another name: more is cut
RAW_BYTES = 8 << 10  # a node of at most so many bytes is compared as it came, a larger one is read each time


class Nodes:
    """Proxies by sender and node id."""

    def __init__(self) -> None:
        self.known = OrderedDict[Proxy, Node]()  # as they became known; its first is found at once, which a dict's is not
        self.tapped: dict[Proxy, None] = {}  # those that ever sent a tap batch
        self._bytes = 0
        self._raw: dict[Proxy, tuple[bytes, Proxy]] = {}  # the last tap node as it came: most batches repeat it
        self._names: dict[Proxy, Proxy] = {}

    def get(self, proxy: Proxy) -> Node:
        """What is known of this proxy; if nothing, its id."""
        return self.known.get(proxy) or Node(proxy[1], sender=proxy[0])

    def named(self, sender: str, node: str) -> Proxy:
        """The proxy of these names: one object for all exchanges that hold it."""
        if len(self._names) > NODES_KEPT:
            self._names.clear()
        proxy = (sender, node[:NAME_CHARS])
        return self._names.setdefault(proxy, proxy)

    def from_tap(self, sender: str, node: tap_pb2.Node) -> tuple[Proxy, int]:
        """Takes a tap batch's node in. Returns its proxy, and how many labels were cut that were not before."""
        raw = node.SerializeToString(deterministic=True)
        proxy = (sender, node.id)
        seen = self._raw.get(proxy)
        if seen is not None and seen[0] == raw:
            return seen[1], 0
        proxy = self.named(*proxy)
        labels, cut = _bounded(node.labels.items())
        told = Node(
            proxy[1],
            node.cluster[:NAME_CHARS],
            node.namespace[:NAME_CHARS],
            node.workload[:NAME_CHARS],
            labels,
            node.mesh_cluster[:NAME_CHARS],
            node.name[:NAME_CHARS],
            node.service_account[:NAME_CHARS],
            sender,
        )
        self.tapped[proxy] = None
        known = self.known.get(proxy)
        # Who says less than is known changes nothing: else it mattered whether `_raw`, which no checkpoint holds, has it.
        fresh = self._know(proxy, told) if labels or known is None or not known.labels else False
        if len(raw) <= RAW_BYTES and len(node.id) <= NAME_CHARS:
            self._raw[proxy] = raw, proxy
        return proxy, cut if fresh else 0

    def from_access_log(self, sender: str, node: LogNode) -> tuple[Proxy, int]:
        """Takes the node of an access log stream's first message in (envoy.config.core.v3.Node). Returns what `from_tap` does."""
        proxy = self.named(sender, node.id)
        known = self.known.get(proxy)
        if not node.id or (known is not None and known.labels):
            return proxy, 0
        told, cut = _from_metadata(proxy, node)
        if known is not None and not told.labels:
            return proxy, 0
        return proxy, cut if self._know(proxy, told) else 0

    def is_tapped(self, proxy: Proxy, label: str) -> bool:
        """Whether a tap is to be expected of this proxy: it sent batches before, or its pod carries `label` (`name=value`)."""
        if proxy in self.tapped:
            return True
        key, _, value = label.partition("=")
        node = self.known.get(proxy)
        return node is None or node.labels.get(key) == value

    def snapshot(self) -> tuple[list[Node], list[Proxy]]:
        """All of them, the longest known first, and those that are tapped."""
        return list(self.known.values()), list(self.tapped)

    def restore(self, nodes: list[Node], tapped: list[Proxy]) -> None:
        """The inverse of `snapshot`."""
        self.known = OrderedDict((self.named(node.sender, node.id), node) for node in nodes)
        self._bytes = sum(map(_size, nodes))
        self.tapped = dict.fromkeys(self.named(*proxy) for proxy in tapped)

    def _know(self, proxy: Proxy, node: Node) -> bool:
        """Whether this is news."""
        before = self.known.get(proxy)
        if before == node:
            return False
        self._bytes += _size(node) - (_size(before) if before is not None else 0)
        self.known[proxy] = node
        while len(self.known) > NODES_KEPT or (self._bytes > NODES_BYTES and len(self.known) > 1):
            oldest, node = self.known.popitem(last=False)
            self._bytes -= _size(node)
            self._raw.pop(oldest, None)
            self.tapped.pop(oldest, None)
        return True


def _bounded(labels: Iterable[tuple[str, str]]) -> tuple[dict[str, str], int]:
    """Labels by name within their bounds, and how many are left out."""
    kept: dict[str, str] = {}
    left, cut = LABELS_BYTES, 0
    for name, value in sorted(labels):
        size = 4 * (len(name) + len(value)) if not (name.isascii() and value.isascii()) else len(name) + len(value)
        if len(kept) == LABELS_KEPT or size > left:
            cut += 1
            continue
        left -= size
        kept[name] = value
    return kept, cut


def _size(node: Node) -> int:
    """Bytes that a node takes, about."""
    texts = (node.id, node.cluster, node.namespace, node.workload, node.mesh_cluster, node.name, node.service_account, node.sender)
    return 1000 + 4 * sum(map(len, texts)) + sum(150 + 4 * (len(name) + len(value)) for name, value in node.labels.items())


def _from_metadata(proxy: Proxy, node: LogNode) -> tuple[Node, int]:
    fields = node.metadata.fields

    def text(name: str) -> str:
        return fields[name].string_value[:NAME_CHARS] if name in fields else ""

    told = fields["LABELS"].struct_value.fields if "LABELS" in fields else {}
    labels, cut = _bounded((name, value.string_value) for name, value in told.items())
    made = Node(
        proxy[1],
        node.cluster[:NAME_CHARS],
        text("NAMESPACE"),
        text("WORKLOAD_NAME"),
        labels,
        text("CLUSTER_ID"),
        text("NAME"),
        text("SERVICE_ACCOUNT"),
        proxy[0],
    )
    return made, cut
