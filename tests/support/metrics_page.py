"""Writes docs/metrics.md from the list of metrics: python -m tests.support.metrics_page"""

from __future__ import annotations

from pathlib import Path

from collector.metrics.listed import SECTIONS
from collector.metrics.metric import Listed, Role, Values

PAGE = Path(__file__).parents[2] / "docs/metrics.md"
HEAD = """# Metrics

Every metric of `/metrics` (`audit.port`, and `audit.probe_port` if that is set), and what to do when it moves. `python -m
tests.support.metrics_page` makes this page from the list in `collector/metrics/listed/__init__.py`. [operate.md](operate.md) has the
alerts to begin with.

- A counter begins at 0 after a restart: use `increase` or `rate`. A histogram has `_bucket`, `_sum` and `_count` after its name.
- **Role**: which roles expose it; `all` is the role with a journal of its own, `all on Kafka` is role `all` with `journal.url: kafka:`.
  A metric with labels may have no value until the first thing happens that it counts.
- Not listed here: `process_*` and `python_*` of the Prometheus client, and `…_created`, the time at which a counter or histogram was
  made. The tap filter's own counters are in the proxy ([install.md](install.md)).
"""


def page() -> str:
    """The page as Markdown."""
    lines = [HEAD]
    for title, metrics in SECTIONS.items():
        lines.append(f"## {title}\n\n| metric | kind, unit | labels | role | meaning | what to do |\n|---|---|---|---|---|---|")
        lines += [_row(one) for one in metrics]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _row(one: Listed) -> str:
    labels = "; ".join(f"`{name}`: {_values(values)}" for name, values in one.labels.items())
    roles = "every" if one.roles == tuple(Role) else ", ".join(one.roles)
    roles += f"; only with: {one.when}" if one.when else ""
    return f"| `{one.name}` | {one.kind}, {one.unit} | {labels} | {roles} | {one.means.rstrip('.')} | {one.act} |"


def _values(values: Values) -> str:
    return values if isinstance(values, str) else ", ".join(f"`{value}`" for value in values)


if __name__ == "__main__":
    PAGE.write_text(page())
