"""Counters of what is billed: calls and tokens by service, model and class."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from prometheus_client import CollectorRegistry, Counter

from collector.messages.columns import ExchangeColumns
from collector.messages.usage_counts import ALONE, TOKENS
from collector.metrics.listed import losses

OTHER, UNKNOWN = "other", "unknown"
_LABEL = 128  # characters
_CLASSES = frozenset(TOKENS)
_Pair = tuple[str | None, str | None, str | None]  # namespace, service, model
Labels = tuple[str, str]


class UsageMetrics:
    """Of each call its first revision is counted: a counter cannot take back. `most`: services and models that have labels of their own,
    in the order in which they came; the others share `other`.
    """

    def __init__(self, registry: CollectorRegistry, most: int) -> None:
        self._calls, self._tokens = losses.USAGE_CALLS.make(registry), losses.USAGE_TOKENS.make(registry)
        self._most = most
        self._labels: dict[_Pair, Labels] = {}
        self._children: dict[Labels, tuple[Counter, dict[str, Counter]]] = {}

    def count(self, exchanges: Iterable[ExchangeColumns]) -> None:
        """Adds a batch up first: a counter takes more time than a sum."""
        sums: dict[_Pair, dict[str, int]] = {}
        for of in exchanges:
            if not of.billable or of.revision:
                continue
            pair = (of.namespace, of.service, of.model)
            found = sums.get(pair)
            if found is None:
                found = sums[pair] = {"": 0}
            found[""] += 1
            if of.usage is None:
                continue
            alone = ALONE.get(of.usage)
            if alone is not None:
                found[alone] = found.get(alone, 0) + 1
            else:
                for name, number in orjson.loads(of.usage).items():
                    found[name] = found.get(name, 0) + number
        for pair, found in sums.items():
            self._add(self._label(pair), found)

    def _add(self, labels: Labels, sums: dict[str, int]) -> None:
        if labels not in self._children:
            self._children[labels] = (self._calls.labels(*labels), {})
        calls, tokens = self._children[labels]
        calls.inc(sums.pop(""))
        for name, number in sums.items():
            if name in _CLASSES:
                if name not in tokens:
                    tokens[name] = self._tokens.labels(*labels, name)
                tokens[name].inc(number)

    def _label(self, pair: _Pair) -> Labels:
        found = self._labels.get(pair)
        if found is None:
            if len(self._labels) >= self._most:
                return OTHER, OTHER
            namespace, service, model = pair
            named = f"{namespace}/{service}" if namespace and service else UNKNOWN
            found = self._labels[pair] = (_clean(named), _clean(model or UNKNOWN))
        return found


def _clean(label: str) -> str:
    """What a caller wrote may be no UTF-8, and a scrape must be."""
    return label[:_LABEL].encode("utf-8", "replace").decode()
