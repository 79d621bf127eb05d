"""The names of all settings, and what somebody may have meant who wrote another one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import BaseModel

from collector.settings.relay import Relay
from collector.settings.root import PREFIX, Settings

NEAR = 0.75  # how alike two names must be for one to be a slip of the other


def names() -> dict[str, list[str]]:
    """Section → its settings, those of a section inside of it as `inner.name`; empty for what is no section."""
    return {section: _inside(field.annotation) for section, field in Settings.model_fields.items()}


def _inside(kind: object) -> list[str]:
    found: list[str] = []
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            found += [name, *(f"{name}.{inner}" for inner in _inside(field.annotation))]
    return found


def unknown_variables() -> list[str]:
    """A fault for each variable with our prefix that is meant for a setting and names none: the settings library would pass over it."""
    known = (
        [f"{s}__{f.replace('.', '__')}".upper() for s, fields in names().items() for f in fields]
        + [s.upper() for s in names()]
        + ["CONFIG"]
    )
    faults = []
    for name in sorted(name for name in os.environ if name.startswith(PREFIX)):
        rest = name.removeprefix(PREFIX)
        near = get_close_matches(rest, known, 1, NEAR)
        if rest not in known and ("__" in rest or near or rest.lower().startswith(tuple(f"{section}_" for section in names()))):
            faults.append(f"{name}: no such setting{_of_kubernetes(name)}{_meant([PREFIX + one for one in near])}")
    return faults


def meant(name: str, known: Sequence[str]) -> str:
    """` (did you mean …?)`, or nothing."""
    return _meant(get_close_matches(name, known, 1, NEAR))


def siblings(where: Sequence[int | str]) -> list[str]:
    """The settings that stand beside the one at this place."""
    if len(where) < 2:
        return list(names())
    if where[0] == "relays":
        return [field.alias or name for name, field in Relay.model_fields.items()]
    inner = "".join(f"{part}." for part in where[1:-1])
    found = names().get(str(where[0]), [])
    return [name.removeprefix(inner) for name in found if name.startswith(inner) and "." not in name.removeprefix(inner)]


def _meant(near: Sequence[str]) -> str:
    return f" (did you mean {near[0]}?)" if near else ""


def _of_kubernetes(name: str) -> str:
    """Kubernetes tells a pod of the services of its namespace (docker links) unless the pod says no."""
    is_link = os.environ[name].startswith("tcp://") or name.endswith(("_SERVICE_HOST", "_SERVICE_PORT")) or "_PORT_" in name
    return " (a service link of Kubernetes: set enableServiceLinks: false in the pod)" if is_link else ""
