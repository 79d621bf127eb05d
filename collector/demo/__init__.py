"""A whole mesh in miniature on one machine: a real Envoy, a model server, the collector, and traffic between them.

`meshscribe demo` shows it and the tests under tests/mesh run on it. Nothing here is used by a running collector.
"""

from __future__ import annotations


def run(once: bool = False, store: str = "sqlite") -> int:
    """Set everything up, send traffic, show where to look. `once`: check what was recorded and return.

    Returns 0 if all is well, 1 if a part did not start or the check failed, 2 if the demo cannot run here.
    """
    from collector.demo.show import run as show  # the demo's parts are loaded only when they are asked for

    return show(once=once, store=store)
